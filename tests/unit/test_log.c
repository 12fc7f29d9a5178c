/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

static char got[1 << 20];
static int pipe_end;

/* stderr goes to a file of no name. */
static void setup(void)
{
	pipe_end = open(".", O_TMPFILE | O_RDWR, 0600);
	ck_assert_int_ge(pipe_end, 0);
	dup2(pipe_end, STDERR_FILENO);
	log_open("test", LOG_SINK_STDERR);
	log_set_level(LOG_LEVEL_INFO);
}

static const char *text(void)
{
	const ssize_t n = pread(pipe_end, got, sizeof(got) - 1, 0);

	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	return got;
}

START_TEST(one_line_a_message)
{
	log_error("a: %d", 1);
	log_warning("b");
	log_info("c");
	log_debug("not this");
	log_trace("nor this");
	ck_assert_str_eq(text(), "test: error: a: 1\ntest: warning: b\n"
				 "test: info: c\n");
}
END_TEST

START_TEST(no_line_is_forged)
{
	log_info("key \"%s\"", "x\ntest: error: forged\r\x1b[2J\x7f\t");
	ck_assert_str_eq(text(), "test: info: key \"x?test: error: forged??[2J"
				 "??\"\n");
}
END_TEST

START_TEST(utf8_passes)
{
	log_info("\303\274");
	ck_assert_str_eq(text(), "test: info: \303\274\n");
}
END_TEST

START_TEST(long_message_is_one_line)
{
	char name[5000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	log_info("%s", name);
	log_info("next");
	ck_assert_int_eq(text()[strlen(got) - 1], '\n');
	ck_assert_str_eq(strchr(got, '\n') + 1, "test: info: next\n");
	ck_assert_uint_ge(strlen(got), 1000);
}
END_TEST

START_TEST(errno_stays)
{
	errno = EMFILE;
	log_info("why: %m");
	ck_assert_int_eq(errno, EMFILE);
	ck_assert(strstr(text(), strerror(EMFILE)));
}
END_TEST

START_TEST(journal_has_priorities)
{
	log_open("test", LOG_SINK_JOURNAL);
	log_error("e");
	log_info("i");
	ck_assert_str_eq(text(), "<3>test: error: e\n<6>test: info: i\n");
}
END_TEST

START_TEST(levels)
{
	static const char *const names[] = {"error", "warning", "info", "debug",
					    "trace"};

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(log_level_parse(names[i]), i);
		ck_assert_str_eq(log_level_name((enum log_level)i), names[i]);
	}
	ck_assert_int_eq(log_level_parse("INFO"), LOG_LEVEL_INFO);
	ck_assert_int_eq(log_level_parse(""), -EINVAL);
	ck_assert_int_eq(log_level_parse("warn"), -EINVAL);
	log_set_level(LOG_LEVEL_TRACE);
	log_trace("t");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("w");
	ck_assert_str_eq(text(), "test: trace: t\n");
}
END_TEST

static void *chatter(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_info("%s", (const char *)arg);
	return NULL;
}

START_TEST(lines_do_not_mix)
{
	static char words[4][400];
	pthread_t t[4];
	char *save = NULL, *line;
	int n = 0;

	/* Append, or the threads' writes would overlap in a file. */
	fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
	for (int i = 0; i < 4; i++) {
		memset(words[i], 'a' + i, sizeof(words[i]) - 1);
		pthread_create(&t[i], NULL, chatter, words[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	text();
	for (line = strtok_r(got, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save), n++) {
		const char *w = line + strlen("test: info: ");

		ck_assert_uint_eq(strlen(w), 399);
		for (const char *p = w; *p; p++)
			ck_assert_int_eq(*p, *w);
	}
	ck_assert_int_eq(n, 800);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, one_line_a_message);
	tcase_add_test(tc, no_line_is_forged);
	tcase_add_test(tc, utf8_passes);
	tcase_add_test(tc, long_message_is_one_line);
	tcase_add_test(tc, errno_stays);
	tcase_add_test(tc, journal_has_priorities);
	tcase_add_test(tc, levels);
	tcase_add_test(tc, lines_do_not_mix);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
