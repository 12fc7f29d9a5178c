/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "fuzz.h"
#include "xml_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xml_doc d;

	if (!xml_in_parse((const char *)data, size, "Delete", "Object", 8,
			  &d)) {
		assert(d.n <= 8);
		xml_in_free(&d);
	}
	if (!xml_in_parse((const char *)data, size, "CompleteMultipartUpload",
			  "Part", 8, &d))
		xml_in_free(&d);
	return 0;
}
