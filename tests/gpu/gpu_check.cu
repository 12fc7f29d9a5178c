/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GPU suite: every way from a file of a mount into GPU memory, each
 * checked by a kernel against the words that the file must hold (its own
 * index, hashed), and its rate beside read(2) with cudaMemcpy.
 *
 * gpu_check FILE DROP-COMMAND: the file is a multiple of 16 MiB, made by
 * "gpu_check --make BYTES"; the command empties the mount's memory.
 */
#include <cuda_runtime.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <map>

#include "s3rdmafs/s3rdmafs.h"

#define MIB (1UL << 20)
#define STEP (16 * MIB)

#define CUDA(call)                                                      \
	do {                                                            \
		const cudaError_t e = (call);                           \
		if (e != cudaSuccess) {                                 \
			fprintf(stderr, "gpu_check: %s: %s\n", #call,   \
				cudaGetErrorString(e));                 \
			exit(1);                                        \
		}                                                       \
	} while (0)

#define S3(call)                                                        \
	do {                                                            \
		const int e = (call);                                   \
		if (e) {                                                \
			fprintf(stderr, "gpu_check: %s: %s\n", #call,   \
				s3rdma_strerror(e));                    \
			exit(1);                                        \
		}                                                       \
	} while (0)

__host__ __device__ static uint64_t word_at(uint64_t i)
{
	uint64_t w = (i + 12345) * 0x9E3779B97F4A7C15ULL;

	w ^= w >> 29;
	w *= 0xC2B2AE3D27D4EB4FULL;
	return w ^ (w >> 32);
}

__global__ static void compare(const uint64_t *p, uint64_t first, size_t n,
			       unsigned long long *wrong)
{
	for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
	     i += (size_t)gridDim.x * blockDim.x)
		if (p[i] != word_at(first + i))
			atomicAdd(wrong, 1ULL);
}

static unsigned long long *wrong_words; /* on the device */

static void start_compare(const void *p, uint64_t off, size_t n)
{
	compare<<<256, 256>>>((const uint64_t *)p, off / 8, n / 8,
			      wrong_words);
	CUDA(cudaGetLastError());
}

static int fd;
static uint64_t size;
static const char *drop_command;

/* ---- ways ---- */

/* Allocations of the mount that are open here. */
static std::map<uint64_t, char *> opened;

static const char *open_allocation(const struct s3rdma_cuda *m)
{
	const std::map<uint64_t, char *>::iterator known =
		opened.find(m->allocation);
	cudaIpcMemHandle_t h;
	void *p;

	if (known != opened.end())
		return known->second;
	memcpy(&h, m->ipc, sizeof(h));
	CUDA(cudaIpcOpenMemHandle(&p, h, cudaIpcMemLazyEnablePeerAccess));
	opened[m->allocation] = (char *)p;
	return (char *)p;
}

static void by_map(void)
{
	for (uint64_t off = 0; off < size;) {
		const uint64_t want = size - off < STEP ? size - off : STEP;
		struct s3rdma_cuda m;

		S3(s3rdma_map_cuda(fd, 0, off, want, 0, &m));
		start_compare(open_allocation(&m) + m.alloc_offset, off,
			      m.valid);
		CUDA(cudaDeviceSynchronize());
		S3(s3rdma_unmap_cuda(fd, m.handle));
		off += m.valid;
	}
}

static char *own; /* STEP bytes on the device */

static void by_read(void)
{
	cudaIpcMemHandle_t h;
	uint64_t buffer, placed;

	CUDA(cudaIpcGetMemHandle(&h, own));
	S3(s3rdma_register_cuda(fd, 0, (const unsigned char *)&h, STEP,
				&buffer));
	for (uint64_t off = 0; off < size; off += placed) {
		S3(s3rdma_read(fd, buffer, 0, off, STEP, &placed));
		start_compare(own, off, placed);
		CUDA(cudaDeviceSynchronize());
	}
	S3(s3rdma_unregister(fd, buffer));
}

static void by_copy(char *host)
{
	for (uint64_t off = 0; off < size;) {
		size_t n = 0;

		while (n < STEP && off + n < size) {
			const ssize_t r = pread(fd, host + n, STEP - n,
						(off_t)(off + n));

			if (r <= 0) {
				perror("gpu_check: pread");
				exit(1);
			}
			n += (size_t)r;
		}
		CUDA(cudaMemcpy(own, host, n, cudaMemcpyHostToDevice));
		start_compare(own, off, n);
		CUDA(cudaDeviceSynchronize());
		off += n;
	}
}

