/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 operations, as route.c finds them.  Each answers its request. */
#ifndef S3RDMAFS_GATEWAY_OPS_H
#define S3RDMAFS_GATEWAY_OPS_H

#include "request.h"

/* ops_bucket.c */
void op_list_buckets(struct request *r);
void op_create_bucket(struct request *r);
void op_head_bucket(struct request *r);
void op_delete_bucket(struct request *r);
void op_get_location(struct request *r);
void op_get_versioning(struct request *r);
/* What S3 has and this server has not, where another row would take it. */
void op_not_implemented(struct request *r);

/* ops_list.c */
void op_list_objects(struct request *r);
void op_list_objects_v2(struct request *r);

/* ops_read.c */
void op_get_object(struct request *r);
void op_head_object(struct request *r);

/* ops_tags.c */
void op_get_tagging(struct request *r);
void op_put_tagging(struct request *r);
void op_delete_tagging(struct request *r);

/* ops_write.c */
void op_put_object(struct request *r);
void op_copy_object(struct request *r);
void op_delete_object(struct request *r);
void op_delete_objects(struct request *r);

/* ops_multipart.c */
void op_create_upload(struct request *r);
void op_upload_part(struct request *r);
void op_upload_part_copy(struct request *r);
void op_list_parts(struct request *r);
void op_complete_upload(struct request *r);
void op_abort_upload(struct request *r);
void op_list_uploads(struct request *r);

/* rdma.c */
void op_shm_connect(struct request *r);

/* rdma_connect.c */
void op_rc_connect(struct request *r);
void op_rc_disconnect(struct request *r);
void op_rc_prepare(struct request *r);
void op_rc_ready(struct request *r);
void op_rc_cancel(struct request *r);

/* Opens what x-amz-copy-source names and checks its conditions; false after
 * an error answer. */
bool copy_source_open(struct request *r, int *fd, struct store_meta *meta);

/* If-Match and its three siblings, for the ETag and time given; prefix is ""
 * or "x-amz-copy-source-".  Returns 0, 304 or 412. */
int check_preconditions(const struct request *r, const char *prefix,
			const char *etag, time_t mtime);

/* "bytes=..." against a size: 0 none or not understood, 1 a range in *off and
 * *len, -1 not satisfiable. */
int parse_range(const char *v, uint64_t size, uint64_t *off, uint64_t *len);

/* ETag, dates, kept headers of an object. */
void reply_object_headers(struct request *r, const struct store_meta *meta);

/* Until no write is late any more: before the transports end. */
void rdma_wait_for_late(void);

/* Moves the bytes by the request's token when it has one and can: true when
 * the answer is complete (moved, or refused). */
bool rdma_try_get(struct request *r, int fd, uint64_t off, uint64_t len,
		  bool ranged);

/* An upload that comes with a token is refused: true when it was. */
bool rdma_refuse_put(struct request *r);

#endif
