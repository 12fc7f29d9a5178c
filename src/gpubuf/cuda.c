/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPUs by libcuda, loaded when one is asked for: a host without one runs the
 * same program.  Only what is called is declared here, as the driver's ABI has
 * it, so that no toolkit is needed to build.
 *
 * The primary context of the device is used, which the runtime API of other
 * libraries in a process would use too; it is made current around each call,
 * because calls come on many threads.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "gpubuf/device.h"

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct {
	char reserved[DEVICE_EXPORT];
} CUipcMemHandle;

#define CUDA_SUCCESS 0
#define IPC_LAZY_ENABLE_PEER_ACCESS 1U
#define MEMHOSTREGISTER_PORTABLE 1U
#define STREAM_NON_BLOCKING 1U
#define POINTER_ATTRIBUTE_SYNC_MEMOPS 6
#define RANGE_HANDLE_DMA_BUF 1
#define FLUSH_CURRENT_CTX 0
#define FLUSH_TO_ALL_DEVICES 200
#define ATTRIBUTE_RDMA_SUPPORTED 116
#define ATTRIBUTE_RDMA_FLUSH_OPTIONS 117
#define ATTRIBUTE_RDMA_WRITES_ORDERING 118
#define ATTRIBUTE_DMA_BUF_SUPPORTED 124
#define FLUSH_OPTION_HOST 1
#define ORDERING_ALL_DEVICES 200

static struct {
	CUresult (*init)(unsigned int flags);
	CUresult (*get_error_string)(CUresult error, const char **text);
	CUresult (*device_get)(CUdevice *d, int ordinal);
	CUresult (*device_get_count)(int *n);
	CUresult (*retain)(CUcontext *ctx, CUdevice d);
	CUresult (*release)(CUdevice d);
	CUresult (*push)(CUcontext ctx);
	CUresult (*pop)(CUcontext *ctx);
	CUresult (*mem_alloc)(CUdeviceptr *p, size_t n);
	CUresult (*mem_free)(CUdeviceptr p);
	CUresult (*address_range)(CUdeviceptr *base, size_t *n, CUdeviceptr p);
	CUresult (*pointer_set)(const void *value, int attribute,
				CUdeviceptr p);
	CUresult (*ipc_get)(CUipcMemHandle *h, CUdeviceptr p);
	CUresult (*ipc_open)(CUdeviceptr *p, CUipcMemHandle h,
			     unsigned int flags);
	CUresult (*ipc_close)(CUdeviceptr p);
	CUresult (*host_register)(void *p, size_t n, unsigned int flags);
	CUresult (*host_unregister)(void *p);
	CUresult (*copy_to)(CUdeviceptr to, const void *from, size_t n,
			    CUstream s);
	CUresult (*memset)(CUdeviceptr p, unsigned char c, size_t n);
	CUresult (*ctx_synchronize)(void);
	CUresult (*stream_create)(CUstream *s, unsigned int flags);
	CUresult (*stream_destroy)(CUstream s);
	CUresult (*stream_synchronize)(CUstream s);
	CUresult (*device_get_attribute)(int *value, int attribute, CUdevice d);
	/* Of newer drivers, 11.3 and 11.7; NULL where there is none. */
	CUresult (*flush_rdma_writes)(int target, int scope);
	CUresult (*range_handle)(void *handle, CUdeviceptr p, size_t n,
				 int type, unsigned long long flags);
} cu;

/* The names by which the driver exports the versions declared above. */
struct symbol {
	const char *name;
	void *to;
};

