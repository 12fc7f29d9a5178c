/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "ctl.h"
#include "xfer/profile.h"

static int make_creds(struct daemon *d, char *why, size_t cap)
{
	const struct creds_config c = {
		.profile = d->cfg.credentials.profile,
		.anonymous = d->cfg.credentials.anonymous};

	return creds_new(&c, &d->creds, why, cap);
}

static int make_s3(struct daemon *d, char *why, size_t cap)
{
	const struct config *cfg = &d->cfg;
	struct s3_config c = {
		.region = cfg->endpoint.region,
		.ca_file = cfg->endpoint.ca_file,
		.virtual_host = !strcmp(cfg->endpoint.addressing, "virtual"),
		.connections = (unsigned int)cfg->request.connections,
		.connect_timeout_ms = cfg->request.connect_timeout,
		.attempt_timeout_ms = cfg->request.attempt_timeout,
		.deadline_ms = cfg->request.deadline};
	int err;

	for (size_t i = 0; i < cfg->endpoint.urls.n; i++)
		c.urls[c.nurls++] = cfg->endpoint.urls.items[i];
	err = s3_new(&c, d->creds, &d->s3);
	if (err == -EINVAL)
		snprintf(why, cap,
			 "endpoint.urls: \"%s\" is no endpoint: expected "
			 "http://host[:port] or https://host[:port]",
			 c.urls[c.nurls - 1]);
	else if (err)
		snprintf(why, cap, "cannot start the S3 client: %s",
			 strerror(-err));
	return err;
}

static int ignore_entry(void *ctx, const struct s3_entry *e)
{
	(void)ctx;
	(void)e;
	return 0;
}

/* One small listing: is everything right that a mount needs? */
static int probe(struct daemon *d, char *why, size_t cap)
{
	const struct s3_list l = {.bucket = d->bucket[0] ? d->bucket : NULL,
				  .prefix = d->prefix,
				  .max_keys = 1,
				  .entry = ignore_entry,
				  .timeout_ms = d->cfg.request.connect_timeout};
	struct s3_answer a = {0};
	const int err = s3_list(d->s3, &l, &a);
	struct s3_call call = {.answer = a};
	char cause[256];

	if (err == -EBADMSG)
		snprintf(why, cap,
			 "%s answers, but not as an S3 server: check "
			 "endpoint.urls",
			 d->cfg.endpoint.urls.items[0]);
	else if (err)
		snprintf(why, cap, "cannot use %s at %s: %s; %s", d->source,
			 d->cfg.endpoint.urls.items[0],
			 s3_describe(&call, cause, sizeof(cause)),
			 s3_error_hint(a.curl, a.status, a.code));
	return err;
}

static enum staging_pages pages_of(const char *word)
{
	return !strcmp(word, "on")    ? STAGING_RESERVED
	       : !strcmp(word, "off") ? STAGING_SMALL_PAGES
				      : STAGING_TRANSPARENT;
}

/* Where the NICs are that will fill the pool. */
static void find_nodes(const struct config_list *devices,
		       struct staging_config *out)
{
	for (size_t i = 0; i < devices->n && out->nnodes < RDMA_NODES; i++) {
		const int node = rdma_device_node(devices->items[i]);

		if (node < 0 || node >= 64) {
			out->nnodes = 0;
			return;
		}
		out->nodes[out->nnodes++] = node;
	}
}

static void list_gpus(const struct daemon *d, struct gpubuf_config *c)
{
	const struct config_list *l = &d->cfg.staging.gpus;

	for (size_t i = 0; i < l->n; i++) {
		struct config_gpu gpu;

		config_parse_gpu(l->items[i], &gpu);
		c->gpus[c->ngpus].fake = gpu.fake;
		c->gpus[c->ngpus].ordinal = gpu.ordinal;
		c->gpus[c->ngpus++].size = gpu.size;
	}
}

/* Could a NIC be told where the pool's pages are, now or later? */
static bool may_use_nic(const struct daemon *d)
{
	const char *mode = d->cfg.transport.mode;

	if (!strcmp(mode, "http") || !strcmp(mode, "shm"))
		return false;
	return strcmp(mode, "auto") != 0 || rdma_host_has_nic();
}

/* What NICs may be told of besides the pool: memory of GPUs. */
static int make_peers(struct daemon *d)
{
	struct gpubuf_config gpus = {.ngpus = 0};

	list_gpus(d, &gpus);
	return gpus.ngpus && may_use_nic(d)
		       ? peermem_new(gpubuf_regions(&gpus), GPUBUF_REGION,
				     &d->peers)
		       : 0;
}