static char *pageable, *pinned;

static void by_pageable(void)
{
	by_copy(pageable);
}

static void by_pinned(void)
{
	by_copy(pinned);
}

/* Host pages of the mount, copied from by the driver. */
static void by_host_map(void)
{
	for (uint64_t off = 0; off < size; off += STEP) {
		struct s3rdma_map *m;

		S3(s3rdma_map(fd, off, STEP, 0, &m));
		CUDA(cudaMemcpy(own, s3rdma_map_data(m), s3rdma_map_size(m),
				cudaMemcpyHostToDevice));
		start_compare(own, off, s3rdma_map_size(m));
		CUDA(cudaDeviceSynchronize());
		s3rdma_unmap(m);
	}
}

/* The link's own limit: pinned memory to the device, nothing else. */
static void by_link(void)
{
	for (uint64_t off = 0; off < size; off += STEP)
		CUDA(cudaMemcpyAsync(own, pinned, STEP,
				     cudaMemcpyHostToDevice));
	CUDA(cudaDeviceSynchronize());
}

/* ---- the table ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int failures;

static void measure(const char *name, void (*run)(void), bool cold, bool checks)
{
	unsigned long long wrong = 0;
	double begun, used;

	CUDA(cudaMemset(wrong_words, 0, sizeof(wrong)));
	if (cold && system(drop_command)) {
		fprintf(stderr, "gpu_check: \"%s\" failed\n", drop_command);
		exit(1);
	}
	used = cpu();
	begun = now();
	run();
	begun = now() - begun;
	used = cpu() - used;
	CUDA(cudaMemcpy(&wrong, wrong_words, sizeof(wrong),
			cudaMemcpyDeviceToHost));
	failures += wrong != 0;
	printf("%-44s %8.2f GB/s %8.3f CPU s/GiB  %s\n", name,
	       (double)size / begun / 1e9,
	       used / ((double)size / (double)(1024 * MIB)),
	       !checks  ? ""
	       : wrong ? "WRONG BYTES"
		       : "right");
	fflush(stdout);
}

static int make(uint64_t bytes)
{
	static uint64_t buf[1 << 17];

	for (uint64_t i = 0; i < bytes / 8; i += sizeof(buf) / 8) {
		for (uint64_t k = 0; k < sizeof(buf) / 8; k++)
			buf[k] = word_at(i + k);
		if (fwrite(buf, sizeof(buf), 1, stdout) != 1)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct cudaDeviceProp prop;
	struct stat st;

	if (argc == 3 && !strcmp(argv[1], "--make"))
		return make(strtoull(argv[2], NULL, 10));
	if (argc != 3) {
		fprintf(stderr, "usage: gpu_check FILE DROP-COMMAND\n");
		return 2;
	}
	drop_command = argv[2];
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		perror(argv[1]);
		return 1;
	}
	size = (uint64_t)st.st_size;
	CUDA(cudaGetDeviceProperties(&prop, 0));
	printf("%s, %llu MiB\n", prop.name, (unsigned long long)(size >> 20));
	CUDA(cudaMalloc(&wrong_words, sizeof(*wrong_words)));
	CUDA(cudaMalloc(&own, STEP));
	CUDA(cudaMallocHost(&pinned, STEP));
	pageable = (char *)malloc(STEP);
	measure("host to device alone, pinned", by_link, false, false);
	measure("read(2) + cudaMemcpy, pageable, cold", by_pageable, true, true);
	measure("read(2) + cudaMemcpy, pinned, cold", by_pinned, true, true);
	measure("MAP(HOST) + cudaMemcpy, cold", by_host_map, true, true);
	measure("MAP(CUDA), cold", by_map, true, true);
	measure("MAP(CUDA), warm", by_map, false, true);
	measure("READ into a buffer of ours, cold", by_read, true, true);
	measure("READ into a buffer of ours, warm", by_read, false, true);
	for (std::map<uint64_t, char *>::iterator i = opened.begin();
	     i != opened.end(); ++i)
		CUDA(cudaIpcCloseMemHandle(i->second));
	return failures ? 1 : 0;
}
