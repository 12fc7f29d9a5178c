/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says of itself: stats are counters, status is for people. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon.h"

static json_t *pool_json(const struct cache_stats *c, uint64_t lost)
{
	const unsigned int *n = c->pool.states;

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:b}",
			 "slots", c->pool.slots, "free", n[SLOT_FREE], "armed",
			 n[SLOT_ARMED], "ready", n[SLOT_READY], "quarantined",
			 n[SLOT_QUARANTINED], "lent", n[SLOT_LENT], "lost",
			 (json_int_t)lost, "size_bytes",
			 (json_int_t)c->pool.size, "pinned", c->pool.pinned);
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static json_t *bytes_json(const struct xfer_stats *x)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "http",
			 (json_int_t)x->bytes[XFER_BY_HTTP], "shm",
			 (json_int_t)x->bytes[XFER_BY_SHM], "rc",
			 (json_int_t)x->bytes[XFER_BY_RC], "dc",
			 (json_int_t)x->bytes[XFER_BY_DC]);
}

static json_t *requests_json(const struct s3_stats *s)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "get",
		(json_int_t)s->get, "head", (json_int_t)s->head, "list",
		(json_int_t)s->list, "other", (json_int_t)s->other, "retries",
		(json_int_t)s->retries, "errors", (json_int_t)s->errors,
		"in_flight", (json_int_t)s->in_flight);
}

static json_t *resident_json(const struct residents_stats *r)
{
	return json_pack("{s:i, s:I, s:I}", "files", r->files, "bytes",
			 (json_int_t)r->bytes, "opens", (json_int_t)r->opens);
}

static json_t *reads_json(const struct cache_stats *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i}", "count",
			 (json_int_t)c->reads, "bytes",
			 (json_int_t)c->read_bytes, "hits", (json_int_t)c->hits,
			 "prefetched_bytes", (json_int_t)c->prefetched,
			 "hedged", (json_int_t)c->hedges, "hedges_won",
			 (json_int_t)c->hedges_won, "waiting_for_slot",
			 c->waiting, "filling", c->filling);
}

static json_t *maps_json(struct daemon *d)
{
	struct gpubuf_stats s;

	gpubuf_get_stats(d->gpubuf, &s);
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I,"
		" s:I, s:I, s:I, s:I}",
		"handles", (json_int_t)s.handles, "buffers",
		(json_int_t)s.buffers, "mapped_bytes",
		(json_int_t)s.mapped_bytes, "resident_bytes",
		(json_int_t)s.resident_bytes, "leased_bytes",
		(json_int_t)s.leased_bytes, "users", s.users,
		"waiting_for_room", s.waiting, "busy", s.busy, "count",
		(json_int_t)s.maps, "hits", (json_int_t)s.hits, "reads",
		(json_int_t)s.reads, "direct_bytes", (json_int_t)s.direct_bytes,
		"copied_bytes", (json_int_t)s.copied_bytes, "bounced_bytes",
		(json_int_t)s.bounced_bytes, "ahead_bytes",
		(json_int_t)s.ahead_bytes, "wiped_bytes",
		(json_int_t)s.wiped_bytes);
}

json_t *daemon_stats(struct daemon *d)
{
	struct cache_stats c;
	struct xfer_stats x;
	struct ns_stats m;
	struct s3_stats s;
	struct fs_stats f;

	cache_get_stats(d->cache, &c);
	xfer_get_stats(d->xfer, &x);
	namespace_get_stats(d->ns, &m);
	s3_get_stats(d->s3, &s);
	fs_get_stats(d->fs, &f);
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I,"
		" s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:s, "
		"s:s}, s:o, s:o}",
		"bytes", bytes_json(&x), "requests", requests_json(&s), "reads",
		reads_json(&c), "pool", pool_json(&c, x.failed_fences),
		"quarantines", (json_int_t)c.quarantines, "fences",
		(json_int_t)x.fences, "failed_fences",
		(json_int_t)x.failed_fences, "declines", (json_int_t)x.declines,
		"unknown_outcomes", (json_int_t)x.unknowns, "evictions",
		(json_int_t)c.evictions, "names", "inodes",
		(json_int_t)f.inodes, "open_files", (json_int_t)f.open_files,
		"directories", (json_int_t)m.dirs, "leaves",
		(json_int_t)m.leaves, "store_bytes", (json_int_t)m.bytes,
		"store_rebuilt", (json_int_t)m.rebuilt, "cpu", "transfer_ns",
		(json_int_t)minus(s.loop_cpu_ns, x.done_cpu_ns), "reply_ns",
		(json_int_t)x.done_cpu_ns, "transport", "mode",
		d->cfg.transport.mode, "in_use", x.in_use, "maps", maps_json(d),
		"resident", resident_json(&f.resident));
}