static int make_cache(struct daemon *d, char *why, size_t cap)
{
	struct cache_config c = {
		.staging = {.size = d->cfg.staging.host,
			    .slot = d->cfg.staging.slot,
			    .pages = pages_of(d->cfg.staging.hugepages)},
		.prefetch_max = d->cfg.read.prefetch_max,
		.hedge_ms = (uint32_t)d->cfg.request.hedge_after,
		.deadline_ms = d->cfg.request.deadline};
	int err;

	find_nodes(&d->cfg.transport.devices, &c.staging);
	err = make_peers(d);
	c.staging.peers = d->peers;
	if (!err)
		err = cache_new(&c, &d->cache);
	if (err)
		snprintf(why, cap,
			 "cannot get %llu MiB for the pool: %s; make "
			 "cache_size smaller",
			 (unsigned long long)d->cfg.staging.host >> 20,
			 strerror(-err));
	return err;
}

static enum xfer_mode mode_of(const char *word)
{
	return !strcmp(word, "dc")     ? XFER_DC
	       : !strcmp(word, "rc")   ? XFER_RC
	       : !strcmp(word, "shm")  ? XFER_SHM
	       : !strcmp(word, "http") ? XFER_HTTP
				       : XFER_AUTO;
}

static enum xfer_rc rc_of(const char *word)
{
	return !strcmp(word, "persistent")     ? XFER_RC_PERSISTENT
	       : !strcmp(word, "hipobj-rc-v2") ? XFER_RC_HIPOBJ
					       : XFER_RC_ANY;
}

static int make_xfer(struct daemon *d, char *why, size_t cap)
{
	const struct config *cfg = &d->cfg;
	struct xfer_config c = {
		.mode = mode_of(cfg->transport.mode),
		.rc = rc_of(cfg->transport.rc_protocol),
		.require = cfg->transport.require,
		.dc_key = (uint32_t)cfg->transport.dc_key,
		.min_size = cfg->transport.min_size,
		.profile = profile_find(cfg->transport.profile)};
	int err;

	for (size_t i = 0; i < cfg->transport.devices.n; i++)
		c.devices[c.ndevices++] = cfg->transport.devices.items[i];
	err = xfer_new(&c, d->s3, cache_arena(d->cache), &d->xfer);
	if (err)
		snprintf(why, cap, "cannot start transfers: %s",
			 strerror(-err));
	else
		cache_start(d->cache, d->xfer);
	return err;
}

/* Where names are kept when the configuration does not say. */
static const char *default_folder(char *buf, size_t cap)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		snprintf(buf, cap, "/var/cache/s3rdmafs");
	else if (cache && *cache == '/')
		snprintf(buf, cap, "%s/s3rdmafs", cache);
	else if (home && *home == '/')
		snprintf(buf, cap, "%s/.cache/s3rdmafs", home);
	else
		return NULL;
	return buf;
}

static int make_namespace(struct daemon *d, char *why, size_t cap)
{
	const char *path = d->cfg.metadata.path;
	char folder[4096];
	struct namespace_config c = {
		.bucket = d->bucket,
		.prefix = d->prefix,
		.endpoint = d->cfg.endpoint.urls.items[0],
		.folder = !strcmp(path, "auto")
				  ? default_folder(folder, sizeof(folder))
			  : !strcmp(path, "none") ? NULL
						  : path,
		.max_bytes = d->cfg.metadata.size,
		.fresh = {.ttl_ms = d->cfg.metadata.ttl,
			  .negative_ttl_ms = d->cfg.metadata.negative_ttl}};
	const struct config_list *rules = &d->cfg.metadata.rules;
	char prefixes[FRESH_RULES][S3_KEY_MAX + 1];

	for (size_t i = 0; i < rules->n && i < FRESH_RULES; i++) {
		struct fresh_rule *r = &c.fresh.rules[c.fresh.n++];

		r->prefix = prefixes[i];
		r->ttl_ms = d->cfg.metadata.ttl;
		config_parse_rule(rules->items[i], prefixes[i], &r->ttl_ms,
				  &r->trusted);
	}
	return namespace_new(&c, d->s3, &d->ns, why, cap);
}

