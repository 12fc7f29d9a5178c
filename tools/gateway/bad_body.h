/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that do not come as they should: cut off, stalled, or slow. */
#ifndef S3RDMAFS_GATEWAY_BAD_BODY_H
#define S3RDMAFS_GATEWAY_BAD_BODY_H

#include <microhttpd.h>

#include "request.h"

/* Is the request's fault one of its body? */
bool bad_body_is_wanted(const struct request *r);

/* An answer with the request's file; NULL without memory. */
struct MHD_Response *bad_body_response(const struct request *r);

#endif
