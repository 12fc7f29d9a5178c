/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of a device: its list, its ports, its events, its memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_verbs_int.h"

#undef ibv_query_port
#undef ibv_reg_mr

struct ibv_device **ibv_get_device_list(int *num)
{
	struct ibv_device **list = calloc(FAKE_DEVICES + 1, sizeof(*list));
	int n = 0, err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_get_device_list");
	if (err) {
		free(list);
		errno = err;
		return NULL;
	}
	for (unsigned int i = 0; i < fake.ndevices; i++)
		if (!fake.devices[i]->removed)
			list[n++] = &fake.devices[i]->ibv;
	if (num)
		*num = n;
	return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
	free(list);
}

const char *ibv_get_device_name(struct ibv_device *device)
{
	return device->name;
}

static int query_port(struct ibv_context *context, uint8_t port,
		      struct ibv_port_attr *out, size_t size)
{
	struct fake_ctx *ctx = fake_ctx_of(context);
	const struct fake_port *p = fake_port_of(ctx, port);
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_query_port");
	if (err)
		return err;
	memset(out, 0, size);
	if (!fake_check(p && size == sizeof(*out), "ibv_query_port: port %u",
			port))
		return EINVAL;
	out->state = p->state;
	out->active_mtu = out->max_mtu = p->mtu;
	out->lid = p->lid;
	out->gid_tbl_len = FAKE_GIDS;
	out->max_msg_sz = 1U << 30;
	out->link_layer = p->infiniband ? IBV_LINK_LAYER_INFINIBAND
					: IBV_LINK_LAYER_ETHERNET;
	return 0;
}

/* Of a caller that was built without the inline function. */
int ibv_query_port(struct ibv_context *context, uint8_t port,
		   struct _compat_ibv_port_attr *out)
{
	return query_port(context, port, (struct ibv_port_attr *)out,
			  sizeof(struct ibv_port_attr));
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct fake_ctx *ctx = calloc(1, sizeof(*ctx));
	struct ibv_context *c = &ctx->vctx.context;
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_open_device");
	if (err) {
		free(ctx);
		errno = err;
		return NULL;
	}
	ctx->device = (struct fake_device *)device;
	list_init(&ctx->events);
	ctx->vctx.sz = sizeof(ctx->vctx);
	ctx->vctx.query_port = query_port;
	c->device = device;
	c->abi_compat = __VERBS_ABI_IS_EXTENDED;
	c->async_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	c->cmd_fd = -1;
	c->num_comp_vectors = 1;
	c->ops.poll_cq = fake_poll_cq;
	c->ops.req_notify_cq = fake_req_notify;
	c->ops.post_send = fake_post_send;
	c->ops.post_recv = fake_post_recv;
	fake_add(&ctx->obj, FAKE_CTX, ctx, c);
	return c;
}

/* The kernel destroys what was left, the youngest first. */
int ibv_close_device(struct ibv_context *context)
{
	struct fake_obj *o;
	struct list *e, *n;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_CTX, context, "ibv_close_device");
	if (!o)
		return EINVAL;
	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *left = container_of(e, struct fake_obj, link);

		if (left == o || left->ctx != o->ctx)
			continue;
		fake.leaked[left->kind]++;
		fake_free(left);
	}
	fake_free(o);
	return 0;
}

static void to_entry(const struct fake_port *p, unsigned int port,
		     unsigned int index, struct ibv_gid_entry *out)
{
	*out = (struct ibv_gid_entry){.gid = p->gids[index].gid,
				      .gid_index = index,
				      .port_num = port,
				      .gid_type = p->gids[index].type};
}

int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port,
		      uint32_t index, struct ibv_gid_entry *out, uint32_t flags,
		      size_t size)
{
	const struct fake_port *p = fake_port_of(fake_ctx_of(context), port);
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_query_gid_ex");
	if (err)
		return err;
	if (!fake_check(p && !flags && size == sizeof(*out),
			"ibv_query_gid_ex: port %u", port))
		return EINVAL;
	if (index >= FAKE_GIDS || !p->gids[index].there)
		return ENODATA;
	to_entry(p, port, index, out);
	return 0;
}

