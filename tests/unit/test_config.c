/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "scratch.h"
#include "unit.h"

static struct config c;
static char why[1024];

static void setup(void)
{
	static const char *const vars[] = {
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION",
		"AWS_REGION",       "AWS_CA_BUNDLE",       "AWS_PROFILE",
		"AWS_ACCESS_KEY_ID"};

	for (size_t i = 0; i < ARRAY_SIZE(vars); i++)
		unsetenv(vars[i]);
	scratch_make();
	setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	ck_assert_int_eq(config_init(&c), 0);
	why[0] = '\0';
}

static void teardown(void)
{
	config_free(&c);
}

static int load(const char *yaml)
{
	return config_load_file(&c, scratch_file("c.yaml", yaml), why,
				sizeof(why));
}

static int options(const char *text)
{
	return config_load_options(&c, text, why, sizeof(why));
}

/* The origin of a setting, from the dump. */
static const char *origin(const char *path)
{
	static char text[64];
	json_t *dump = config_dump(&c);
	const char *o = json_string_value(
		json_object_get(json_object_get(dump, path), "origin"));

	ck_assert_msg(o != NULL, "%s is not dumped", path);
	snprintf(text, sizeof(text), "%s", o);
	json_decref(dump);
	return text;
}

static const struct {
	const char *text;
	bool good, fake;
	unsigned int ordinal;
	uint64_t size;
} gpus[] = {
	{"0:8GiB", true, false, 0, 8ULL << 30},
	{"7:1MiB", true, false, 7, 1 << 20},
	{"fake0:64MiB", true, true, 0, 64 << 20},
	{"0", false, false, 0, 0},
	{":8GiB", false, false, 0, 0},
	{"x:8GiB", false, false, 0, 0},
	{"0:", false, false, 0, 0},
	{"0:0", false, false, 0, 0},
	{"-1:8GiB", false, false, 0, 0},
	{"256:8GiB", false, false, 0, 0},
	{"00000000000000000000:8GiB", false, false, 0, 0},
	{"fake:8GiB", false, false, 0, 0},
};

START_TEST(gpu)
{
	struct config_gpu g;
	char text[128];

	ck_assert_int_eq(config_parse_gpu(gpus[_i].text, &g),
			 gpus[_i].good ? 0 : -EINVAL);
	snprintf(text, sizeof(text), "staging.gpus=%s", gpus[_i].text);
	ck_assert_int_eq(options(text), gpus[_i].good ? 0 : -EINVAL);
	if (!gpus[_i].good)
		return;
	ck_assert(g.fake == gpus[_i].fake && g.ordinal == gpus[_i].ordinal &&
		  g.size == gpus[_i].size);
}
END_TEST