static const struct symbol symbols[] = {
	{"cuInit", &cu.init},
	{"cuGetErrorString", &cu.get_error_string},
	{"cuDeviceGet", &cu.device_get},
	{"cuDeviceGetCount", &cu.device_get_count},
	{"cuDevicePrimaryCtxRetain", &cu.retain},
	{"cuDevicePrimaryCtxRelease_v2", &cu.release},
	{"cuCtxPushCurrent_v2", &cu.push},
	{"cuCtxPopCurrent_v2", &cu.pop},
	{"cuMemAlloc_v2", &cu.mem_alloc},
	{"cuMemFree_v2", &cu.mem_free},
	{"cuMemGetAddressRange_v2", &cu.address_range},
	{"cuPointerSetAttribute", &cu.pointer_set},
	{"cuIpcGetMemHandle", &cu.ipc_get},
	{"cuIpcOpenMemHandle_v2", &cu.ipc_open},
	{"cuIpcCloseMemHandle", &cu.ipc_close},
	{"cuMemHostRegister_v2", &cu.host_register},
	{"cuMemHostUnregister", &cu.host_unregister},
	{"cuMemcpyHtoDAsync_v2", &cu.copy_to},
	{"cuMemsetD8_v2", &cu.memset},
	{"cuCtxSynchronize", &cu.ctx_synchronize},
	{"cuStreamCreate", &cu.stream_create},
	{"cuStreamDestroy_v2", &cu.stream_destroy},
	{"cuStreamSynchronize", &cu.stream_synchronize},
	{"cuDeviceGetAttribute", &cu.device_get_attribute},
};

static const struct symbol newer[] = {
	{"cuFlushGPUDirectRDMAWrites", &cu.flush_rdma_writes},
	{"cuMemGetHandleForAddressRange", &cu.range_handle},
};

static const struct {
	CUresult result;
	int err;
} errors[] = {
	{1, EINVAL},   /* INVALID_VALUE */
	{2, ENOMEM},   /* OUT_OF_MEMORY */
	{100, ENODEV}, /* NO_DEVICE */
	{101, ENODEV}, /* INVALID_DEVICE */
	{205, EPERM},  /* MAP_FAILED: a handle that is no longer good */
	{201, EPERM},  /* INVALID_CONTEXT: likewise */
	{400, EPERM},  /* INVALID_HANDLE */
	{801, EOPNOTSUPP},
};

static int to_errno(CUresult r)
{
	if (r == CUDA_SUCCESS)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].result == r)
			return -errors[i].err;
	return -EIO;
}

static const char *text_of(CUresult r)
{
	const char *text = NULL;

	if (cu.get_error_string && !cu.get_error_string(r, &text) && text)
		return text;
	return "unknown error";
}

/* A driver's error becomes -errno here, and is logged once. */
#define CALL(f, ...) checked(#f, cu.f(__VA_ARGS__))

static int checked(const char *what, CUresult r)
{
	if (r != CUDA_SUCCESS)
		log_warning("cuda: %s: %s (%d)", what, text_of(r), r);
	return to_errno(r);
}

/* ---- the library ---- */

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded; /* under load_lock */

/* The first one that is not there; NULL. */
static const char *find(void *lib, const struct symbol *s, size_t n)
{
	const char *lacks = NULL;

	for (size_t i = 0; i < n; i++) {
		void *f = dlsym(lib, s[i].name);

		memcpy(s[i].to, &f, sizeof(f));
		if (!f && !lacks)
			lacks = s[i].name;
	}
	return lacks;
}

static int load_symbols(char *why, size_t cap)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	const char *lacks;

	if (!lib) {
		snprintf(why, cap, "no GPU: libcuda.so.1 is not on this host");
		return -ENODEV;
	}
	lacks = find(lib, symbols, ARRAY_SIZE(symbols));
	if (lacks) {
		snprintf(why, cap, "the driver is too old: no %s", lacks);
		dlclose(lib);
		return -ENODEV;
	}
	find(lib, newer, ARRAY_SIZE(newer));
	/* The library stays: its threads could not be stopped. */
	return 0;
}

static int load(char *why, size_t cap)
{
	CUresult r;
	int err;

	LOCK_SCOPE(&load_lock);
	if (loaded)
		return 0;
	err = load_symbols(why, cap);
	if (err)
		return err;
	r = cu.init(0);
	if (r != CUDA_SUCCESS) {
		snprintf(why, cap, "no GPU: %s", text_of(r));
		return -ENODEV;
	}
	loaded = true;
	return 0;
}

