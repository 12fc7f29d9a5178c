/* SPDX-License-Identifier: Apache-2.0 */
/* The host: devices, ports, what a test asks for; and the objects' list. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_verbs_int.h"

#undef ibv_query_port

struct fake fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const kinds[] = {"context", "pd",  "mr", "cq",
				    "channel", "srq", "qp", "ah"};

/* ---- a test's calls ---- */

void fake_verbs_start(const char *folder)
{
	pthread_rwlockattr_t attr;

	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	pthread_rwlockattr_init(&attr);
	/* A fence waits for the writes before it, and not for those after. */
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&fake.keys_lock, &attr);
	list_init(&fake.objects);
	fake.next_key = 0x1000;
	fake.next_qpn = 0x100;
	snprintf(fake.dir, sizeof(fake.dir), "%s/fake-verbs-XXXXXX", folder);
	if (!mkdtemp(fake.dir))
		abort();
	fake.started = true;
}

void fake_verbs_stop(void)
{
	struct list *e, *n;

	if (!fake.started)
		return;
	/* Of a test that fell. */
	list_for_each_safe(e, n, &fake.objects)
		fake_free(container_of(e, struct fake_obj, link));
	for (unsigned int i = 0; i < fake.ndevices; i++) {
		rmdir(fake.devices[i]->ibv.dev_path);
		free(fake.devices[i]);
	}
	rmdir(fake.dir);
	fake.started = false;
}

void fake_violation(const char *fmt, ...)
{
	const size_t n = strlen(fake.violations);
	va_list args;

	va_start(args, fmt);
	vsnprintf(fake.violations + n, sizeof(fake.violations) - n - 1, fmt,
		  args);
	va_end(args);
	strcat(fake.violations, "\n");
}

const char *fake_verbs_violations(void)
{
	return fake.violations;
}

const char *fake_verbs_left(void)
{
	size_t n = 0;

	LOCK_SCOPE(&fake.lock);
	fake.left[0] = '\0';
	for (int k = 0; k < FAKE_KINDS; k++) {
		if (fake.live[k])
			n += (size_t)snprintf(fake.left + n,
					      sizeof(fake.left) - n, "%u %s; ",
					      fake.live[k], kinds[k]);
		if (fake.leaked[k])
			n += (size_t)snprintf(
				fake.left + n, sizeof(fake.left) - n,
				"%u %s leaked; ", fake.leaked[k], kinds[k]);
	}
	return fake.left;
}

unsigned int fake_verbs_count(enum fake_kind kind)
{
	LOCK_SCOPE(&fake.lock);
	return fake.live[kind];
}

void fake_verbs_fail(const char *call, unsigned int nth, int error)
{
	LOCK_SCOPE(&fake.lock);
	if (!error) {
		memset(fake.rules, 0, sizeof(fake.rules));
		return;
	}
	fake.failed = false;
	for (int i = 0; i < FAKE_RULES; i++) {
		if (fake.rules[i].error)
			continue;
		fake.rules[i] = (struct fake_rule){call, nth, error};
		return;
	}
	abort();
}

bool fake_verbs_failed(void)
{
	LOCK_SCOPE(&fake.lock);
	return fake.failed;
}

/* Calls that end something, or look for something, are named to fail. */
static bool makes(const char *call)
{
	return !strstr(call, "destroy") && !strstr(call, "dereg") &&
	       !strstr(call, "post") && !strstr(call, "wr_complete");
}

int fake_fails(const char *call)
{
	for (int i = 0; i < FAKE_RULES; i++) {
		struct fake_rule *r = &fake.rules[i];
		const int error = r->error;

		if (!error ||
		    (r->call ? strcmp(r->call, call) != 0 : !makes(call)))
			continue;
		if (r->nth > 1) {
			r->nth--;
			continue;
		}
		if (r->nth == 1)
			r->error = 0;
		fake.failed = true;
		return error;
	}
	return 0;
}

static struct fake_device *device_named(const char *name)
{
	for (unsigned int i = 0; i < fake.ndevices; i++)
		if (!strcmp(fake.devices[i]->ibv.name, name))
			return fake.devices[i];
	abort();
}

void fake_verbs_add(const char *name, bool mlx5, unsigned int ports)
{
	struct fake_device *d = calloc(1, sizeof(*d));

	if (!d || ports > FAKE_PORTS || fake.ndevices == FAKE_DEVICES)
		abort();
	d->mlx5 = mlx5;
	d->nports = ports;
	d->ibv.node_type = IBV_NODE_CA;
	d->ibv.transport_type = IBV_TRANSPORT_IB;
	snprintf(d->ibv.name, sizeof(d->ibv.name), "%s", name);
	snprintf(d->ibv.dev_name, sizeof(d->ibv.dev_name), "uverbs%u",
		 fake.ndevices);
	snprintf(d->ibv.dev_path, sizeof(d->ibv.dev_path), "%s/uverbs%u",
		 fake.dir, fake.ndevices);
	snprintf(d->ibv.ibdev_path, sizeof(d->ibv.ibdev_path), "%s/%s",
		 fake.dir, name);
	if (mkdir(d->ibv.dev_path, 0700))
		abort();
	for (unsigned int p = 0; p < ports; p++) {
		d->ports[p].state = IBV_PORT_ACTIVE;
		d->ports[p].mtu = IBV_MTU_4096;
	}
	fake.devices[fake.ndevices++] = d;
}

