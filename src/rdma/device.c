/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"

#define GIDS_MAX 512

/* The best entry so far. */
struct choice {
	struct ibv_context *ctx; /* owned */
	struct ibv_gid_entry entry;
	struct ibv_port_attr port;
	int rank;
	bool down; /* one would have done, were its port not down */
};

static bool is_zero(const uint8_t gid[16])
{
	static const uint8_t zero[16];

	return !memcmp(gid, zero, 16);
}

int device_rank(const struct device_gid *g, const struct route *route,
		bool named)
{
	const bool v4 = route_is_ipv4(g->gid);

	if (is_zero(g->gid))
		return 0;
	/* The port's own GID; its address, if any, is IPoIB's and not in it. */
	if (g->infiniband)
		return g->index == 0 ? 1 : 0;
	if (!g->roce_v2)
		return 0;
	if (!memcmp(g->gid, route->local, 16))
		return 3;
	/* Link-local ones reach no other segment, and a mapped IPv4 address
	 * cannot speak to an IPv6 one. */
	if (!(named || route->any) ||
	    (g->gid[0] == 0xfe && g->gid[1] == 0x80) ||
	    v4 != route_is_ipv4(route->remote))
		return 0;
	return 2;
}

static const char *state_name(enum ibv_port_state s)
{
	return s == IBV_PORT_INIT ? "initialising: is a subnet manager there?"
	       : s == IBV_PORT_ARMED ? "armed, not active"
				     : "down: check the link";
}

/* Keeps the first reason that is worth telling. */
static void reason(char *why, size_t cap, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void reason(char *why, size_t cap, const char *fmt, ...)
{
	va_list args;

	if (why[0])
		return;
	va_start(args, fmt);
	vsnprintf(why, cap, fmt, args);
	va_end(args);
}

static void try_port(struct ibv_context *ctx, struct ibv_device *device,
		     const struct ibv_gid_entry *e, const struct route *route,
		     bool named, struct choice *best, char *why, size_t cap)
{
	struct device_gid g = {.roce_v2 = e->gid_type == IBV_GID_TYPE_ROCE_V2,
			       .index = e->gid_index};
	struct ibv_port_attr port;
	int rank;

	/* An address vector has eight bits for it. */
	if (e->gid_index > UINT8_MAX)
		return;
	if (ibv_query_port(ctx, (uint8_t)e->port_num, &port))
		return;
	g.infiniband = port.link_layer == IBV_LINK_LAYER_INFINIBAND;
	memcpy(g.gid, e->gid.raw, 16);
	rank = device_rank(&g, route, named);
	if (rank <= best->rank)
		return;
	if (port.state != IBV_PORT_ACTIVE) {
		best->down = true;
		reason(why, cap, "port %u of %s is %s", e->port_num,
		       ibv_get_device_name(device), state_name(port.state));
		return;
	}
	if (best->ctx != ctx && best->ctx)
		ibv_close_device(best->ctx);
	*best = (struct choice){ctx, *e, port, rank, false};
}

static void try_device(struct ibv_device *device, const struct route *route,
		       bool named, struct choice *best, char *why, size_t cap)
{
	AUTO_FREE struct ibv_gid_entry *table = calloc(GIDS_MAX,
						       sizeof(*table));
	struct ibv_context *ctx = ibv_open_device(device);
	ssize_t n = -1;

	if (ctx && table)
		n = ibv_query_gid_table(ctx, table, GIDS_MAX, 0);
	if (n < 0)
		reason(why, cap,
		       "%s cannot be opened: %s; is /dev/infiniband there, and "
		       "may this user open it?",
		       ibv_get_device_name(device), strerror(errno));
	for (ssize_t i = 0; i < n; i++)
		try_port(ctx, device, &table[i], route, named, best, why, cap);
	if (ctx && best->ctx != ctx)
		ibv_close_device(ctx);
}

/* No device has an entry for the route: says what would help. */
static void explain(const char *device, const struct route *route, int n,
		    char *why, size_t cap)
{
	char local[48];

	route_format(route->local, local, sizeof(local));
	if (n == 0)
		reason(why, cap,
		       "this host has no RDMA device: load the NIC's driver, "
		       "or "
		       "set transport.mode to http");
	else if (device)
		reason(why, cap,
		       "%s is no RDMA device of this host, or has no RoCEv2 "
		       "GID "
		       "of the server's address family: see rdma link and "
		       "ibv_devinfo -v",
		       device);
	else if (route->loopback)
		reason(why, cap,
		       "the server is reached over loopback, where no RDMA NIC "
		       "is: give a NIC's address in endpoint.urls, or name the "
		       "NIC in transport.devices");
	else
		reason(why, cap,
		       "no RDMA device has a RoCEv2 GID for %s, the local "
		       "address of the route to the server: name the NIC in "
		       "transport.devices",
		       local);
}

static int choose(const char *device, const struct route *route,
		  struct choice *best, char *why, size_t cap)
{
	struct ibv_device **list;
	int n = 0;

	why[0] = '\0';
	list = ibv_get_device_list(&n);
	for (int i = 0; list && i < n; i++)
		if (!device || !strcmp(device, ibv_get_device_name(list[i])))
			try_device(list[i], route, device != NULL, best, why,
				   cap);
	if (!best->rank)
		explain(device, route, list ? n : 0, why, cap);
	if (list)
		ibv_free_device_list(list);
	return best->rank ? 0 : best->down ? -ENETDOWN : -ENODEV;
}

static int numa_of(const char *ibdev_path)
{
	char path[300], text[16];
	uint64_t node;
	FILE *f;

	snprintf(path, sizeof(path), "%s/device/numa_node", ibdev_path);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	/* The kernel's own word for unknown is -1, which is no number here. */
	return parse_u64(text, &node) || node > INT_MAX ? -1 : (int)node;
}

bool rdma_host_has_nic(void)
{
	int n = 0;
	struct ibv_device **list = ibv_get_device_list(&n);

	if (list)
		ibv_free_device_list(list);
	return n > 0;
}

int rdma_device_node(const char *device)
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s", device);
	return strchr(device, '/') ? -1 : numa_of(path);
}