START_TEST(gpus_of_a_file)
{
	ck_assert_msg(!load("staging:\n  gpus:\n"
			    "    - {device: 0, size: 8GiB}\n"
			    "    - {device: 1, size: 512MiB}\n"),
		      "%s", why);
	ck_assert_uint_eq(c.staging.gpus.n, 2);
	ck_assert_str_eq(c.staging.gpus.items[0], "0:8GiB");
	ck_assert_str_eq(c.staging.gpus.items[1], "1:512MiB");
	ck_assert_int_eq(load("staging:\n  slot: 4MiB\n  gpus:\n"
			      "    - {device: 0, size: much}\n"),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, ":3: staging.gpus"));
	ck_assert_int_eq(load("staging:\n  gpus: 0\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "staging.gpus: expected a list"));
	ck_assert_int_eq(load("staging:\n  gpus:\n    - {device: 0}\n"),
			 -EINVAL);
}
END_TEST

START_TEST(defaults)
{
	ck_assert_uint_eq(c.endpoint.urls.n, 0);
	ck_assert_str_eq(c.endpoint.region, "us-east-1");
	ck_assert_str_eq(c.endpoint.addressing, "path");
	ck_assert_ptr_null(c.endpoint.ca_file);
	ck_assert_ptr_null(c.credentials.profile);
	ck_assert(!c.credentials.anonymous);
	ck_assert_str_eq(c.transport.mode, "auto");
	ck_assert_uint_le(c.staging.host, 1ULL << 30);
	ck_assert_uint_gt(c.staging.host, 0);
	ck_assert_uint_eq(c.staging.slot, CONFIG_AUTO);
	ck_assert_uint_eq(c.read.prefetch_max, 64 << 20);
	ck_assert_uint_eq(c.metadata.ttl, 60000);
	ck_assert_uint_eq(c.metadata.negative_ttl, 5000);
	ck_assert_uint_eq(c.request.connections, 64);
	ck_assert_uint_eq(c.mount.uid, getuid());
	ck_assert_uint_eq(c.mount.gid, getgid());
	ck_assert_uint_eq(c.mount.file_mode, 0444);
	ck_assert_uint_eq(c.mount.dir_mode, 0555);
	ck_assert_str_eq(c.log.level, "info");
	ck_assert_str_eq(c.generic, "");
	ck_assert_str_eq(origin("staging.slot"), "default");
}
END_TEST

START_TEST(good_file)
{
	ck_assert_msg(!load("# a comment\n"
			    "endpoint:\n"
			    "  urls: [http://a:9000, \"http://b:9000\"]\n"
			    "  region: eu-west-1\n"
			    "credentials:\n"
			    "  anonymous: yes\n"
			    "staging:\n"
			    "  host: 256MiB\n"
			    "  slot: 1MiB\n"
			    "metadata:\n"
			    "  ttl: 500ms\n"
			    "mount:\n"
			    "  file_mode: 0640\n"
			    "  uid: 1234\n"),
		      "%s", why);
	ck_assert_uint_eq(c.endpoint.urls.n, 2);
	ck_assert_str_eq(c.endpoint.urls.items[0], "http://a:9000");
	ck_assert_str_eq(c.endpoint.urls.items[1], "http://b:9000");
	ck_assert_str_eq(c.endpoint.region, "eu-west-1");
	ck_assert(c.credentials.anonymous);
	ck_assert_uint_eq(c.staging.host, 256 << 20);
	ck_assert_uint_eq(c.staging.slot, 1 << 20);
	ck_assert_uint_eq(c.metadata.ttl, 500);
	ck_assert_uint_eq(c.mount.file_mode, 0640);
	ck_assert_uint_eq(c.mount.uid, 1234);
	ck_assert_str_eq(origin("endpoint.urls"), "file");
	ck_assert_str_eq(origin("metadata.ttl"), "file");
	ck_assert_str_eq(origin("metadata.negative_ttl"), "default");
	config_settle(&c);
	ck_assert_int_eq(config_check(&c, why, sizeof(why)), 0);
}
END_TEST

/* What the message must hold, beside the file's name. */
static const struct {
	const char *yaml, *line, *key, *expected;
} bad_files[] = {
	{"staging:\n  host: 1GiB\n  slot: many\n", ":3:", "staging.slot",
	 "a size such as"},
	{"credentials:\n  anonymous: perhaps\n", ":2:", "credentials.anonymous",
	 "true or false"},
	{"\n\ntransport:\n  mode: fast\n", ":4:", "transport.mode",
	 "one of auto|dc|rc|shm|http"},
	{"metadata:\n  ttl: soon\n", ":2:", "metadata.ttl",
	 "a duration such as"},
	{"request:\n  connections: -1\n", ":2:", "request.connections",
	 "a number"},
	{"mount:\n  umask: 9\n", ":2:", "mount.umask", "an octal mode"},
	/* a value that looks like a key, and a key of another section */
	{"log:\n  level: sink\n  sink: nowhere\n", ":2:", "log.level",
	 "one of error|"},
	{"endpoint:\n  urls: [ttl, mode]\nmetadata:\n  ttl: x\n",
	 ":4:", "metadata.ttl", "a duration"},
	{"staging:\n  hots: 1GiB\n", ":2:", "hots", NULL},
	{"stage:\n  host: 1GiB\n", ":1:", "stage", "staging"},
	{"endpoint:\n  region: [a, b]\n", ":2:", "region", NULL},
	{"endpoint: [a]\n", ":1:", "endpoint", NULL},
	{"endpoint:\n  region: \"a\n", "c.yaml:", "", NULL},
	{"endpoint:\n\tregion: a\n", "c.yaml:", "", NULL},
	{"- a\n- b\n", "c.yaml:", "", NULL},
	{"{", "c.yaml:", "", NULL},
	{"\x01\x02", "c.yaml:", "", NULL},
};

START_TEST(bad_file)
{
	ck_assert_int_eq(load(bad_files[_i].yaml), -EINVAL);
	ck_assert_msg(strstr(why, "c.yaml:") != NULL, "%s", why);
	ck_assert_msg(strstr(why, bad_files[_i].line) != NULL, "%s: %s",
		      bad_files[_i].line, why);
	ck_assert_msg(strstr(why, bad_files[_i].key) != NULL, "%s: %s",
		      bad_files[_i].key, why);
	if (bad_files[_i].expected)
		ck_assert_msg(strstr(why, bad_files[_i].expected) != NULL,
			      "%s: %s", bad_files[_i].expected, why);
}
END_TEST

/* Nothing is set, and nobody falls. */
static const char *const empty_files[] = {
	"",
	"# only a comment\n",
	"{}\n",
	"staging: {}\n",
};

START_TEST(empty_file)
{
	const int err = load(empty_files[_i]);

	ck_assert_msg(!err, "\"%s\": %s", empty_files[_i], why);
	ck_assert_str_eq(origin("staging.slot"), "default");
}
END_TEST

START_TEST(no_file)
{
	ck_assert_int_eq(
		config_load_file(&c, "/nonexistent/x.yaml", why, sizeof(why)),
		-ENOENT);
	ck_assert(strstr(why, "/nonexistent/x.yaml"));
	ck_assert(strstr(why, strerror(ENOENT)));
}
END_TEST

START_TEST(many_urls)
{
	char yaml[1024] = "endpoint:\n  urls:\n";

	for (int i = 0; i < CONFIG_LIST; i++)
		strcat(yaml, "  - http://a\n");
	ck_assert_int_eq(load(yaml), 0);
	ck_assert_uint_eq(c.endpoint.urls.n, CONFIG_LIST);
	strcat(yaml, "  - http://a\n");
	ck_assert_int_eq(load(yaml), -EINVAL);
}
END_TEST

START_TEST(good_options)
{
	ck_assert_msg(!options("endpoint=http://h:1;http://i:2,region=r,"
			       "staging.slot=8m,anonymous,cache_size=1g,"
			       "uid=5,gid=6,umask=022,file_mode=0400,"
			       "dir_mode=0500,allow_other,kernel_cache,"
			       "transport=http,profile=p,metadata.ttl=0,"
			       "transport.require"),
		      "%s", why);
	ck_assert_uint_eq(c.endpoint.urls.n, 2);
	ck_assert_str_eq(c.endpoint.urls.items[1], "http://i:2");
	ck_assert_str_eq(c.endpoint.region, "r");
	ck_assert_uint_eq(c.staging.slot, 8 << 20);
	ck_assert_uint_eq(c.staging.host, 1 << 30);
	ck_assert(c.credentials.anonymous);
	ck_assert_uint_eq(c.mount.uid, 5);
	ck_assert_uint_eq(c.mount.gid, 6);
	ck_assert_uint_eq(c.mount.umask, 022);
	ck_assert_uint_eq(c.mount.file_mode, 0400);
	ck_assert_uint_eq(c.mount.dir_mode, 0500);
	ck_assert(c.mount.allow_other);
	ck_assert(c.read.kernel_cache);
	ck_assert_str_eq(c.transport.mode, "http");
	ck_assert(c.transport.require);
	ck_assert_str_eq(c.credentials.profile, "p");
	ck_assert_uint_eq(c.metadata.ttl, 0);
	ck_assert_str_eq(origin("staging.slot"), "command line");
	ck_assert_str_eq(origin("credentials.anonymous"), "command line");
}
END_TEST

START_TEST(flags_take_values_too)
{
	ck_assert_int_eq(options("anonymous,anonymous=false"), 0);
	ck_assert(!c.credentials.anonymous);
	ck_assert_int_eq(options("credentials.anonymous=on"), 0);
	ck_assert(c.credentials.anonymous);
}
END_TEST

START_TEST(escapes)
{
	ck_assert_int_eq(options("profile=a\\,b\\\\c=d"), 0);
	ck_assert_str_eq(c.credentials.profile, "a,b\\c=d");
	ck_assert_int_eq(options(",,region=x,,"), 0);
	ck_assert_str_eq(c.endpoint.region, "x");
	ck_assert_int_eq(options("region=y\\"), 0);
	ck_assert_str_eq(c.endpoint.region, "y\\");
	ck_assert_int_eq(options(""), 0);
}
END_TEST

START_TEST(options_of_others)
{
	ck_assert_msg(
		!options("rw,_netdev,nofail,x-systemd.automount,noauto,"
			 "nodev,nosuid,comment=x,noatime,ro,max_read=4096"),
		"%s", why);
	ck_assert_str_eq(c.generic, "nodev,nosuid,noatime,max_read=4096");
}
END_TEST

static const struct {
	const char *text, *says;
} bad_options[] = {
	{"nonsense", "unknown option \"nonsense\""},
	{"nonsense=1", "unknown option \"nonsense\""},
	{"staging.nonsense=1", "unknown option \"staging.nonsense\""},
	{"nonsense.slot=1", "unknown option \"nonsense.slot\""},
	{"slot=1m", "unknown option \"slot\""},
	{"region", "option region wants a value: a text"},
	{"staging.slot", "wants a value: a size"},
	{"staging.slot=x", "\"x\" is not a size such as 64MiB"},
	{"staging.slot=", "\"\" is not a size"},
	{"transport=rdma", "\"rdma\" is not one of auto|dc|rc|shm|http"},
	{"transport=auto|shm", "is not one of"},
	{"transport=", "is not one of"},
	{"uid=-1", "\"-1\" is not a number"},
	{"umask=8", "is not an octal mode"},
	{"anonymous=maybe", "is not true or false"},
	{"rwx", "unknown option \"rwx\""},
	{"nodevx", "unknown option"},
	{"allow_other,bad", "unknown option \"bad\""},
};

START_TEST(bad_option)
{
	ck_assert_int_eq(options(bad_options[_i].text), -EINVAL);
	ck_assert_msg(strstr(why, bad_options[_i].says) != NULL, "%s: %s",
		      bad_options[_i].text, why);
}
END_TEST

START_TEST(too_many_generic_options)
{
	char text[4096] = "nodev";

	while (strlen(text) < 2000)
		strcat(text, ",noatime");
	ck_assert_int_ne(options(text), 0);
	ck_assert_uint_lt(strlen(c.generic), sizeof(c.generic));
}
END_TEST

START_TEST(environment)
{
	setenv("AWS_ENDPOINT_URL", "http://any", 1);
	setenv("AWS_DEFAULT_REGION", "default-region", 1);
	setenv("AWS_CA_BUNDLE", "/ca.pem", 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_str_eq(c.endpoint.urls.items[0], "http://any");
	ck_assert_str_eq(c.endpoint.region, "default-region");
	ck_assert_str_eq(c.endpoint.ca_file, "/ca.pem");
	ck_assert_str_eq(origin("endpoint.urls"), "AWS_ENDPOINT_URL");
	/* The closer one outranks the general. */
	setenv("AWS_ENDPOINT_URL_S3", "http://s3", 1);
	setenv("AWS_REGION", "region", 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_uint_eq(c.endpoint.urls.n, 1);
	ck_assert_str_eq(c.endpoint.urls.items[0], "http://s3");
	ck_assert_str_eq(c.endpoint.region, "region");
	ck_assert_str_eq(origin("endpoint.region"), "AWS_REGION");
	/* Empty is as unset. */
	setenv("AWS_REGION", "", 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_str_eq(c.endpoint.region, "default-region");
}
END_TEST

START_TEST(precedence)
{
	ck_assert_int_eq(load("endpoint:\n  region: file\n"), 0);
	setenv("AWS_REGION", "env", 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_str_eq(c.endpoint.region, "env");
	ck_assert_int_eq(options("region=line"), 0);
	ck_assert_str_eq(c.endpoint.region, "line");
	ck_assert_str_eq(origin("endpoint.region"), "command line");
}
END_TEST

#define PROFILES                    \
	"[default]\nregion = one\n" \
	"[profile two]\nregion = two\nendpoint_url = http://two\n"

START_TEST(profile)
{
	setenv("AWS_CONFIG_FILE", scratch_file("config", PROFILES), 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_int_eq(config_load_profile(&c), 0);
	ck_assert_str_eq(c.endpoint.region, "one");
	ck_assert_str_eq(origin("endpoint.region"), "profile");
	ck_assert_uint_eq(c.endpoint.urls.n, 0);
}
END_TEST

START_TEST(profile_of_the_file)
{
	ck_assert_int_eq(load("credentials:\n  profile: two\n"), 0);
	setenv("AWS_CONFIG_FILE", scratch_file("config", PROFILES), 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_int_eq(config_load_profile(&c), 0);
	ck_assert_str_eq(c.endpoint.region, "two");
	ck_assert_str_eq(c.endpoint.urls.items[0], "http://two");
}
END_TEST

START_TEST(profile_is_below_the_rest)
{
	setenv("AWS_CONFIG_FILE", scratch_file("config", PROFILES), 1);
	setenv("AWS_PROFILE", "two", 1);
	setenv("AWS_ENDPOINT_URL", "http://env", 1);
	ck_assert_int_eq(load("endpoint:\n  region: file\n"), 0);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_int_eq(config_load_profile(&c), 0);
	ck_assert_str_eq(c.endpoint.region, "file");
	ck_assert_str_eq(c.endpoint.urls.items[0], "http://env");
}
END_TEST

START_TEST(profile_of_the_command_line)
{
	setenv("AWS_CONFIG_FILE", scratch_file("config", PROFILES), 1);
	ck_assert_int_eq(config_load_env(&c, why, sizeof(why)), 0);
	ck_assert_int_eq(
		config_load_options(&c, "profile=two", why, sizeof(why)), 0);
	ck_assert_int_eq(config_load_profile(&c), 0);
	ck_assert_str_eq(c.endpoint.region, "two");
	ck_assert_str_eq(c.endpoint.urls.items[0], "http://two");
}
END_TEST

static const struct {
	const char *options, *says; /* NULL: all is well */
} checks[] = {
	{"endpoint=http://h", NULL},
	{"", "no endpoint"},
	{"endpoint=http://h,staging.slot=1m,staging.host=4m", NULL},
	{"endpoint=http://h,staging.slot=auto,staging.host=16m", NULL},
	{"endpoint=http://h,staging.slot=auto,staging.host=15m",
	 "staging.host"},
	{"endpoint=http://h,staging.slot=3m", "staging.slot"},
	{"endpoint=http://h,staging.slot=512k", "staging.slot"},
	{"endpoint=http://h,staging.slot=0", "staging.slot"},
	{"endpoint=http://h,staging.slot=2g", "staging.slot"},
	{"endpoint=http://h,staging.slot=4m,staging.host=15m", "staging.host"},
	{"endpoint=http://h,request.connections=0", "request.connections"},
	{"endpoint=http://h,request.connections=4097", "request.connections"},
	{"endpoint=http://h,request.connections=4096", NULL},
};

START_TEST(check_of_all)
{
	ck_assert_int_eq(options(checks[_i].options), 0);
	config_settle(&c);
	ck_assert_int_eq(config_check(&c, why, sizeof(why)),
			 checks[_i].says ? -EINVAL : 0);
	if (checks[_i].says)
		ck_assert_msg(strstr(why, checks[_i].says) != NULL, "%s", why);
}
END_TEST

static const struct {
	const char *options;
	uint64_t slot;
} slots[] = {
	{"cache_size=64m", 4 << 20},
	{"cache_size=255m", 4 << 20},
	{"cache_size=256m", 8 << 20},
	{"cache_size=64g", 8 << 20},
	{"staging.slot=1m,cache_size=1g", 1 << 20},
	{"cache_size=8g,staging.slot=auto", 8 << 20},
};

START_TEST(slot_of_the_pool)
{
	ck_assert_int_eq(options(slots[_i].options), 0);
	config_settle(&c);
	ck_assert_uint_eq(c.staging.slot, slots[_i].slot);
}
END_TEST

static void count_row(void *ctx, const char *path, const char *type,
		      const char *fallback, const char *doc)
{
	json_t *dump = config_dump(&c);

	ck_assert_msg(json_object_get(dump, path) != NULL, "%s", path);
	json_decref(dump);
	ck_assert(*type && *doc && fallback);
	++*(size_t *)ctx;
}

START_TEST(dump)
{
	size_t n = 0;
	json_t *d;

	ck_assert_int_eq(options("endpoint=http://a http://b,file_mode=0640,"
				 "metadata.ttl=2s,anonymous,cache_size=64m"),
			 0);
	config_settle(&c);
	config_each(count_row, &n);
	d = config_dump(&c);
	ck_assert_uint_eq(json_object_size(d), n);
#define VALUE(path) json_object_get(json_object_get(d, path), "value")
	ck_assert_uint_eq(json_array_size(VALUE("endpoint.urls")), 2);
	ck_assert_str_eq(json_string_value(VALUE("mount.file_mode")), "0640");
	ck_assert_str_eq(json_string_value(VALUE("metadata.ttl")), "2000ms");
	ck_assert_int_eq(json_integer_value(VALUE("staging.slot")), 4 << 20);
	ck_assert(json_is_true(VALUE("credentials.anonymous")));
	ck_assert(json_is_null(VALUE("endpoint.ca_file")));
	json_decref(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	ADD_ROWS(tc, gpu, gpus);
	tcase_add_test(tc, gpus_of_a_file);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, good_file);
	ADD_ROWS(tc, bad_file, bad_files);
	ADD_ROWS(tc, empty_file, empty_files);
	tcase_add_test(tc, no_file);
	tcase_add_test(tc, many_urls);
	tcase_add_test(tc, good_options);
	tcase_add_test(tc, flags_take_values_too);
	tcase_add_test(tc, escapes);
	tcase_add_test(tc, options_of_others);
	ADD_ROWS(tc, bad_option, bad_options);
	tcase_add_test(tc, too_many_generic_options);
	tcase_add_test(tc, environment);
	tcase_add_test(tc, precedence);
	tcase_add_test(tc, profile);
	tcase_add_test(tc, profile_of_the_file);
	tcase_add_test(tc, profile_of_the_command_line);
	tcase_add_test(tc, profile_is_below_the_rest);
	ADD_ROWS(tc, check_of_all, checks);
	ADD_ROWS(tc, slot_of_the_pool, slots);
	tcase_add_test(tc, dump);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
