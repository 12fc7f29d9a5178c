/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the fake share.  All of it is under fake.lock, but for the
 * keys, which have a lock of their own below it. */
#ifndef S3RDMAFS_TESTS_FAKE_VERBS_INT_H
#define S3RDMAFS_TESTS_FAKE_VERBS_INT_H

#include <infiniband/mlx5dv.h>
#include <pthread.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "fake_verbs.h"

#define FAKE_DEVICES 8
#define FAKE_PORTS 2
#define FAKE_RULES 8
#define FAKE_KEYS 65536
#define FAKE_RECEIVES 64
#define FAKE_BUILDS 8

struct fake_device {
	struct ibv_device ibv; /* first */
	bool mlx5, removed;
	unsigned int nports;
	struct fake_port ports[FAKE_PORTS];
};

struct fake_obj {
	struct list link;
	enum fake_kind kind;
	void *pub; /* what the caller has */
	struct fake_ctx *ctx;
	unsigned int users;
};

struct fake_event {
	struct list link;
	struct ibv_async_event event;
};

struct fake_ctx {
	struct fake_obj obj;
	struct fake_device *device;
	struct list events;
	struct verbs_context vctx; /* ends with what the caller has */
};

struct fake_pd {
	struct ibv_pd ibv;
	struct fake_obj obj;
};

struct fake_mr {
	struct ibv_mr ibv;
	struct fake_obj obj;
	unsigned int access;
	uint64_t iova; /* of ibv.addr */
	bool mapped;   /* ibv.addr is our mapping of a dma-buf */
};
/* Where an address under the key lies here; NULL outside of it. */
char *fake_place(const struct fake_mr *mr, uint64_t addr, size_t len);

struct fake_channel {
	struct ibv_comp_channel ibv;
	struct fake_obj obj;
	int in; /* the pipe's other end */
};

struct fake_cqe {
	struct ibv_wc wc;
	struct fake_qp *qp;
	bool send;
};

struct fake_cq {
	struct ibv_cq ibv;
	struct fake_obj obj;
	struct fake_channel *channel;
	struct fake_cqe *cqes; /* ring of ibv.cqe */
	unsigned int head, n;
	bool armed;
	unsigned int unacked;
};

struct fake_srq {
	struct ibv_srq ibv;
	struct fake_obj obj;
};

struct fake_ah {
	struct ibv_ah ibv;
	struct fake_obj obj;
	struct ibv_ah_attr attr;
};

/* A request that was posted, with the path that it takes. */
struct fake_send {
	struct list link;
	uint64_t wr_id;
	bool signaled;
	enum ibv_wr_opcode opcode;
	__be32 imm;
	uint64_t addr;
	uint32_t rkey;
	struct ibv_sge sge;
	struct ibv_ah_attr path;
	uint32_t qpn; /* of the target */
	uint64_t dc_key;
	bool has_sge, has_target;
};

enum fake_qp_kind {
	FAKE_RC,
	FAKE_DCT,
	FAKE_DCI,
};

struct fake_qp {
	struct ibv_qp_ex ex; /* first: its base is what the caller has */
	struct mlx5dv_qp_ex mlx5;
	struct fake_obj obj;
	enum fake_qp_kind kind;
	uint64_t dc_key;
	struct ibv_qp_attr attr; /* as modified */
	struct ibv_qp_cap cap;

	struct list sends;       /* struct fake_send, not begun */
	unsigned int used_sends; /* posted and not polled */
	uint64_t receives[FAKE_RECEIVES];
	unsigned int nreceives;
	unsigned int unacked; /* events */

	struct fake_send builds[FAKE_BUILDS];
	unsigned int nbuilds;
	bool building;
};

struct fake_rule {
	const char *call;
	unsigned int nth;
	int error;
};

struct fake {
	pthread_mutex_t lock;
	bool started;
	char dir[128];
	struct fake_device *devices[FAKE_DEVICES];
	unsigned int ndevices;
	struct list objects;
	unsigned int live[FAKE_KINDS], leaked[FAKE_KINDS];
	char violations[8192], left[256];
	struct fake_rule rules[FAKE_RULES];
	bool failed;

	bool hold, roomy;
	unsigned int moved;
	bool recycle_keys, recycle_qpns;
	uint32_t next_key, next_qpn;
	struct {
		uint32_t key;
		size_t len;
	} old_keys[256]; /* a stack */
	uint32_t old_qpns[256];
	unsigned int nold_keys, nold_qpns;

	/* Taken behind lock; a writer of bytes takes it alone, to read. */
	pthread_rwlock_t keys_lock;
	struct fake_mr *keys[FAKE_KEYS];
};
extern struct fake fake;

void fake_violation(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define fake_check(cond, ...) \
	((cond) ? true : (fake_violation(__VA_ARGS__), false))

/* The errno that this call fails with, or 0. */
int fake_fails(const char *call);

/* A live object, or NULL with a violation. */
struct fake_obj *fake_find(enum fake_kind kind, const void *pub,
			   const char *call);
void fake_add(struct fake_obj *o, enum fake_kind kind, struct fake_ctx *ctx,
	      void *pub);
/* Off the list, unless others use it: 0 or EBUSY. */
int fake_drop(struct fake_obj *o, const char *call);

struct fake_ctx *fake_ctx_of(struct ibv_context *ctx);
struct fake_port *fake_port_of(struct fake_ctx *ctx, unsigned int port);

/* With their context, whatever they are used by. */
void fake_free(struct fake_obj *o);
void fake_kill_key(struct fake_mr *mr);
void fake_drop_events(struct fake_ctx *ctx, const struct ibv_qp *qp);
void fake_post_event(struct fake_ctx *ctx, const struct ibv_async_event *e);

/* Completions. */
int fake_poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc);
int fake_req_notify(struct ibv_cq *cq, int solicited);
void fake_complete(struct fake_cq *cq, const struct ibv_wc *wc,
		   struct fake_qp *qp, bool send);
/* Takes the completions of a queue pair away; how many. */
unsigned int fake_forget(struct fake_cq *cq, const struct fake_qp *qp);

/* Queue pairs. */
struct fake_qp *fake_new_qp(struct fake_ctx *ctx, enum fake_qp_kind kind);
uint32_t fake_take_qpn(void);
/* Counts it among the users of what it is made with. */
void fake_use_qp(struct fake_qp *qp, struct ibv_qp_init_attr_ex *init);
bool fake_check_path(struct fake_ctx *ctx, const struct ibv_ah_attr *ah,
		     bool with_dgid, const char *call);

/* The wire. */
int fake_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr,
		   struct ibv_send_wr **bad);
int fake_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr,
		   struct ibv_recv_wr **bad);
int fake_queue(struct fake_qp *qp, const struct fake_send *s);
/* Begins what can be begun, of all queue pairs. */
void fake_pump(void);
/* To ERR, with what was posted flushed. */
void fake_flush(struct fake_qp *qp);
void fake_drop_sends(struct fake_qp *qp);

static inline struct fake_qp *fake_qp_of(struct ibv_qp *qp)
{
	return (struct fake_qp *)qp;
}

#endif