ssize_t _ibv_query_gid_table(struct ibv_context *context,
			     struct ibv_gid_entry *out, size_t max,
			     uint32_t flags, size_t size)
{
	struct fake_ctx *ctx = fake_ctx_of(context);
	size_t n = 0;
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_query_gid_table");
	if (err)
		return -err;
	fake_check(!flags && size == sizeof(*out), "ibv_query_gid_table");
	for (unsigned int p = 1; p <= ctx->device->nports; p++)
		for (unsigned int i = 0; i < FAKE_GIDS && n < max; i++)
			if (fake_port_of(ctx, p)->gids[i].there)
				to_entry(fake_port_of(ctx, p), p, i, &out[n++]);
	return (ssize_t)n;
}

/* ---- events ---- */

int ibv_get_async_event(struct ibv_context *context,
			struct ibv_async_event *out)
{
	struct fake_ctx *ctx = fake_ctx_of(context);
	struct fake_event *e;
	uint64_t one;

	for (;;) {
		if (read(context->async_fd, &one, sizeof(one)) < 0)
			return -1;
		LOCK_SCOPE(&fake.lock);
		/* Those of a queue pair go with it. */
		if (list_empty(&ctx->events))
			continue;
		e = list_first(&ctx->events, struct fake_event, link);
		*out = e->event;
		list_del(&e->link);
		free(e);
		if (out->event_type == IBV_EVENT_QP_FATAL ||
		    out->event_type == IBV_EVENT_QP_ACCESS_ERR ||
		    out->event_type == IBV_EVENT_QP_REQ_ERR)
			fake_qp_of(out->element.qp)->unacked++;
		return 0;
	}
}

void ibv_ack_async_event(struct ibv_async_event *e)
{
	LOCK_SCOPE(&fake.lock);
	if (e->event_type == IBV_EVENT_QP_FATAL ||
	    e->event_type == IBV_EVENT_QP_ACCESS_ERR ||
	    e->event_type == IBV_EVENT_QP_REQ_ERR)
		fake_qp_of(e->element.qp)->unacked--;
}

/* ---- protection domains and memory ---- */

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct fake_pd *pd = calloc(1, sizeof(*pd));
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_alloc_pd");
	if (err || !fake_find(FAKE_CTX, context, "ibv_alloc_pd")) {
		free(pd);
		errno = err ? err : EINVAL;
		return NULL;
	}
	pd->ibv.context = context;
	fake_add(&pd->obj, FAKE_PD, fake_ctx_of(context), pd);
	return &pd->ibv;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_PD, pd, "ibv_dealloc_pd");
	if (!o)
		return EINVAL;
	/* An object whose end was made to fail still uses it. */
	if (o->users > 0 && fake.failed)
		return EBUSY;
	err = fake_drop(o, "ibv_dealloc_pd");
	if (!err)
		free(pd);
	return err;
}

/* The key that was last given back for that length, or one never seen. */
static uint32_t take_key(size_t len)
{
	uint32_t key;

	for (unsigned int i = fake.nold_keys; fake.recycle_keys && i-- > 0;) {
		key = fake.old_keys[i].key;
		if (fake.old_keys[i].len != len || fake.keys[key % FAKE_KEYS])
			continue;
		memmove(&fake.old_keys[i], &fake.old_keys[i + 1],
			(--fake.nold_keys - i) * sizeof(fake.old_keys[0]));
		return key;
	}
	do
		key = fake.next_key++;
	while (fake.keys[key % FAKE_KEYS]);
	return key;
}

/* Under fake.lock. */
static struct ibv_mr *add_mr(struct fake_obj *owner, const struct ibv_mr *want,
			     uint64_t iova, unsigned int access, bool mapped)
{
	struct fake_mr *mr = calloc(1, sizeof(*mr));

	mr->ibv = *want;
	mr->ibv.rkey = mr->ibv.lkey = take_key(want->length);
	mr->access = access;
	mr->iova = iova;
	mr->mapped = mapped;
	owner->users++;
	fake_add(&mr->obj, FAKE_MR, owner->ctx, mr);
	pthread_rwlock_wrlock(&fake.keys_lock);
	fake.keys[mr->ibv.rkey % FAKE_KEYS] = mr;
	pthread_rwlock_unlock(&fake.keys_lock);
	return &mr->ibv;
}

