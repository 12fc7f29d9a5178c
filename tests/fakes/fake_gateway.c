/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway's main.c gives to its other files. */
#include "request.h"

void gateway_sleep_ms(uint64_t ms)
{
	(void)ms;
}
