/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "null_fs.h"
#include "proc.h"

#define SMALL_FILE (64 << 10)
#define UP_MS 20000

/* rclone makes folders in its HOME: that is the scene's too. */
static char home[80] = "HOME=/nonexistent";

static char *const child_env[] = {
	(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
		"/bin",
	home,
	(char *)"AWS_ACCESS_KEY_ID=" SCENE_ACCESS,
	(char *)"AWS_SECRET_ACCESS_KEY=" SCENE_SECRET,
	(char *)"AWS_REGION=us-east-1",
	NULL,
};

void scene_die(const struct scene *s, const char *what)
{
	char *argv[] = {(char *)"tail", (char *)"-3", (char *)s->log, NULL};
	char said[1024] = "";

	fprintf(stderr, "s3rdma-bench: %s (%s)\n", what, strerror(errno));
	if (s->log[0] && !proc_run(argv, child_env, said, sizeof(said)))
		fputs(said, stderr);
	exit(1); /* atexit cleans up */
}

/* Programs of the build tree first, installed ones else. */
static void find_program(const struct scene *s, const char *in_tree, char *out,
			 size_t cap)
{
	snprintf(out, cap, "%s/%s", s->bin, in_tree);
	if (!s->bin[0] || access(out, X_OK))
		snprintf(out, cap, "%s", strrchr(in_tree, '/') + 1);
}

/* ---- objects ---- */

static void fill_file(struct scene *s, const char *path, uint64_t size)
{
	const size_t step = size < 1 << 20 ? size : 1 << 20;
	AUTO_FREE char *buf = malloc(step);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				 0644);

	if (fd < 0 || !buf)
		scene_die(s, path);
	for (uint64_t off = 0; off < size; off += step) {
		for (uint64_t i = 0; i < step; i += 8) {
			const uint64_t w = (off + i) * 0x9E3779B97F4A7C15ULL;

			memcpy(buf + i, &w, 8);
		}
		if (write(fd, buf, step) != (ssize_t)step)
			scene_die(s, "no room in memory for the object");
	}
}

static void make_objects(struct scene *s, const char *bucket)
{
	char first[200], path[200];

	snprintf(first, sizeof(first), "%s/object0", bucket);
	fill_file(s, first, s->size);
	for (int i = 1; i < WORK_OBJECTS; i++) {
		snprintf(path, sizeof(path), "%s/object%d", bucket, i);
		if (link(first, path))
			scene_die(s, path);
	}
	snprintf(path, sizeof(path), "%s/small", bucket);
	snprintf(first, sizeof(first), "%s/small/00000", bucket);
	if (mkdir(path, 0755))
		scene_die(s, path);
	fill_file(s, first, SMALL_FILE);
	for (unsigned int i = 1; i < s->files; i++) {
		snprintf(path, sizeof(path), "%s/small/%05u", bucket, i);
		if (link(first, path))
			scene_die(s, path);
	}
}

void scene_make(struct scene *s)
{
	char path[160];

	snprintf(s->dir, sizeof(s->dir), "/dev/shm/s3rdma-bench-XXXXXX");
	if (!mkdtemp(s->dir)) {
		s->dir[0] = '\0';
		scene_die(s, "cannot make a folder in /dev/shm");
	}
	snprintf(home, sizeof(home), "HOME=%s", s->dir);
	snprintf(s->log, sizeof(s->log), "%s/log", s->dir);
	snprintf(s->mnt, sizeof(s->mnt), "%s/mnt", s->dir);
	snprintf(path, sizeof(path), "%s/root", s->dir);
	if (mkdir(s->mnt, 0755) || mkdir(path, 0755))
		scene_die(s, path);
	snprintf(path, sizeof(path), "%s/root/bench", s->dir);
	if (mkdir(path, 0755))
		scene_die(s, path);
	make_objects(s, path);
}

static void stop_gateway(struct scene *s)
{
	proc_end(s->gateway.pid, SIGTERM);
	s->gateway.pid = 0;
}

void scene_clean(struct scene *s)
{
	char *argv[] = {(char *)"rm", (char *)"-rf", s->dir, NULL};

	scene_unmount(s);
	stop_gateway(s);
	if (s->dir[0])
		proc_run(argv, child_env, NULL, 0);
	s->dir[0] = '\0';
}

static struct work_place place_at(const struct scene *s, const char *dir)
{
	return (struct work_place){.dir = dir,
				   .size = s->size,
				   .files = s->files,
				   .file_size = SMALL_FILE};
}

struct work_place scene_files(const struct scene *s)
{
	static char dir[128];

	snprintf(dir, sizeof(dir), "%s/root/bench", s->dir);
	return place_at(s, dir);
}

struct work_place scene_mounted(const struct scene *s)
{
	return place_at(s, s->mnt);
}

/* ---- gateways ---- */

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int free_port(const struct scene *s)
{
	struct sockaddr_in a = loopback(0);
	socklen_t n = sizeof(a);
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		scene_die(s, "no port");
	return ntohs(a.sin_port);
}

static bool answers(int port)
{
	const struct sockaddr_in a = loopback(port);
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (const struct sockaddr *)&a, sizeof(a));
}

static void start_gateway(struct scene *s, struct scene_gateway *g)
{
	const uint64_t until = clock_ms() + UP_MS;
	const int port = free_port(s);
	char path[4200], root[80], listen[32], fault[40];
	char *argv[] = {path,   (char *)"--root",
			root,   (char *)"--listen",
			listen, g->delay_ms ? (char *)"--fault" : NULL,
			fault,  NULL};

	find_program(s, "tools/gateway/s3rdma-gateway", path, sizeof(path));
	snprintf(root, sizeof(root), "%s/root", s->dir);
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
	snprintf(fault, sizeof(fault), "get:delay=%u", g->delay_ms);
	snprintf(g->url, sizeof(g->url), "http://%s", listen);
	g->pid = proc_start(argv, child_env, s->log);
	if (g->pid < 0)
		scene_die(s, "cannot start s3rdma-gateway");
	while (!answers(port)) {
		if (clock_ms() > until || !proc_lives(g->pid))
			scene_die(s, "the gateway does not answer");
		usleep(5000);
	}
}