/* Under fake.lock: may it be registered?  Its protection domain, or NULL. */
static struct fake_obj *may_register(struct ibv_pd *pd, unsigned int access,
				     const char *call)
{
	const unsigned int remote = IBV_ACCESS_REMOTE_WRITE |
				    IBV_ACCESS_REMOTE_ATOMIC;
	struct fake_obj *owner = fake_find(FAKE_PD, pd, call);

	errno = fake_fails(call);
	if (errno)
		return NULL;
	errno = EINVAL;
	return owner && fake_check(!(access & remote) ||
					   (access & IBV_ACCESS_LOCAL_WRITE),
				   "%s: remote writes without local ones", call)
		       ? owner
		       : NULL;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t len,
				uint64_t iova, unsigned int access)
{
	const struct ibv_mr want = {
		.context = pd->context, .pd = pd, .addr = addr, .length = len};
	struct fake_obj *owner;

	LOCK_SCOPE(&fake.lock);
	owner = may_register(pd, access, "ibv_reg_mr");
	if (!owner || !fake_check(addr && len && iova,
				  "ibv_reg_mr: %p, %zu bytes", addr, len))
		return NULL;
	return add_mr(owner, &want, iova, access, false);
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t len, int access)
{
	return ibv_reg_mr_iova2(pd, addr, len, (uintptr_t)addr,
				(unsigned int)access);
}

/* Any file that can be mapped is a dma-buf here. */
struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t len,
				 uint64_t iova, int fd, int access)
{
	struct ibv_mr want = {.context = pd->context, .pd = pd, .length = len};
	struct fake_obj *owner;

	LOCK_SCOPE(&fake.lock);
	owner = may_register(pd, (unsigned int)access, "ibv_reg_dmabuf_mr");
	if (!owner ||
	    !fake_check(len && iova && !(iova & 4095) && !(offset & 4095),
			"ibv_reg_dmabuf_mr: %zu bytes", len))
		return NULL;
	want.addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 (off_t)offset);
	return want.addr == MAP_FAILED
		       ? NULL
		       : add_mr(owner, &want, iova, (unsigned int)access, true);
}

char *fake_place(const struct fake_mr *mr, uint64_t addr, size_t len)
{
	const uint64_t off = addr - mr->iova;

	return addr >= mr->iova && off <= mr->ibv.length &&
			       len <= mr->ibv.length - off
		       ? (char *)mr->ibv.addr + off
		       : NULL;
}

/* Returns when no write goes on under it. */
void fake_kill_key(struct fake_mr *mr)
{
	pthread_rwlock_wrlock(&fake.keys_lock);
	fake.keys[mr->ibv.rkey % FAKE_KEYS] = NULL;
	pthread_rwlock_unlock(&fake.keys_lock);
	if (fake.nold_keys == ARRAY_SIZE(fake.old_keys))
		memmove(fake.old_keys, fake.old_keys + 1,
			--fake.nold_keys * sizeof(fake.old_keys[0]));
	fake.old_keys[fake.nold_keys].key = mr->ibv.rkey;
	fake.old_keys[fake.nold_keys++].len = mr->ibv.length;
	if (mr->mapped)
		munmap(mr->ibv.addr, mr->ibv.length);
}

int ibv_dereg_mr(struct ibv_mr *ibv)
{
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_MR, ibv, "ibv_dereg_mr");
	err = o ? fake_fails("ibv_dereg_mr") : EINVAL;
	if (err)
		return err;
	fake_drop(o, "ibv_dereg_mr");
	((struct fake_pd *)ibv->pd)->obj.users--;
	fake_kill_key((struct fake_mr *)ibv);
	free(ibv);
	return 0;
}

/* ---- a late server ---- */

/* Two servers may write to one place at a time, as NICs do: bytes of either are
 * there then, and no thread is at fault. */
static void land(char *to, const void *data, size_t len)
{
#ifdef __SANITIZE_THREAD__
	for (size_t i = 0; i < len; i++)
		__atomic_store_n(to + i, ((const char *)data)[i],
				 __ATOMIC_RELAXED);
#else
	memcpy(to, data, len);
#endif
}

int fake_verbs_remote_write(uint32_t rkey, uint64_t addr, const void *data,
			    size_t len)
{
	const struct fake_mr *mr;
	int err = -EACCES;
	char *to = NULL;

	pthread_rwlock_rdlock(&fake.keys_lock);
	mr = fake.keys[rkey % FAKE_KEYS];
	if (mr && mr->ibv.rkey == rkey &&
	    (mr->access & IBV_ACCESS_REMOTE_WRITE))
		to = fake_place(mr, addr, len);
	if (to) {
		land(to, data, len);
		err = 0;
	}
	pthread_rwlock_unlock(&fake.keys_lock);
	return err;
}
