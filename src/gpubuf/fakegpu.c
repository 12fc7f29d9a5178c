/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a memfd that behaves as a GPU's: its addresses are counted from a
 * base that no pointer of ours has, and only these calls touch it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "gpubuf/device.h"

struct fake_mem {
	int fd;     /* owned */
	char *addr; /* owned mapping */
	size_t len;
};

struct fake {
	struct gpu gpu; /* first */
	/* An address is the place in our mapping, moved by this much. */
	uint64_t base;
};

static struct fake *to_fake(struct gpu *u)
{
	return (struct fake *)u;
}

static void fake_close(struct gpu *u)
{
	free(u);
}

static int fake_pin(struct gpu *u, void *addr, size_t len)
{
	(void)u;
	(void)addr;
	(void)len;
	return 0;
}

/* Takes over fd. */
static int adopt(struct gpu *u, int fd, size_t len, struct gpu_mem *out)
{
	struct fake_mem *m = calloc(1, sizeof(*m));
	void *addr = m ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      0)
		       : MAP_FAILED;

	if (addr == MAP_FAILED) {
		close(fd);
		free(m);
		return -ENOMEM;
	}
	*m = (struct fake_mem){fd, addr, len};
	*out = (struct gpu_mem){.addr = (uintptr_t)addr + to_fake(u)->base,
				.len = len,
				.priv = m};
	return 0;
}

static int fake_alloc(struct gpu *u, size_t len, struct gpu_mem *out)
{
	const int fd = memfd_create("s3rdmafs-fakegpu", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len)) {
		close(fd);
		return -ENOMEM;
	}
	err = adopt(u, fd, len, out);
	if (!err)
		snprintf((char *)out->export, sizeof(out->export),
			 "/proc/%d/fd/%d", (int)getpid(), fd);
	return err;
}

static void fake_release(struct gpu *u, struct gpu_mem *m)
{
	struct fake_mem *f = m->priv;

	(void)u;
	munmap(f->addr, f->len);
	close(f->fd);
	free(f);
	m->priv = NULL;
}

/* Takes digits off; NULL when there are none. */
static const char *after_number(const char *s)
{
	const size_t n = strspn(s, "0123456789");

	return n ? s + n : NULL;
}

static bool is_fd_path(const char *s)
{
	if (strncmp(s, "/proc/", 6) != 0)
		return false;
	s = after_number(s + 6);
	if (!s || strncmp(s, "/fd/", 4) != 0)
		return false;
	s = after_number(s + 4);
	return s && *s == '\0';
}

/* "/proc/PID/fd/N", as the test that owns the memory writes it. */
static int fake_import(struct gpu *u, const unsigned char *export, size_t len,
		       struct gpu_mem *out)
{
	char path[DEVICE_EXPORT + 1] = "";
	struct statfs fs;
	struct stat st;
	int fd;

	memcpy(path, export, DEVICE_EXPORT);
	if (!is_fd_path(path))
		return -EPERM;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -EPERM;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) ||
	    fs.f_type != TMPFS_MAGIC) {
		close(fd);
		return -EBADF;
	}
	if ((uint64_t)st.st_size < len) {
		close(fd);
		return -ERANGE;
	}
	return adopt(u, fd, len, out);
}

static char *to_host(struct gpu *u, uint64_t addr)
{
	return (char *)(uintptr_t)(addr - to_fake(u)->base);
}

static int fake_copy(struct gpu *u, unsigned int stream, uint64_t to,
		     const void *from, size_t len)
{
	(void)stream;
	memcpy(to_host(u, to), from, len);
	return 0;
}

static int fake_wait(struct gpu *u, unsigned int stream)
{
	(void)u;
	(void)stream;
	return 0;
}

static int fake_wipe(struct gpu *u, uint64_t addr, size_t len)
{
	memset(to_host(u, addr), 0, len);
	return 0;
}

/* By the place that it has in this process, which a NIC can be told of. */
static int fake_reach(struct gpu *u, const struct gpu_mem *m,
		      struct gpu_reach *out)
{
	*out = (struct gpu_reach){.dmabuf = -1,
				  .addr = m->addr - to_fake(u)->base};
	return 0;
}

static int fake_settle(struct gpu *u)
{
	(void)u;
	return 0;
}

static const struct gpu_ops ops = {
	.name = "fake",
	.close = fake_close,
	.pin = fake_pin,
	.alloc = fake_alloc,
	.free = fake_release,
	.import = fake_import,
	.release = fake_release,
	.copy = fake_copy,
	.wait = fake_wait,
	.wipe = fake_wipe,
	.reach = fake_reach,
	.settle = fake_settle,
};

int fakegpu_open(struct gpu **out)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->gpu.ops = &ops;
	f->base = 1ULL << 48;
	log_warning("gpubuf: a fake GPU, for tests: memory of the host");
	*out = &f->gpu;
	return 0;
}