const struct scene_gateway *scene_gateway(struct scene *s,
					  unsigned int delay_ms)
{
	struct scene_gateway *g = &s->gateway;

	if (g->pid > 0 && g->delay_ms == delay_ms)
		return g;
	stop_gateway(s);
	*g = (struct scene_gateway){.delay_ms = delay_ms};
	start_gateway(s, g);
	return g;
}

/* ---- mounts ---- */

/* Starts argv, who serves s->mnt then; false when it never does. */
static bool serve(struct scene *s, char *const argv[])
{
	const uint64_t until = clock_ms() + UP_MS;
	struct stat outside, inside;

	if (stat(s->mnt, &outside))
		scene_die(s, s->mnt);
	s->mounted = proc_start(argv, child_env, s->log);
	if (s->mounted < 0)
		scene_die(s, argv[0]);
	do {
		if (clock_ms() > until || !proc_lives(s->mounted)) {
			scene_unmount(s);
			return false;
		}
		usleep(5000);
	} while (stat(s->mnt, &inside) || inside.st_dev == outside.st_dev);
	return true;
}

void scene_mount(struct scene *s, const struct scene_gateway *g,
		 const char *transport, const char *options)
{
	char path[4200], all[512];
	char *argv[] = {path, (char *)"-f",         (char *)"-o",
			all,  (char *)"s3://bench", s->mnt,
			NULL};

	find_program(s, "src/s3rdmafs", path, sizeof(path));
	snprintf(all, sizeof(all),
		 "endpoint=%s,transport=%s,log.level=warning,"
		 "metadata.path=none%s%s",
		 g->url, transport, *options ? "," : "", options);
	s->ours = true;
	if (!serve(s, argv))
		scene_die(s, "the mount does not come up");
}

bool scene_has(const char *program)
{
	static const char *const dirs[] = {"/usr/local/sbin", "/usr/local/bin",
					   "/usr/sbin", "/usr/bin"};
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], program);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

/* Each as its manual has it for another server than Amazon's; nothing is
 * tuned and nothing taken away. */
bool scene_mount_other(struct scene *s, const struct scene_gateway *g,
		       const char *program)
{
	char url[96], options[256], remote[320];
	char *s3fs[] = {(char *)"s3fs", (char *)"bench", s->mnt, (char *)"-f",
			(char *)"-o",   options,         NULL};
	char *rclone[] = {(char *)"rclone", (char *)"mount",       remote,
			  s->mnt,           (char *)"--read-only", NULL};
	char *mountpoint[] = {(char *)"mount-s3",
			      (char *)"bench",
			      s->mnt,
			      (char *)"--endpoint-url",
			      url,
			      (char *)"--force-path-style",
			      (char *)"--read-only",
			      (char *)"-f",
			      NULL};
	char *goofys[] = {(char *)program,
			  (char *)"--endpoint",
			  url,
			  (char *)"-f",
			  (char *)"bench",
			  s->mnt,
			  NULL};
	char *const *argv = goofys;

	snprintf(url, sizeof(url), "%s", g->url);
	snprintf(options, sizeof(options), "url=%s,use_path_request_style",
		 g->url);
	snprintf(remote, sizeof(remote),
		 ":s3,provider=Other,env_auth=true,endpoint='%s':bench",
		 g->url);
	if (!strcmp(program, "s3fs"))
		argv = s3fs;
	else if (!strcmp(program, "rclone"))
		argv = rclone;
	else if (!strcmp(program, "mount-s3"))
		argv = mountpoint;
	s->ours = false;
	return serve(s, argv);
}

void scene_mount_null(struct scene *s)
{
	struct stat outside, inside;
	const uint64_t until = clock_ms() + UP_MS;

	if (stat(s->mnt, &outside))
		scene_die(s, s->mnt);
	s->ours = false;
	s->mounted = fork();
	if (s->mounted == 0)
		_exit(null_fs_serve("s3rdma-bench", s->mnt, s->size));
	if (s->mounted < 0)
		scene_die(s, "fork");
	while (stat(s->mnt, &inside) || inside.st_dev == outside.st_dev) {
		if (clock_ms() > until)
			scene_die(s, "the null file system does not come up");
		usleep(5000);
	}
}

void scene_unmount(struct scene *s)
{
	char *argv[] = {(char *)"fusermount3", (char *)"-u", (char *)"-z",
			s->mnt, NULL};

	if (s->mounted <= 0)
		return;
	proc_run(argv, child_env, NULL, 0);
	proc_end(s->mounted, SIGTERM);
	s->mounted = 0;
}

struct scene_count scene_count(const struct scene *s)
{
	char path[4200], out[16384];
	char *argv[] = {path, (char *)s->mnt, (char *)"stats", (char *)"--json",
			NULL};
	struct scene_count c = {0};
	const char *name;
	json_t *o, *v;

	find_program(s, "tools/ctl/s3rdmactl", path, sizeof(path));
	if (proc_run(argv, child_env, out, sizeof(out)))
		scene_die(s, "s3rdmactl");
	o = json_loads(out, 0, NULL);
	c.transfer_cpu = json_number_value(json_object_get(
				 json_object_get(o, "cpu"), "transfer_ns")) /
			 1e9;
	json_object_foreach(json_object_get(o, "bytes"), name, v)
		c.fetched += json_number_value(v);
	json_decref(o);
	return c;
}
