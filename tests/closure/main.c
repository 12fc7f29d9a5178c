/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with the whole of one folder's library and only those below it: a
 * call upwards is an undefined reference at link time.
 */
int main(void)
{
	return 0;
}
