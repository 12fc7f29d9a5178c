/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3/creds.h"
#include "scratch.h"
#include "unit.h"

#define SECRET "hushhush"

static char why[512];
static struct creds_source *src;
static struct creds c;

static void setup(void)
{
	static const char *const vars[] = {
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_CONFIG_FILE",   "AWS_SHARED_CREDENTIALS_FILE"};
	char dir[512];

	for (size_t i = 0; i < ARRAY_SIZE(vars); i++)
		unsetenv(vars[i]);
	scratch_make();
	setenv("HOME", scratch, 1);
	snprintf(dir, sizeof(dir), "%s/.aws", scratch);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	src = NULL;
	why[0] = '\0';
}

static void teardown(void)
{
	creds_free(src);
}

static void credentials(const char *text)
{
	scratch_file(".aws/credentials", text);
}

static void config(const char *text)
{
	scratch_file(".aws/config", text);
}

static int open_creds(const char *profile, bool anonymous)
{
	const struct creds_config cfg = {.profile = profile,
					 .anonymous = anonymous};
	const int err = creds_new(&cfg, &src, why, sizeof(why));

	ck_assert_msg(!strstr(why, SECRET), "a secret in: %s", why);
	if (!err)
		creds_get(src, &c);
	return err;
}

static void expect(const char *access, const char *secret, const char *token,
		   const char *origin)
{
	ck_assert_str_eq(c.access_key, access);
	ck_assert_str_eq(c.secret_key, secret);
	ck_assert_str_eq(c.session_token, token);
	ck_assert(!c.anonymous);
	ck_assert_str_eq(creds_origin(src), origin);
}

static void env(const char *access, const char *secret)
{
	setenv("AWS_ACCESS_KEY_ID", access, 1);
	setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
}

#define KEYS(n) "aws_access_key_id = A" n "\naws_secret_access_key = S" n "\n"

START_TEST(environment)
{
	credentials("[default]\n" KEYS("file"));
	env("Aenv", "Senv");
	ck_assert_int_eq(open_creds(NULL, false), 0);
	expect("Aenv", "Senv", "", "environment");
	creds_free(src);
	setenv("AWS_SESSION_TOKEN", "Tenv", 1);
	ck_assert_int_eq(open_creds(NULL, false), 0);
	expect("Aenv", "Senv", "Tenv", "environment");
}
END_TEST

START_TEST(a_profile_asked_for_outranks_the_environment)
{
	credentials("[p]\n" KEYS("p"));
	env("Aenv", "Senv");
	setenv("AWS_SESSION_TOKEN", "Tenv", 1);
	ck_assert_int_eq(open_creds("p", false), 0);
	expect("Ap", "Sp", "", "profile p");
}
END_TEST

START_TEST(profile_of_the_environment)
{
	credentials("[default]\n" KEYS("d") "[p]\n" KEYS("p"));
	setenv("AWS_PROFILE", "p", 1);
	ck_assert_int_eq(open_creds(NULL, false), 0);
	expect("Ap", "Sp", "", "profile p");
}
END_TEST

START_TEST(empty_variables_are_as_unset)
{
	credentials("[default]\n" KEYS("d"));
	env("", "");
	setenv("AWS_PROFILE", "", 1);
	ck_assert_msg(!open_creds(NULL, false), "%s", why);
	expect("Ad", "Sd", "", "profile default");
}
END_TEST

START_TEST(default_profile)
{
	credentials("# a comment\n[other]\n" KEYS("o") "\n[default]\n" KEYS(
		"d") "aws_session_token=Td\n");
	ck_assert_int_eq(open_creds(NULL, false), 0);
	expect("Ad", "Sd", "Td", "profile default");
}
END_TEST

START_TEST(profile_in_config)
{
	config("[profile p]\nregion = here\n" KEYS(
		"p") "s3 =\n  aws_access_key_id = nested\n");
	ck_assert_int_eq(open_creds("p", false), 0);
	expect("Ap", "Sp", "", "profile p");
}
END_TEST

/* As the AWS tools have it: of two keys the one in credentials counts. */
START_TEST(credentials_outrank_config)
{
	credentials("[p]\n" KEYS("cred"));
	config("[profile p]\n" KEYS("conf"));
	ck_assert_int_eq(open_creds("p", false), 0);
	expect("Acred", "Scred", "", "profile p");
}
END_TEST

START_TEST(files_of_the_environment)
{
	char path[512];

	credentials("[default]\n" KEYS("home"));
	snprintf(path, sizeof(path), "%s",
		 scratch_file("mine", "[default]\n" KEYS("mine")));
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	ck_assert_int_eq(open_creds(NULL, false), 0);
	expect("Amine", "Smine", "", "profile default");
}
END_TEST

START_TEST(odd_lines)
{
	credentials("aws_access_key_id = lost\n"
		    "[ p ]\n"
		    "#aws_access_key_id = comment\n"
		    "no equals sign\n"
		    "aws_access_key_id=Ap\r\n"
		    "aws_secret_access_key =\t S+/=p= \r\n"
		    "[p2]\n" KEYS("2"));
	ck_assert_int_eq(open_creds("p", false), 0);
	expect("Ap", "S+/=p=", "", "profile p");
}
END_TEST

START_TEST(process)
{
	config("[profile p]\ncredential_process = echo '{\"Version\": 1, "
	       "\"AccessKeyId\": \"Ax\", \"SecretAccessKey\": \"Sx\", "
	       "\"SessionToken\": \"Tx\"}'\n");
	ck_assert_int_eq(open_creds("p", false), 0);
	expect("Ax", "Sx", "Tx", "profile p");
}
END_TEST

static const char *const processes[] = {
	"echo '{\"AccessKeyId\": \"Ax\", \"SecretAccessKey\": \"" SECRET
	"\"}'; exit 1",
	"echo '{\"AccessKeyId\": \"Ax\"}'",
	"echo '{\"SecretAccessKey\": \"" SECRET "\"}'",
	"echo " SECRET,
	"echo '[]'",
	"echo '{\"AccessKeyId\": 1, \"SecretAccessKey\": \"" SECRET "\"}'",
	"true",
	"/nonexistent/process 2>/dev/null",
};

START_TEST(bad_process)
{
	char text[512];

	snprintf(text, sizeof(text), "[profile p]\ncredential_process = %s\n",
		 processes[_i]);
	config(text);
	ck_assert_int_lt(open_creds("p", false), 0);
	ck_assert_ptr_null(src);
	ck_assert_msg(strstr(why, "profile p") != NULL, "%s", why);
}
END_TEST

static const struct {
	const char *credentials, *profile;
} missing[] = {
	{"", NULL},
	{"[other]\n" KEYS("o"), NULL},
	{"[default]\naws_access_key_id = A\n", NULL},
	{"[default]\naws_secret_access_key = " SECRET "\n", NULL},
	{"[default]\n" KEYS("d"), "nobody"},
	{"[p\n" KEYS("d"), "p"},
};

START_TEST(none)
{
	credentials(missing[_i].credentials);
	ck_assert_int_eq(open_creds(missing[_i].profile, false), -ENOENT);
	ck_assert_ptr_null(src);
	ck_assert_msg(strstr(why, "AWS_ACCESS_KEY_ID") != NULL, "%s", why);
	ck_assert_msg(strstr(why, missing[_i].profile ? missing[_i].profile
						      : "default") != NULL,
		      "%s", why);
}
END_TEST

START_TEST(half_an_environment)
{
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	ck_assert_int_eq(open_creds(NULL, false), -ENOENT);
}
END_TEST

START_TEST(anonymous)
{
	env("Aenv", "Senv");
	ck_assert_int_eq(open_creds(NULL, true), 0);
	ck_assert(c.anonymous);
	ck_assert_str_eq(c.access_key, "");
	ck_assert_str_eq(c.secret_key, "");
	ck_assert_str_eq(creds_origin(src), "anonymous");
}
END_TEST

START_TEST(refresh)
{
	credentials("[default]\n" KEYS("1"));
	ck_assert_int_eq(open_creds(NULL, false), 0);
	credentials("[default]\n" KEYS("2"));
	creds_get(src, &c);
	ck_assert_str_eq(c.access_key, "A1");
	creds_refresh(src);
	creds_get(src, &c);
	ck_assert_str_eq(c.access_key, "A2");
	/* At most once a second ... */
	credentials("[default]\n" KEYS("3"));
	creds_refresh(src);
	creds_get(src, &c);
	ck_assert_str_eq(c.access_key, "A2");
	/* ... and what cannot be read leaves what was. */
	credentials("");
	usleep(1100000);
	creds_refresh(src);
	creds_get(src, &c);
	ck_assert_str_eq(c.access_key, "A2");
	ck_assert_str_eq(c.secret_key, "S2");
}
END_TEST

/* On a thread: the answer is there soon, and who needs it waits for it. */
START_TEST(refresh_meanwhile)
{
	config("[profile p]\ncredential_process = sleep 0.3; "
	       "echo '{\"AccessKeyId\": \"Ax\", \"SecretAccessKey\": \"Sx\", "
	       "\"SessionToken\": \"Tx\"}'\n");
	credentials("[p]\n" KEYS("1"));
	ck_assert_int_eq(open_creds("p", false), 0);
	ck_assert(creds_can_change(src));
	ck_assert(!creds_are_temporary(src));
	credentials("");
	creds_refresh_soon(src);
	creds_refresh_soon(src); /* goes on already */
	creds_get(src, &c);
	ck_assert_str_eq(c.access_key, "A1");
	creds_refresh(src);
	creds_get(src, &c);
	ck_assert_str_eq(c.access_key, "Ax");
	ck_assert(creds_are_temporary(src));
	/* And another; its end is waited for when the source goes. */
	usleep(1100000);
	creds_refresh_soon(src);
}
END_TEST

START_TEST(what_cannot_change)
{
	env("Ae", "Se");
	ck_assert_int_eq(open_creds(NULL, false), 0);
	ck_assert(!creds_can_change(src));
}
END_TEST

START_TEST(profile_value)
{
	char v[32] = "";

	config("[default]\nregion = one\n[profile p]\nregion=two\n");
	ck_assert_int_eq(creds_profile_value(NULL, "region", v, sizeof(v)), 0);
	ck_assert_str_eq(v, "one");
	ck_assert_int_eq(creds_profile_value("p", "region", v, sizeof(v)), 0);
	ck_assert_str_eq(v, "two");
	setenv("AWS_PROFILE", "p", 1);
	ck_assert_int_eq(creds_profile_value(NULL, "region", v, sizeof(v)), 0);
	ck_assert_str_eq(v, "two");
	ck_assert_int_eq(creds_profile_value("p", "other", v, sizeof(v)),
			 -ENOENT);
	ck_assert_int_eq(creds_profile_value("q", "region", v, sizeof(v)),
			 -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("creds");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, environment);
	tcase_add_test(tc, a_profile_asked_for_outranks_the_environment);
	tcase_add_test(tc, profile_of_the_environment);
	tcase_add_test(tc, empty_variables_are_as_unset);
	tcase_add_test(tc, default_profile);
	tcase_add_test(tc, profile_in_config);
	tcase_add_test(tc, credentials_outrank_config);
	tcase_add_test(tc, files_of_the_environment);
	tcase_add_test(tc, odd_lines);
	tcase_add_test(tc, process);
	ADD_ROWS(tc, bad_process, processes);
	ADD_ROWS(tc, none, missing);
	tcase_add_test(tc, half_an_environment);
	tcase_add_test(tc, anonymous);
	tcase_add_test(tc, refresh);
	tcase_add_test(tc, refresh_meanwhile);
	tcase_add_test(tc, what_cannot_change);
	tcase_add_test(tc, profile_value);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
