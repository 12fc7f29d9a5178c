/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void to_gid(const struct sockaddr_storage *ss, uint8_t out[16])
{
	if (ss->ss_family == AF_INET6) {
		memcpy(out, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
		return;
	}
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + 12, &((const struct sockaddr_in *)ss)->sin_addr, 4);
}

bool route_is_ipv4(const uint8_t address[16])
{
	return !memcmp(address, mapped, sizeof(mapped));
}

static bool is_loopback(const uint8_t address[16])
{
	static const uint8_t one[16] = {[15] = 1};

	return (route_is_ipv4(address) && address[12] == 127) ||
	       !memcmp(address, one, 16);
}

static bool is_wildcard(const uint8_t address[16])
{
	static const uint8_t zero[16];

	return !memcmp(address + 12, zero, 4) &&
	       (route_is_ipv4(address) || !memcmp(address, zero, 12));
}

void route_format(const uint8_t address[16], char *out, size_t cap)
{
	const bool v4 = route_is_ipv4(address);

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, address + (v4 ? 12 : 0), out,
		       (socklen_t)cap))
		snprintf(out, cap, "?");
}

/* A datagram socket is asked: connecting it sends nothing. */
static int ask_kernel(const struct addrinfo *to, struct route *out)
{
	AUTO_CLOSE int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage local, remote = {0};
	socklen_t n = sizeof(local);

	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) ||
	    getsockname(fd, (struct sockaddr *)&local, &n))
		return -errno;
	memcpy(&remote, to->ai_addr, to->ai_addrlen);
	to_gid(&local, out->local);
	to_gid(&remote, out->remote);
	out->any = is_wildcard(out->remote);
	out->loopback = !out->any && is_loopback(out->local);
	return 0;
}

int route_to(const char *host, struct route *out)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
	struct addrinfo *list = NULL;
	int err = -EHOSTUNREACH;

	if (getaddrinfo(host, "9", &hints, &list))
		return -EHOSTUNREACH;
	for (struct addrinfo *a = list; a && err; a = a->ai_next)
		err = ask_kernel(a, out);
	freeaddrinfo(list);
	return err;
}