void cuda_absent(char *why, size_t cap)
{
	/* Not cuInit: a context would cost a second, and memory of every GPU,
	 * for a mount that uses none. */
	void *lib = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);

	snprintf(why, cap, "%s",
		 lib ? "no GPU is configured (staging.gpus)"
		     : "no GPU: libcuda.so.1 is not on this host");
	if (lib)
		dlclose(lib);
}

/* ---- a device ---- */

struct cuda {
	struct gpu gpu; /* first */
	CUdevice device;
	CUcontext ctx; /* retained */
	CUstream streams[DEVICE_STREAMS];
	void *pinned; /* what pin was called for */
	bool rdma;    /* NICs may write to it */
	bool dmabuf;  /* its memory has dma-bufs */
	bool flush;   /* what they wrote must be flushed */
};

static struct cuda *to_cuda(struct gpu *u)
{
	return (struct cuda *)u;
}

/* Makes the context current until the end of the block. */
static CUcontext *guard_push(CUcontext *ctx)
{
	cu.push(*ctx);
	return ctx;
}

static void guard_pop(CUcontext **unused)
{
	CUcontext was;

	(void)unused;
	cu.pop(&was);
}
/* A declaration, around which no parentheses can go. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define CONTEXT_SCOPE(u)                            \
	__attribute__((cleanup(guard_pop), unused)) \
	CUcontext *context_guard = guard_push(&to_cuda(u)->ctx)
/* NOLINTEND(bugprone-macro-parentheses) */

static void cuda_close(struct gpu *u)
{
	struct cuda *c = to_cuda(u);

	{
		CONTEXT_SCOPE(u);
		for (int i = 0; i < DEVICE_STREAMS; i++)
			if (c->streams[i])
				CALL(stream_destroy, c->streams[i]);
		if (c->pinned)
			CALL(host_unregister, c->pinned);
	}
	CALL(release, c->device);
	free(c);
}

static int cuda_pin(struct gpu *u, void *addr, size_t len)
{
	int err;

	CONTEXT_SCOPE(u);
	err = CALL(host_register, addr, len, MEMHOSTREGISTER_PORTABLE);
	if (!err)
		to_cuda(u)->pinned = addr;
	return err;
}

static int cuda_alloc(struct gpu *u, size_t len, struct gpu_mem *out)
{
	const int on = 1;
	CUipcMemHandle h;
	CUdeviceptr p;
	int err;

	CONTEXT_SCOPE(u);
	err = CALL(mem_alloc, &p, len);
	if (err)
		return err;
	/* What a NIC or a copy has written is seen by what is launched next. */
	CALL(pointer_set, &on, POINTER_ATTRIBUTE_SYNC_MEMOPS, p);
	err = CALL(ipc_get, &h, p);
	if (err) {
		CALL(mem_free, p);
		return err;
	}
	*out = (struct gpu_mem){.addr = p, .len = len};
	memcpy(out->export, &h, sizeof(h));
	return 0;
}

static void cuda_free(struct gpu *u, struct gpu_mem *m)
{
	CONTEXT_SCOPE(u);
	CALL(mem_free, m->addr);
}

static int cuda_import(struct gpu *u, const unsigned char *export, size_t len,
		       struct gpu_mem *out)
{
	CUipcMemHandle h;
	CUdeviceptr p, base;
	size_t n;
	int err;

	memcpy(&h, export, sizeof(h));
	CONTEXT_SCOPE(u);
	err = CALL(ipc_open, &p, h, IPC_LAZY_ENABLE_PEER_ACCESS);
	if (err)
		return err;
	err = CALL(address_range, &base, &n, p);
	if (!err && (p < base || len > n - (p - base)))
		err = -ERANGE;
	if (err) {
		CALL(ipc_close, p);
		return err;
	}
	*out = (struct gpu_mem){.addr = p, .len = len};
	return 0;
}

static void cuda_release(struct gpu *u, struct gpu_mem *m)
{
	CONTEXT_SCOPE(u);
	CALL(ipc_close, m->addr);
}

static int cuda_copy(struct gpu *u, unsigned int stream, uint64_t to,
		     const void *from, size_t len)
{
	CONTEXT_SCOPE(u);
	return CALL(copy_to, to, from, len, to_cuda(u)->streams[stream]);
}