struct fake_port *fake_verbs_port(const char *name, unsigned int port)
{
	return &device_named(name)->ports[port - 1];
}

void fake_verbs_gid(const char *name, unsigned int port, unsigned int index,
		    enum ibv_gid_type type, const char *text)
{
	struct fake_port *p = fake_verbs_port(name, port);

	LOCK_SCOPE(&fake.lock);
	p->gids[index].there = text;
	p->gids[index].type = type;
	if (text && inet_pton(AF_INET6, text, p->gids[index].gid.raw) != 1)
		abort();
}

void fake_verbs_remove(const char *name)
{
	LOCK_SCOPE(&fake.lock);
	device_named(name)->removed = true;
	rmdir(device_named(name)->ibv.dev_path);
}

void fake_post_event(struct fake_ctx *ctx, const struct ibv_async_event *e)
{
	struct fake_event *event = calloc(1, sizeof(*event));
	const uint64_t one = 1;

	event->event = *e;
	list_add_tail(&ctx->events, &event->link);
	if (write(ctx->vctx.context.async_fd, &one, sizeof(one)) < 0)
		abort();
}

void fake_drop_events(struct fake_ctx *ctx, const struct ibv_qp *qp)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &ctx->events)
	{
		struct fake_event *event = container_of(e, struct fake_event,
							link);

		if (qp && event->event.element.qp != qp)
			continue;
		list_del(e);
		free(event);
	}
}

void fake_verbs_event(const char *name, enum ibv_event_type type,
		      unsigned int port)
{
	const struct ibv_async_event event = {.element.port_num = (int)port,
					      .event_type = type};
	struct list *e, *n;

	LOCK_SCOPE(&fake.lock);
	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *o = container_of(e, struct fake_obj, link);

		if (o->kind == FAKE_CTX &&
		    !strcmp(o->ctx->device->ibv.name, name))
			fake_post_event(o->ctx, &event);
	}
}

void fake_verbs_qp_event(uint32_t qpn, enum ibv_event_type type)
{
	struct ibv_async_event event = {.event_type = type};
	struct list *e, *n;

	LOCK_SCOPE(&fake.lock);
	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *o = container_of(e, struct fake_obj, link);

		event.element.qp = o->pub;
		if (o->kind == FAKE_QP && event.element.qp->qp_num == qpn)
			fake_post_event(o->ctx, &event);
	}
}

void fake_verbs_recycle_keys(bool on)
{
	LOCK_SCOPE(&fake.lock);
	fake.recycle_keys = on;
}

void fake_verbs_recycle_qpns(bool on)
{
	LOCK_SCOPE(&fake.lock);
	fake.recycle_qpns = on;
}

void fake_verbs_roomy(bool on)
{
	LOCK_SCOPE(&fake.lock);
	fake.roomy = on;
}

void fake_verbs_next_qpn(uint32_t qpn)
{
	LOCK_SCOPE(&fake.lock);
	fake.next_qpn = qpn;
}

/* ---- the list of objects ---- */

void fake_add(struct fake_obj *o, enum fake_kind kind, struct fake_ctx *ctx,
	      void *pub)
{
	o->kind = kind;
	o->ctx = ctx;
	o->pub = pub;
	list_add(&fake.objects, &o->link);
	fake.live[kind]++;
}

struct fake_obj *fake_find(enum fake_kind kind, const void *pub,
			   const char *call)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *o = container_of(e, struct fake_obj, link);

		if (o->kind == kind && o->pub == pub)
			return o;
	}
	fake_violation("%s: %p is no live %s", call, pub, kinds[kind]);
	return NULL;
}

int fake_drop(struct fake_obj *o, const char *call)
{
	if (!fake_check(o->users == 0, "%s: the %s has %u users", call,
			kinds[o->kind], o->users))
		return EBUSY;
	list_del(&o->link);
	fake.live[o->kind]--;
	return 0;
}

struct fake_ctx *fake_ctx_of(struct ibv_context *ctx)
{
	return (struct fake_ctx *)((char *)ctx -
				   offsetof(struct fake_ctx, vctx.context));
}

struct fake_port *fake_port_of(struct fake_ctx *ctx, unsigned int port)
{
	return port >= 1 && port <= ctx->device->nports
		       ? &ctx->device->ports[port - 1]
		       : NULL;
}

void fake_free(struct fake_obj *o)
{
	list_del(&o->link);
	fake.live[o->kind]--;
	switch (o->kind) {
	case FAKE_CTX:
		fake_drop_events(o->ctx, NULL);
		close(o->ctx->vctx.context.async_fd);
		free(o->ctx);
		return;
	case FAKE_MR:
		fake_kill_key(o->pub);
		break;
	case FAKE_QP:
		fake_drop_sends(o->pub);
		break;
	case FAKE_CQ:
		free(((struct fake_cq *)o->pub)->cqes);
		break;
	case FAKE_CHANNEL:
		close(((struct fake_channel *)o->pub)->in);
		close(((struct fake_channel *)o->pub)->ibv.fd);
		break;
	default:
		break;
	}
	free(o->pub);
}