static void describe(struct device *d)
{
	const struct ibv_device *dev = d->ctx->device;
	struct rdma_place *p = &d->place;

	snprintf(p->device, sizeof(p->device), "%s", dev->name);
	p->port = d->port;
	p->infiniband = d->infiniband;
	p->mtu = 128U << d->mtu;
	p->numa = numa_of(dev->ibdev_path);
	inet_ntop(AF_INET6, d->gid.raw, p->gid, sizeof(p->gid));
	if (!d->infiniband)
		route_format(d->gid.raw, p->address, sizeof(p->address));
}

int device_open(const char *device, const struct route *route,
		struct device **out, char *why, size_t cap)
{
	struct choice best = {0};
	struct device *d;
	int err = choose(device, route, &best, why, cap);

	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d) {
		ibv_close_device(best.ctx);
		return -ENOMEM;
	}
	d->ctx = best.ctx;
	d->port = (uint8_t)best.entry.port_num;
	d->gid_index = (uint8_t)best.entry.gid_index;
	d->gid = best.entry.gid;
	d->gid_type = best.entry.gid_type;
	d->lid = best.port.lid;
	d->mtu = best.port.active_mtu;
	d->infiniband = best.port.link_layer == IBV_LINK_LAYER_INFINIBAND;
	describe(d);
	d->pd = ibv_alloc_pd(d->ctx);
	/* Events are looked for, not waited for. */
	if (!d->pd || fcntl(d->ctx->async_fd, F_SETFL, O_NONBLOCK)) {
		err = errno ? -errno : -EIO;
		snprintf(why, cap, "%s: %s", d->place.device, strerror(-err));
		device_close(d);
		return err;
	}
	*out = d;
	return 0;
}

int device_open_for(const struct rdma_want *want, struct device **out,
		    char *why, size_t cap)
{
	struct route route;

	if (route_to(want->host, &route)) {
		snprintf(why, cap, "there is no route to %s", want->host);
		return -EHOSTUNREACH;
	}
	return device_open(want->device, &route, out, why, cap);
}

static void die(struct device *d, const char *why)
{
	if (!atomic_exchange(&d->dead, true))
		log_warning("rdma: %s port %u: %s; objects come by http until "
			    "it is back",
			    d->place.device, d->port, why);
}

/* The event comes for any change of the table: is it ours that changed? */
static bool gid_is_ours(struct device *d)
{
	struct ibv_gid_entry e;

	return !ibv_query_gid_ex(d->ctx, d->port, d->gid_index, &e, 0) &&
	       e.gid_type == d->gid_type && !memcmp(e.gid.raw, d->gid.raw, 16);
}

static void on_event(struct device *d, const struct ibv_async_event *e)
{
	switch (e->event_type) {
	case IBV_EVENT_DEVICE_FATAL:
		die(d, "the device has failed");
		break;
	case IBV_EVENT_PORT_ERR:
		if (e->element.port_num == d->port)
			die(d, "the port is down");
		break;
	case IBV_EVENT_GID_CHANGE:
	case IBV_EVENT_LID_CHANGE:
		if (e->element.port_num == d->port &&
		    (d->infiniband || !gid_is_ours(d)))
			die(d, "its address has changed");
		break;
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		if (d->qp_failed)
			d->qp_failed(d->qp_failed_ctx, e->element.qp);
		break;
	default:
		break;
	}
}

bool device_alive(struct device *d)
{
	struct ibv_async_event e;

	while (!ibv_get_async_event(d->ctx, &e)) {
		on_event(d, &e);
		ibv_ack_async_event(&e);
	}
	/* A driver that cannot let go of us waits, and sends no event: but the
	 * device's entry is gone by then. */
	if (access(d->ctx->device->dev_path, F_OK))
		die(d, "the device was removed");
	return !atomic_load(&d->dead);
}

void device_close(struct device *d)
{
	if (!d)
		return;
	if (d->pd)
		ibv_dealloc_pd(d->pd);
	ibv_close_device(d->ctx);
	free(d);
}
