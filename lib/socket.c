/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's socket: descriptors against tickets, both ways.  Where it is,
 * INFO tells; remembered for each mount, and asked again when it fails, for a
 * number of a device may come back with another mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "lib.h"

#define PATIENCE_S 10

#define MOUNTS 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under lock. */
static struct mount {
	uint32_t major, minor;
	char path[108];
} mounts[MOUNTS];
static unsigned int next_mount;

static struct mount *find(const struct statx *st)
{
	for (int i = 0; i < MOUNTS; i++)
		if (mounts[i].path[0] && mounts[i].major == st->stx_dev_major &&
		    mounts[i].minor == st->stx_dev_minor)
			return &mounts[i];
	return NULL;
}

static int path_of(int file, bool again, char path[108])
{
	struct s3rdmafs_info info;
	struct mount *m;
	struct statx st;
	int err;

	if (statx(file, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st))
		return -errno;
	pthread_mutex_lock(&lock);
	m = find(&st);
	if (m)
		memcpy(path, m->path, sizeof(m->path));
	pthread_mutex_unlock(&lock);
	if (m && !again)
		return 0;
	err = s3rdma_info(file, &info);
	if (err)
		return err;
	info.socket[sizeof(info.socket) - 1] = '\0';
	pthread_mutex_lock(&lock);
	m = find(&st);
	if (!m)
		m = &mounts[next_mount++ % MOUNTS];
	m->major = st.stx_dev_major;
	m->minor = st.stx_dev_minor;
	memcpy(m->path, info.socket, sizeof(m->path));
	memcpy(path, m->path, sizeof(m->path));
	pthread_mutex_unlock(&lock);
	return 0;
}

static int connect_to(const char *path)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		const int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int receive_msg(int sock, struct s3rdmafs_msg *m, int *fd)
{
	int fds[2];
	unsigned int nfds;
	const ssize_t n = fdpass_receive(sock, m, sizeof(*m), fds, 2, &nfds, 0);

	*fd = nfds > 0 ? fds[0] : -1;
	if (nfds > 1)
		close(fds[1]);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n != (ssize_t)sizeof(*m) || m->magic != S3RDMAFS_MSG_MAGIC)
		return -EPROTO;
	return -m->status;
}

static int connect_for(int file)
{
	char path[108];
	int err = path_of(file, false, path);
	int sock = err ? err : connect_to(path);

	if (sock >= 0 || err)
		return sock;
	err = path_of(file, true, path);
	return err ? err : connect_to(path);
}

/* One question and its answer; *fd: sent, then received. */
static int ask(int file, struct s3rdmafs_msg *m, int *fd)
{
	const int sock = connect_for(file);
	int err;

	if (sock < 0)
		return sock;
	err = fdpass_send(sock, m, sizeof(*m), fd, *fd >= 0, MSG_NOSIGNAL) < 0
		      ? -errno
		      : 0;
	*fd = -1;
	if (!err)
		err = receive_msg(sock, m, fd);
	close(sock);
	if (err && *fd >= 0)
		close(*fd);
	return err;
}

int socket_offer(int file, int fd, unsigned char ticket[S3RDMAFS_TICKET])
{
	struct s3rdmafs_msg m = {.magic = S3RDMAFS_MSG_MAGIC,
				 .type = S3RDMAFS_MSG_OFFER};
	const int err = ask(file, &m, &fd);

	if (!err)
		memcpy(ticket, m.ticket, S3RDMAFS_TICKET);
	return err;
}

int socket_redeem(int file, const unsigned char ticket[S3RDMAFS_TICKET])
{
	struct s3rdmafs_msg m = {.magic = S3RDMAFS_MSG_MAGIC,
				 .type = S3RDMAFS_MSG_REDEEM};
	int fd = -1, err;

	memcpy(m.ticket, ticket, S3RDMAFS_TICKET);
	err = ask(file, &m, &fd);
	if (err)
		return err;
	return fd >= 0 ? fd : -EPROTO;
}