/* "gpu": {"0": "8192 MiB"}, or why there is none */
static json_t *gpus_json(struct daemon *d)
{
	struct gpubuf_info info;
	json_t *o;

	gpubuf_get_info(d->gpubuf, &info);
	if (info.ndevices == 0)
		return json_string(info.no_gpu);
	o = json_object();
	for (unsigned int i = 0; i < info.ndevices; i++) {
		char name[16], text[64];

		snprintf(name, sizeof(name), "%u", info.devices[i].ordinal);
		snprintf(text, sizeof(text), "%llu MiB",
			 (unsigned long long)info.devices[i].pool >> 20);
		json_object_set_new(o, name, json_string(text));
	}
	return o;
}

/* "rail": {"0": {...}, ...} */
static json_t *rails_json(struct daemon *d)
{
	struct xfer_rail rails[XFER_RAILS];
	const unsigned int n = xfer_get_rails(d->xfer, rails);
	json_t *o = json_object();

	for (unsigned int i = 0; i < n; i++) {
		const struct xfer_rail *r = &rails[i];
		json_t *rail = json_pack("{s:s, s:s, s:I}", "endpoint",
					 d->cfg.endpoint.urls.items[r->url],
					 "transport", r->transport, "bytes",
					 (json_int_t)r->bytes);
		char name[8];

		if (r->protocol[0])
			json_object_set_new(rail, "protocol",
					    json_string(r->protocol));
		if (r->place.device[0])
			json_object_update_new(
				rail,
				json_pack("{s:s, s:i, s:s, s:s, s:i, s:i}",
					  "device", r->place.device, "port",
					  r->place.port, "gid", r->place.gid,
					  "address", r->place.address, "mtu",
					  r->place.mtu, "numa_node",
					  r->place.numa));
		if (r->why[0])
			json_object_set_new(rail, "no_rdma",
					    json_string(r->why));
		snprintf(name, sizeof(name), "%u", i);
		json_object_set_new(o, name, rail);
	}
	return o;
}

json_t *daemon_status(struct daemon *d)
{
	struct xfer_stats x;
	struct cache_stats c;
	struct fs_stats f;
	uint64_t all, rdma;

	cache_get_stats(d->cache, &c);
	xfer_get_stats(d->xfer, &x);
	fs_get_stats(d->fs, &f);
	rdma = x.bytes[XFER_BY_SHM] + x.bytes[XFER_BY_RC] + x.bytes[XFER_BY_DC];
	all = x.bytes[XFER_BY_HTTP] + rdma;
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:o,"
		" s:I, s:b, s:b, s:b, s:I, s:i, s:o}",
		"version", S3RDMAFS_VERSION, "source", d->source, "endpoint",
		d->cfg.endpoint.urls.items[0], "credentials",
		creds_origin(d->creds), "transport.mode", d->cfg.transport.mode,
		"transport.profile", d->cfg.transport.profile,
		"transport.in_use", x.in_use, "transport.rdma_percent",
		all ? 100.0 * (double)rdma / (double)all : 0.0, "rail",
		rails_json(d), "pool_bytes", (json_int_t)c.pool.size,
		"pool_pinned", c.pool.pinned, "shared_mmap", f.direct_mmap,
		"passthrough", f.passthrough, "uptime_seconds",
		(json_int_t)(clock_ms() - d->started_ms) / 1000, "pid",
		(int)getpid(), "gpu", gpus_json(d));
}