/* libfuse and fusermount3 speak to stderr: catch it, to say one line. */
static int mount_quietly(const struct fs_config *c, struct daemon *d,
			 char *said, size_t cap)
{
	AUTO_CLOSE int memory = memfd_create("stderr", MFD_CLOEXEC);
	AUTO_CLOSE int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	ssize_t n = 0;
	int err;

	if (memory < 0 || saved < 0)
		return fs_mount(c, d->ns, d->cache, d->gpubuf, &d->fs);
	dup2(memory, STDERR_FILENO);
	err = fs_mount(c, d->ns, d->cache, d->gpubuf, &d->fs);
	dup2(saved, STDERR_FILENO);
	if (err)
		n = pread(memory, said, cap - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	return err;
}

static int make_gpubuf(struct daemon *d, char *why, size_t cap)
{
	struct gpubuf_config c = {.socket = d->exports,
				  .deadline_ms = d->cfg.request.deadline,
				  .ahead_max = d->cfg.read.prefetch_max,
				  .allow_other = d->cfg.mount.allow_other,
				  .frames_are_known = may_use_nic(d)};

	list_gpus(d, &c);
	return gpubuf_new(&c, d->cache, d->xfer, &d->gpubuf, why, cap);
}

static const char *transport_in_use(void *ctx)
{
	const struct daemon *d = ctx;
	struct xfer_stats x;

	xfer_get_stats(d->xfer, &x);
	return x.in_use;
}

static bool has_trusted(const struct config_list *rules)
{
	char prefix[S3_KEY_MAX + 1];
	bool trusted = false;
	uint64_t ttl;

	for (size_t i = 0; i < rules->n && !trusted; i++)
		config_parse_rule(rules->items[i], prefix, &ttl, &trusted);
	return trusted;
}

/* May whole files have memory out of the pool?  Not when others hold on to its
 * pages. */
static bool may_pass(const struct daemon *d)
{
	return d->cfg.read.passthrough && !may_use_nic(d) &&
	       d->cfg.staging.gpus.n == 0 &&
	       pages_of(d->cfg.staging.hugepages) != STAGING_RESERVED;
}

static int make_fs(struct daemon *d, bool debug, char *why, size_t cap)
{
	const struct config *cfg = &d->cfg;
	const struct fs_config c = {
		.mountpoint = d->mountpoint,
		.source = d->source,
		.extra_options = cfg->generic[0] ? cfg->generic : NULL,
		.uid = (uid_t)cfg->mount.uid,
		.gid = (gid_t)cfg->mount.gid,
		.file_mode = cfg->mount.file_mode & ~cfg->mount.umask,
		.dir_mode = cfg->mount.dir_mode & ~cfg->mount.umask,
		.allow_other = cfg->mount.allow_other,
		.has_trusted = has_trusted(&cfg->metadata.rules),
		.kernel_cache = cfg->read.kernel_cache,
		.passthrough = may_pass(d),
		.files_ahead = (unsigned int)cfg->read.files_ahead,
		.debug = debug,
		.ttl_ms = cfg->metadata.ttl,
		.negative_ttl_ms = cfg->metadata.negative_ttl,
		.kernel_ttl_ms = cfg->metadata.kernel_ttl,
		.control = d->control,
		.slot_size = cfg->staging.slot,
		.host_pool = cache_arena(d->cache)->size,
		.transport = transport_in_use,
		.transport_ctx = d};
	char said[300];
	const int err = mount_quietly(&c, d, said, sizeof(said));

	if (err)
		snprintf(why, cap, "cannot mount on %s: %s", d->mountpoint,
			 said[0] ? said : strerror(-err));
	return err;
}

static int make_ctl(struct daemon *d, char *why, size_t cap)
{
	const int err = ctl_new(d, &d->ctl);

	if (err)
		snprintf(why, cap, "cannot make the control socket %s: %s",
			 d->control, strerror(-err));
	return err;
}

int daemon_start(struct daemon *d, bool debug, char *why, size_t cap)
{
	int err = make_creds(d, why, cap);

	d->started_ms = clock_ms();
	if (!err)
		err = make_s3(d, why, cap);
	if (!err)
		err = probe(d, why, cap);
	if (!err)
		err = make_cache(d, why, cap);
	if (!err)
		err = make_xfer(d, why, cap);
	if (!err)
		err = make_namespace(d, why, cap);
	if (!err)
		err = make_ctl(d, why, cap);
	if (!err)
		err = make_gpubuf(d, why, cap);
	if (!err)
		err = make_fs(d, debug, why, cap);
	if (!err)
		ctl_start(d->ctl);
	return err;
}

void daemon_stop(struct daemon *d)
{
	/* First whoever waits for the server is let go, then the waiters'
	 * requests are answered, and at last the mount itself goes. */
	if (d->cache)
		cache_close(d->cache);
	if (d->s3)
		s3_stop(d->s3);
	ctl_free(d->ctl);
	namespace_stop(d->ns);
	if (d->fs)
		fs_stop_work(d->fs);
	namespace_wait(d->ns);
	if (d->cache)
		cache_stop(d->cache);
	if (d->gpubuf)
		gpubuf_stop(d->gpubuf);
	fs_free(d->fs);
	xfer_free(d->xfer);
	gpubuf_free(d->gpubuf);
	namespace_free(d->ns);
	cache_free(d->cache);
	peermem_free(d->peers);
	s3_free(d->s3);
	creds_free(d->creds);
}
