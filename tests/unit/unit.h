/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test has in common. */
#ifndef S3RDMAFS_TESTS_UNIT_H
#define S3RDMAFS_TESTS_UNIT_H

#include <check.h>

#include "base/cleanup.h"

/* Runs a suite and frees it; main's exit status. */
static inline int unit_main(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

/* A test for each row of a table. */
#define ADD_ROWS(tc, test, table) \
	tcase_add_loop_test(tc, test, 0, (int)ARRAY_SIZE(table))

#endif
