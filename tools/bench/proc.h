/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that the benchmark runs, and what they cost. */
#ifndef S3RDMAFS_BENCH_PROC_H
#define S3RDMAFS_BENCH_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Starts argv with the environment env and stderr to the file log.  Returns
 * the pid, or -errno. */
pid_t proc_start(char *const argv[], char *const env[], const char *log);

/* Runs argv to its end; out, when not NULL, gets its standard output.
 * Returns its exit code, or -errno. */
int proc_run(char *const argv[], char *const env[], char *out, size_t cap);

/* Sends sig and waits for the end. */
void proc_end(pid_t pid, int sig);

/* Has this child not ended yet? */
bool proc_lives(pid_t pid);

/* CPU seconds that a process has used, its children not counted. */
double proc_cpu(pid_t pid);

/* Of all children that have been waited for. */
double proc_children_cpu(void);
/* Of this process, to the microsecond. */
double proc_own_cpu(void);

/* Resident bytes. */
size_t proc_rss(pid_t pid);

#endif
