/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive circular list.  An entry that is on no list points to itself. */
#ifndef S3RDMAFS_BASE_LIST_H
#define S3RDMAFS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *h)
{
	h->next = h->prev = h;
}

static inline bool list_empty(const struct list *h)
{
	return h->next == h;
}

static inline void list_add_tail(struct list *h, struct list *e)
{
	e->prev = h->prev;
	e->next = h;
	h->prev->next = e;
	h->prev = e;
}

static inline void list_add(struct list *h, struct list *e)
{
	list_add_tail(h->next, e);
}

/* All of from to the end of to, in their order. */
static inline void list_move_all(struct list *from, struct list *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

static inline void list_del(struct list *e)
{
	e->next->prev = e->prev;
	e->prev->next = e->next;
	e->next = e->prev = e;
}
#define container_of(p, type, member) \
	((type *)((char *)(p)-offsetof(type, member)))

#define list_first(h, type, member) container_of((h)->next, type, member)

/* The body may delete e, and nothing else. */
#define list_for_each_safe(e, n, h)                        \
	for ((e) = (h)->next, (n) = (e)->next; (e) != (h); \
	     (e) = (n), (n) = (e)->next)

#endif
