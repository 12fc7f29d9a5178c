/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/outcome.h"

/* A quick no must not draw more requests than a slow yes. */
static bool is_good(int status)
{
	return status < 500 && status != 408 && status != 429 &&
	       status != 401 && status != 403;
}

enum spread_end outcome_of(const struct s3_call *call, CURLcode code)
{
	if (call->answer.cut_short)
		return SPREAD_OTHER;
	switch (code) {
	case CURLE_OK:
		return is_good(call->answer.status) ? SPREAD_ANSWERED
						    : SPREAD_FAILED;
	case CURLE_ABORTED_BY_CALLBACK: /* our own doing */
	case CURLE_WRITE_ERROR:
	case CURLE_OUT_OF_MEMORY:
		return SPREAD_OTHER;
	case CURLE_OPERATION_TIMEDOUT:
		return call->answer.sent ? SPREAD_LATE : SPREAD_SILENT;
	default: /* no connection, no certificate, cut off ... */
		return SPREAD_REFUSED;
	}
}

bool outcome_is_cut_short(const struct s3_config *cfg,
			  const struct s3_call *call, CURLcode code,
			  uint64_t took_ms)
{
	if (code != CURLE_OPERATION_TIMEDOUT || !call->until_ms ||
	    call->timeout_ms)
		return false;
	return 2 * took_ms < cfg->connect_timeout_ms &&
	       2 * took_ms < cfg->attempt_timeout_ms;
}