static int cuda_wait(struct gpu *u, unsigned int stream)
{
	CONTEXT_SCOPE(u);
	return CALL(stream_synchronize, to_cuda(u)->streams[stream]);
}

static int cuda_wipe(struct gpu *u, uint64_t addr, size_t len)
{
	int err;

	CONTEXT_SCOPE(u);
	err = CALL(memset, addr, 0, len);
	return err ? err : CALL(ctx_synchronize);
}

static int cuda_reach(struct gpu *u, const struct gpu_mem *m,
		      struct gpu_reach *out)
{
	const struct cuda *c = to_cuda(u);

	*out = (struct gpu_reach){.dmabuf = -1, .addr = m->addr};
	if (!c->rdma)
		return -EOPNOTSUPP;
	CONTEXT_SCOPE(u);
	/* Where that fails, nvidia-peermem knows it by its address. */
	if (c->dmabuf && CALL(range_handle, &out->dmabuf, m->addr, m->len,
			      RANGE_HANDLE_DMA_BUF, 0))
		out->dmabuf = -1;
	return 0;
}

static int cuda_settle(struct gpu *u)
{
	if (!to_cuda(u)->flush)
		return 0;
	CONTEXT_SCOPE(u);
	return CALL(flush_rdma_writes, FLUSH_CURRENT_CTX, FLUSH_TO_ALL_DEVICES);
}

static const struct gpu_ops ops = {
	.name = "cuda",
	.close = cuda_close,
	.pin = cuda_pin,
	.alloc = cuda_alloc,
	.free = cuda_free,
	.import = cuda_import,
	.release = cuda_release,
	.copy = cuda_copy,
	.wait = cuda_wait,
	.wipe = cuda_wipe,
	.reach = cuda_reach,
	.settle = cuda_settle,
};

static int make_streams(struct cuda *c)
{
	int err = 0;

	CONTEXT_SCOPE(&c->gpu);
	for (int i = 0; i < DEVICE_STREAMS && !err; i++)
		err = CALL(stream_create, &c->streams[i], STREAM_NON_BLOCKING);
	return err;
}

static int attribute(const struct cuda *c, int which)
{
	int value = 0;

	return cu.device_get_attribute(&value, which, c->device) == CUDA_SUCCESS
		       ? value
		       : 0;
}

/* What is written behind the driver's back must be seen in order, or there
 * must be a way to have it so. */
static void learn_rdma(struct cuda *c)
{
	const int options = attribute(c, ATTRIBUTE_RDMA_FLUSH_OPTIONS);

	c->flush = attribute(c, ATTRIBUTE_RDMA_WRITES_ORDERING) <
		   ORDERING_ALL_DEVICES;
	c->rdma = attribute(c, ATTRIBUTE_RDMA_SUPPORTED) &&
		  (!c->flush ||
		   (cu.flush_rdma_writes && (options & FLUSH_OPTION_HOST)));
	c->dmabuf = cu.range_handle &&
		    attribute(c, ATTRIBUTE_DMA_BUF_SUPPORTED);
}

int cuda_open(unsigned int ordinal, struct gpu **out, char *why, size_t cap)
{
	struct cuda *c;
	int count = 0, err = load(why, cap);

	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->gpu.ops = &ops;
	if (cu.device_get_count(&count) || (int)ordinal >= count) {
		snprintf(why, cap, "no GPU %u: the host has %d", ordinal,
			 count);
		free(c);
		return -ENODEV;
	}
	err = CALL(device_get, &c->device, (int)ordinal);
	if (!err)
		err = CALL(retain, &c->ctx, c->device);
	if (err) {
		snprintf(why, cap, "GPU %u: %s", ordinal, strerror(-err));
		free(c);
		return err;
	}
	learn_rdma(c);
	err = make_streams(c);
	if (err) {
		snprintf(why, cap, "GPU %u: no streams: %s", ordinal,
			 strerror(-err));
		cuda_close(&c->gpu);
		return err;
	}
	*out = &c->gpu;
	return 0;
}
