/* SPDX-License-Identifier: Apache-2.0 */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t spawn(char *const argv[], char *const env[], int out, int err)
{
	const pid_t pid = fork();
	sigset_t none;

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	if (err >= 0)
		dup2(err, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(argv[0], argv, env);
	_exit(127);
}

pid_t proc_start(char *const argv[], char *const env[], const char *log)
{
	const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			    0600);
	const pid_t pid = spawn(argv, env, fd, fd);

	if (fd >= 0)
		close(fd);
	return pid;
}

int proc_run(char *const argv[], char *const env[], char *out, size_t cap)
{
	int fds[2], status;
	size_t used = 0;
	ssize_t n = 0;
	char drop[4096];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = spawn(argv, env, fds[1], -1);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return (int)pid;
	}
	do {
		if (out && used + 1 < cap)
			n = read(fds[0], out + used, cap - 1 - used);
		else
			n = read(fds[0], drop, sizeof(drop));
		if (n > 0 && out && used + 1 < cap)
			used += (size_t)n;
	} while (n > 0);
	close(fds[0]);
	if (out)
		out[used] = '\0';
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

void proc_end(pid_t pid, int sig)
{
	int status;

	if (pid <= 0)
		return;
	kill(pid, sig);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

bool proc_lives(pid_t pid)
{
	siginfo_t info = {0};

	/* It stays to be waited for: its number is not another's yet. */
	return !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid == 0;
}

double proc_cpu(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64], text[1024], *p;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')');
	if (p)
		/* NOLINTNEXTLINE(cert-err34-c): the kernel's own text */
		sscanf(p + 2,
		       "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		       &user, &system);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double cpu_of(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

double proc_children_cpu(void)
{
	return cpu_of(RUSAGE_CHILDREN);
}

double proc_own_cpu(void)
{
	return cpu_of(RUSAGE_SELF);
}

size_t proc_rss(pid_t pid)
{
	unsigned long total, pages = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	/* NOLINTNEXTLINE(cert-err34-c): likewise */
	if (fscanf(f, "%lu %lu", &total, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}
