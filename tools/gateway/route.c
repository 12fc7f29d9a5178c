/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation a method, a path and a query mean. */
#include <string.h>

#include "base/cleanup.h"
#include "ops.h"

enum place { SERVICE, BUCKET, OBJECT };

/* The first row that fits counts.  need: a query parameter that must be
 * there; header: one of the request. */
static const struct {
	const char *method;
	enum place place;
	const char *need, *header;
	struct op op;
} table[] = {
	{"GET",
	 SERVICE,
	 NULL,
	 NULL,
	 {"ListBuckets", BODY_NONE, op_list_buckets}},

	{"GET",
	 BUCKET,
	 "location",
	 NULL,
	 {"GetBucketLocation", BODY_NONE, op_get_location}},
	{"GET",
	 BUCKET,
	 "versioning",
	 NULL,
	 {"GetBucketVersioning", BODY_NONE, op_get_versioning}},
	{"GET",
	 BUCKET,
	 "uploads",
	 NULL,
	 {"ListMultipartUploads", BODY_NONE, op_list_uploads}},
	{"GET",
	 BUCKET,
	 "list-type",
	 NULL,
	 {"ListObjectsV2", BODY_NONE, op_list_objects_v2}},
	{"GET",
	 BUCKET,
	 NULL,
	 NULL,
	 {"ListObjects", BODY_NONE, op_list_objects}},
	{"PUT",
	 BUCKET,
	 "versioning",
	 NULL,
	 {"PutBucketVersioning", BODY_XML, op_not_implemented}},
	{"PUT",
	 BUCKET,
	 NULL,
	 NULL,
	 {"CreateBucket", BODY_XML, op_create_bucket}},
	{"HEAD", BUCKET, NULL, NULL, {"HeadBucket", BODY_NONE, op_head_bucket}},
	{"DELETE",
	 BUCKET,
	 NULL,
	 NULL,
	 {"DeleteBucket", BODY_NONE, op_delete_bucket}},
	{"POST",
	 BUCKET,
	 "delete",
	 NULL,
	 {"DeleteObjects", BODY_XML, op_delete_objects}},

	{"GET",
	 OBJECT,
	 "uploadId",
	 NULL,
	 {"ListParts", BODY_NONE, op_list_parts}},
	{"GET",
	 OBJECT,
	 "tagging",
	 NULL,
	 {"GetObjectTagging", BODY_NONE, op_get_tagging}},
	{"GET",
	 OBJECT,
	 "partNumber",
	 NULL,
	 {"GetObjectPart", BODY_NONE, op_not_implemented}},
	{"GET", OBJECT, NULL, NULL, {"GetObject", BODY_NONE, op_get_object}},
	{"HEAD", OBJECT, NULL, NULL, {"HeadObject", BODY_NONE, op_head_object}},
	{"PUT",
	 OBJECT,
	 "tagging",
	 NULL,
	 {"PutObjectTagging", BODY_XML, op_put_tagging}},
	{"PUT",
	 OBJECT,
	 "partNumber",
	 "x-amz-copy-source",
	 {"UploadPartCopy", BODY_NONE, op_upload_part_copy}},
	{"PUT",
	 OBJECT,
	 "partNumber",
	 NULL,
	 {"UploadPart", BODY_OBJECT, op_upload_part}},
	{"PUT",
	 OBJECT,
	 NULL,
	 "x-amz-copy-source",
	 {"CopyObject", BODY_NONE, op_copy_object}},
	{"PUT", OBJECT, NULL, NULL, {"PutObject", BODY_OBJECT, op_put_object}},
	{"POST",
	 OBJECT,
	 "uploads",
	 NULL,
	 {"CreateMultipartUpload", BODY_NONE, op_create_upload}},
	{"POST",
	 OBJECT,
	 "uploadId",
	 NULL,
	 {"CompleteMultipartUpload", BODY_XML, op_complete_upload}},
	{"DELETE",
	 OBJECT,
	 "uploadId",
	 NULL,
	 {"AbortMultipartUpload", BODY_NONE, op_abort_upload}},
	{"DELETE",
	 OBJECT,
	 "tagging",
	 NULL,
	 {"DeleteObjectTagging", BODY_NONE, op_delete_tagging}},
	{"DELETE",
	 OBJECT,
	 NULL,
	 NULL,
	 {"DeleteObject", BODY_NONE, op_delete_object}},
};

/* Sub-resources that exist at S3 and not here, or only where a row needs them:
 * answering them with another operation would be a silent lie. */
static const char *const not_ours[] = {
	"accelerate",
	"acl",
	"analytics",
	"attributes",
	"cors",
	"encryption",
	"intelligent-tiering",
	"inventory",
	"legal-hold",
	"lifecycle",
	"logging",
	"metrics",
	"notification",
	"object-lock",
	"ownershipControls",
	"policy",
	"policyStatus",
	"publicAccessBlock",
	"replication",
	"requestPayment",
	"restore",
	"retention",
	"select",
	"tagging",
	"torrent",
	"versions",
	"versionId",
	"website",
};

/* Paths of our own and of the hand-shakes: no bucket can have their names. */
static const struct {
	const char *place, *key;
	struct op op;
} own[] = {
	{".s3rdma", "shm", {"ShmConnect", BODY_NONE, op_shm_connect}},
	{".s3rdma-rc", "connect", {"RcConnect", BODY_NONE, op_rc_connect}},
	{".s3rdma-rc",
	 "disconnect",
	 {"RcDisconnect", BODY_NONE, op_rc_disconnect}},
	{".hipobj-rc", "prepare", {"RcPrepare", BODY_NONE, op_rc_prepare}},
	{".hipobj-rc", "ready", {"RcReady", BODY_NONE, op_rc_ready}},
	{".hipobj-rc", "cancel", {"RcCancel", BODY_NONE, op_rc_cancel}},
};

static bool route_own(struct request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (strcmp(r->method, "POST") != 0 ||
		    strcmp(r->bucket, own[i].place) != 0 ||
		    strcmp(r->key, own[i].key) != 0)
			continue;
		r->op = &own[i].op;
		return true;
	}
	return false;
}

static bool is_needed(const char *method, enum place place, const char *param)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].place == place && table[i].need &&
		    !strcmp(table[i].method, method) &&
		    !strcmp(table[i].need, param))
			return true;
	return false;
}

bool route(struct request *r)
{
	const enum place place = !r->bucket[0] ? SERVICE
				 : r->has_key  ? OBJECT
					       : BUCKET;

	if (route_own(r))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) {
		if (!request_param(r, not_ours[i]) ||
		    is_needed(r->method, place, not_ours[i]))
			continue;
		reply_error(r, "NotImplemented",
			    "A header or query you provided implies "
			    "functionality that is not implemented");
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].place != place)
			continue;
		if (strcmp(table[i].method, r->method) != 0 ||
		    (table[i].need && !request_param(r, table[i].need)) ||
		    (table[i].header && !request_header(r, table[i].header)))
			continue;
		r->op = &table[i].op;
		return true;
	}
	reply_error(r, "MethodNotAllowed",
		    "The specified method is not allowed against this "
		    "resource.");
	return false;
}
