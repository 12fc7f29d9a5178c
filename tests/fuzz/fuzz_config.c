/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file, and the same text as options of -o. */
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"

static void check(struct config *c, int err, const char *why)
{
	json_t *dump;

	/* An error of what was said is explained. */
	assert(!err || *why);
	dump = config_dump(c);
	assert(dump);
	json_decref(dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int fd = memfd_create("config", MFD_CLOEXEC);
	char path[64], why[512] = "", *text = fuzz_text(data, size);
	struct config c;

	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert(!config_init(&c));
	check(&c, config_load_file(&c, path, why, sizeof(why)), why);
	config_settle(&c);
	config_check(&c, why, sizeof(why));
	config_free(&c);

	why[0] = '\0';
	assert(!config_init(&c));
	check(&c, config_load_options(&c, text, why, sizeof(why)), "x");
	config_free(&c);
	close(fd);
	free(text);
	return 0;
}
