/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured: objects in memory, a gateway that serves them, and mounts.
 *
 * Everything stands in one folder of /dev/shm and goes with it.  Objects of
 * one size are hard links to one file: many keys, the memory of one.
 */
#ifndef S3RDMAFS_BENCH_SCENE_H
#define S3RDMAFS_BENCH_SCENE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "work.h"

#define SCENE_ACCESS "s3rdmabench"
#define SCENE_SECRET "s3rdmabenchsecret"

struct scene_gateway {
	unsigned int delay_ms; /* that each GET waits */
	char url[64];
	pid_t pid;
};

struct scene {
	char dir[64];   /* owned */
	char bin[4096]; /* where the programs were built, "" for PATH */
	char log[96], mnt[96];
	uint64_t size; /* of an object */
	unsigned int files;
	struct scene_gateway gateway; /* one at a time may serve the folder */
	pid_t mounted;                /* who serves mnt, or 0 */
	bool ours;
};

/* Ends the run with what failed. */
void scene_die(const struct scene *s, const char *what)
	__attribute__((noreturn));

void scene_make(struct scene *s);
void scene_clean(struct scene *s);

/* The objects as files, without any server. */
struct work_place scene_files(const struct scene *s);
/* The same through what is mounted. */
struct work_place scene_mounted(const struct scene *s);

/* The gateway with that delay; in place of one with another. */
const struct scene_gateway *scene_gateway(struct scene *s,
					  unsigned int delay_ms);

/* s3rdmafs at s->mnt, over a transport, with options more ("" none). */
void scene_mount(struct scene *s, const struct scene_gateway *g,
		 const char *transport, const char *options);

/* Somebody else's mount, by the name of his program.  Returns false when it
 * did not come up. */
bool scene_mount_other(struct scene *s, const struct scene_gateway *g,
		       const char *program);
bool scene_has(const char *program);

/* A file system that answers from memory, with object0 as large as ours. */
void scene_mount_null(struct scene *s);

void scene_unmount(struct scene *s);

/* Of our mount: bytes that came from the server, and the CPU seconds that
 * went into moving them. */
struct scene_count {
	double fetched, transfer_cpu;
};
struct scene_count scene_count(const struct scene *s);

#endif
