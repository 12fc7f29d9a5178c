/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations that this process has mapped.  Each is mapped whole and once, so
 * that a range in one that is known costs no system call but the ioctl.  Some
 * that no map uses are kept; the daemon cannot give their memory to another
 * user as long as they are mapped.
 */
#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib.h"

#define ALLOCS 1024
#define IDLE_MAX 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under lock. */
static struct alloc allocs[ALLOCS]; /* base NULL: unused */
static uint64_t clock_now;
static unsigned int idle;

/* Names are drawn at random: no two mounts have the same. */
static struct alloc *find(uint64_t id)
{
	for (int i = 0; i < ALLOCS; i++)
		if (allocs[i].base && allocs[i].id == id)
			return &allocs[i];
	return NULL;
}

static void let_go(struct alloc *a)
{
	munmap(a->base, a->size);
	close(a->fd);
	memset(a, 0, sizeof(*a));
	idle--;
}

/* The one that was used longest ago goes. */
static void forget_one(void)
{
	struct alloc *oldest = NULL;

	for (int i = 0; i < ALLOCS; i++)
		if (allocs[i].base && allocs[i].refs == 0 &&
		    (!oldest || allocs[i].used < oldest->used))
			oldest = &allocs[i];
	if (oldest)
		let_go(oldest);
}

static void hold(struct alloc *a)
{
	if (a->refs++ == 0)
		idle--;
	a->used = ++clock_now;
}

/* Takes over fd. */
static int adopt(uint64_t id, int fd, struct alloc **out)
{
	struct alloc *a = NULL;
	struct statfs fs;
	struct stat st;
	void *base;

	if (fstat(fd, &st) || fstatfs(fd, &fs)) {
		close(fd);
		return -EPROTO;
	}
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_lock(&lock);
	a = find(id); /* another thread was faster */
	for (int i = 0; !a && i < ALLOCS; i++) {
		if (allocs[i].base)
			continue;
		a = &allocs[i];
		*a = (struct alloc){.fd = fd,
				    .base = base,
				    .size = (size_t)st.st_size,
				    .id = id,
				    .whole_pages = fs.f_type ==
						   HUGETLBFS_MAGIC};
		idle++;
		base = NULL;
	}
	if (a)
		hold(a);
	pthread_mutex_unlock(&lock);
	if (base) {
		munmap(base, (size_t)st.st_size);
		close(fd);
	}
	*out = a;
	return a ? 0 : -EMFILE;
}

int alloc_get(int file, const struct s3rdmafs_map *m, struct alloc **out)
{
	int fd;

	pthread_mutex_lock(&lock);
	*out = find(m->allocation);
	if (*out)
		hold(*out);
	pthread_mutex_unlock(&lock);
	if (*out)
		return 0;
	fd = socket_redeem(file, m->export_);
	return fd < 0 ? fd : adopt(m->allocation, fd, out);
}

void alloc_put(struct alloc *a)
{
	pthread_mutex_lock(&lock);
	if (--a->refs == 0 && ++idle > IDLE_MAX)
		forget_one();
	pthread_mutex_unlock(&lock);
}
