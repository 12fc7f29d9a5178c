/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "fuzz.h"
#include "xml_in.h"

static const struct xml_form forms[] = {
	{.root = "Delete", .item = "Object"},
	{.root = "CompleteMultipartUpload", .item = "Part"},
	{.root = "Tagging", .set = "TagSet", .item = "Tag"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct xml_doc d;

		if (xml_in_parse((const char *)data, size, &forms[i], 8, &d))
			continue;
		assert(d.n <= 8);
		xml_in_free(&d);
	}
	return 0;
}
