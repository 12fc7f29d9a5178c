/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps.  A range that one handle covers is a pointer into the allocation's
 * mapping.  A longer one is put together: its pieces are mapped side by side
 * at addresses that were reserved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib.h"

#define PAGE 4096UL
/* Pieces of a long map: so long that calls do not matter, so short that the
 * daemon has some of them on their way at a time. */
#define PIECE (16UL << 20)

struct piece {
	uint64_t handle;
	struct alloc *alloc;
};

struct s3rdma_map {
	int fd;    /* owned: handles are of the open file */
	pid_t pid; /* whose map it is: a child has a copy */
	const char *data;
	size_t size;
	uint64_t generation;
	char *reserved; /* owned addresses of a map of pieces; or NULL */
	size_t reserved_len;
	struct piece *pieces; /* &first, or owned */
	unsigned int npieces, room;
	struct piece first;
};

static int make_room(struct s3rdma_map *m)
{
	const unsigned int room = 2 * m->room;
	struct piece *p;

	if (m->npieces < m->room)
		return 0;
	p = malloc(room * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memcpy(p, m->pieces, m->npieces * sizeof(*p));
	if (m->pieces != &m->first)
		free(m->pieces);
	m->pieces = p;
	m->room = room;
	return 0;
}

static void end_handle(int fd, uint64_t handle)
{
	struct s3rdmafs_unmap io = {.size = sizeof(io), .handle = handle};

	call(fd, S3RDMAFS_IOC_UNMAP, &io);
}

/* One handle from off on; its piece is added. */
static int map_piece(struct s3rdma_map *m, uint64_t off, uint64_t len,
		     unsigned int flags, struct s3rdmafs_map *io)
{
	int err = make_room(m);

	/* A ticket can be lost: to time, or to others of the same user. */
	for (int tries = 0; tries < 3 && !err; tries++) {
		struct piece *p = &m->pieces[m->npieces];

		*io = (struct s3rdmafs_map){.size = sizeof(*io),
					    .flags = flags,
					    .kind = S3RDMAFS_HOST,
					    .offset = off,
					    .length = len};
		err = call(m->fd, S3RDMAFS_IOC_MAP, io);
		if (err)
			return err;
		err = alloc_get(m->fd, io, &p->alloc);
		if (!err) {
			p->handle = io->handle;
			m->npieces++;
			m->generation = io->generation;
			return 0;
		}
		end_handle(m->fd, io->handle);
		if (err == -EPERM)
			err = tries < 2 ? 0 : err;
	}
	return err;
}

/* Reserved huge pages (staging.hugepages=on) cannot be mapped but as whole
 * ones: there a long map is a copy. */
static int place_copy(const struct piece *p, const struct s3rdmafs_map *io,
		      char *addr)
{
	if (mmap(addr, io->valid, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	memcpy(addr, p->alloc->base + io->alloc_offset, io->valid);
	return mprotect(addr, io->valid, PROT_READ) ? -errno : 0;
}

/* Puts a piece at addr; what it covers beyond its last whole page is the end
 * of the file. */
static int place(const struct piece *p, const struct s3rdmafs_map *io,
		 char *addr)
{
	if (io->alloc_offset % PAGE ||
	    io->alloc_offset + io->valid > p->alloc->size)
		return -EPROTO;
	if (p->alloc->whole_pages)
		return place_copy(p, io, addr);
	return mmap(addr, io->valid, PROT_READ, MAP_SHARED | MAP_FIXED,
		    p->alloc->fd, (off_t)io->alloc_offset) == MAP_FAILED
		       ? -errno
		       : 0;
}

/* Maps off..end, which is inside the file, side by side from addr on; off is
 * on a page. */
static int map_pieces(struct s3rdma_map *m, uint64_t off, uint64_t end,
		      unsigned int flags, char *addr)
{
	while (off < end) {
		const uint64_t left = end - off;
		struct s3rdmafs_map io;
		int err = map_piece(m, off, left < PIECE ? left : PIECE, flags,
				    &io);

		if (!err)
			err = place(&m->pieces[m->npieces - 1], &io, addr);
		if (err)
			return err;
		addr += io.valid;
		off += io.valid;
	}
	return 0;
}

/* The length that the kernel knows: of this version of the object. */
static int clamp(int fd, uint64_t off, uint64_t *len)
{
	struct statx st;

	if (*len == 0 || off > INT64_MAX || *len > INT64_MAX - off)
		return -EINVAL;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &st))
		return -errno;
	if (off >= st.stx_size)
		return -ENXIO;
	if (*len > st.stx_size - off)
		*len = st.stx_size - off;
	return 0;
}

static int map_long(struct s3rdma_map *m, uint64_t off, uint64_t len,
		    unsigned int flags)
{
	const uint64_t lo = off & ~(PAGE - 1);
	int err;

	m->reserved_len = (off + len - lo + PAGE - 1) & ~(PAGE - 1);
	m->reserved = mmap(NULL, m->reserved_len, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->reserved == MAP_FAILED) {
		m->reserved = NULL;
		return -ENOMEM;
	}
	err = map_pieces(m, lo, off + len, flags, m->reserved);
	m->data = m->reserved + (off - lo);
	return err;
}

/* One handle; false in *whole when it does not cover all. */
static int map_short(struct s3rdma_map *m, uint64_t off, uint64_t len,
		     unsigned int flags, bool *whole)
{
	struct s3rdmafs_map io;
	const int err = map_piece(m, off, len, flags, &io);
	const struct alloc *a = m->first.alloc;

	if (err)
		return err;
	if (io.alloc_offset > a->size || io.valid > a->size - io.alloc_offset)
		return -EPROTO;
	m->data = a->base + io.alloc_offset;
	*whole = io.valid == len;
	return 0;
}

static void drop_pieces(struct s3rdma_map *m)
{
	while (m->npieces > 0) {
		const struct piece *p = &m->pieces[--m->npieces];

		end_handle(m->fd, p->handle);
		alloc_put(p->alloc);
	}
}

static int new_map(int fd, uint64_t off, uint64_t *len, struct s3rdma_map **out)
{
	struct s3rdma_map *m = NULL;
	int err = clamp(fd, off, len);

	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	/* The caller may close his. */
	m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (m->fd < 0) {
		err = -errno;
		free(m);
		return err;
	}
	m->pid = getpid();
	m->pieces = &m->first;
	m->room = 1;
	m->size = *len;
	*out = m;
	return 0;
}

static int finish(struct s3rdma_map *m, int err, struct s3rdma_map **out)
{
	if (err)
		s3rdma_unmap(m);
	else
		*out = m;
	return err;
}

int s3rdma_map(int fd, uint64_t off, uint64_t len, unsigned int flags,
	       struct s3rdma_map **out)
{
	struct s3rdma_map *m = NULL;
	bool whole = false;
	int err = new_map(fd, off, &len, &m);

	if (err)
		return err;
	if (len <= PIECE)
		err = map_short(m, off, len, flags, &whole);
	if (!err && !whole) {
		drop_pieces(m);
		err = map_long(m, off, len, flags);
	}
	return finish(m, err, out);
}

int s3rdma_map_at(int fd, uint64_t off, uint64_t len, unsigned int flags,
		  void *addr, struct s3rdma_map **out)
{
	struct s3rdma_map *m = NULL;
	int err;

	if (off % PAGE || (uintptr_t)addr % PAGE)
		return -EINVAL;
	err = new_map(fd, off, &len, &m);
	if (err)
		return err;
	m->data = addr;
	return finish(m, map_pieces(m, off, off + len, flags, addr), out);
}

const void *s3rdma_map_data(const struct s3rdma_map *m)
{
	return m->data;
}

size_t s3rdma_map_size(const struct s3rdma_map *m)
{
	return m->size;
}

uint64_t s3rdma_map_generation(const struct s3rdma_map *m)
{
	return m->generation;
}

void s3rdma_unmap(struct s3rdma_map *m)
{
	if (!m)
		return;
	/* First the addresses, so that nothing else is seen there. */
	if (m->reserved)
		munmap(m->reserved, m->reserved_len);
	/* The handles are the parent's, and its locks are in some state. */
	if (m->pid == getpid())
		drop_pieces(m);
	if (m->pieces != &m->first)
		free(m->pieces);
	close(m->fd);
	free(m);
}
