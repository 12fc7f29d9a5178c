/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a call says about its endpoint.  Pure. */
#ifndef S3RDMAFS_S3_OUTCOME_H
#define S3RDMAFS_S3_OUTCOME_H

#include <curl/curl.h>

#include "s3/s3.h"
#include "s3/spread.h"

enum spread_end outcome_of(const struct s3_call *call, CURLcode code);

/* Did it begin so late that nobody could have answered in took_ms?  Only its
 * own last moment ends it before half of either limit. */
bool outcome_is_cut_short(const struct s3_config *cfg,
			  const struct s3_call *call, CURLcode code,
			  uint64_t took_ms);

#endif
