# SPDX-License-Identifier: Apache-2.0
"""Memory of a GPU that the mount has filled, opened in this process."""
import collections
import ctypes
import mmap
import os
import threading
import weakref
from ctypes import byref, c_int, c_uint64, c_void_p

from . import _dlpack
from ._lib import EXPORT, NOWAIT, Cuda, Error, check, lib

_LAZY_PEER_ACCESS = 1


class _IpcHandle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_char * EXPORT)]


class _Driver:
    """libcuda: the primary context, which torch and cupy use too."""

    def __init__(self):
        self.cu = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        self.contexts = {}

    def call(self, name, *args):
        r = getattr(self.cu, name)(*args)
        if r:
            text = ctypes.c_char_p()
            self.cu.cuGetErrorString(r, byref(text))
            raise Error(5, "%s: %s" % (name, (text.value or b"?").decode()))

    def enter(self, ordinal):
        if ordinal not in self.contexts:
            dev, ctx = c_int(), c_void_p()
            self.call("cuDeviceGet", byref(dev), ordinal)
            self.call("cuDevicePrimaryCtxRetain", byref(ctx), dev)
            self.contexts[ordinal] = ctx
        self.call("cuCtxPushCurrent_v2", self.contexts[ordinal])

    def leave(self):
        self.call("cuCtxPopCurrent_v2", byref(c_void_p()))

    def open(self, ordinal, ipc):
        address = c_uint64()
        handle = _IpcHandle.from_buffer_copy(ipc)
        self.cu.cuIpcOpenMemHandle_v2.argtypes = [c_void_p, _IpcHandle,
                                                  ctypes.c_uint]
        self.enter(ordinal)
        try:
            self.call("cuIpcOpenMemHandle_v2", byref(address), handle,
                      _LAZY_PEER_ACCESS)
        finally:
            self.leave()
        return address.value

    def close(self, ordinal, address):
        self.enter(ordinal)
        try:
            self.call("cuIpcCloseMemHandle", c_uint64(address))
        finally:
            self.leave()


class _Fake:
    """The mount's fake GPU, for tests: a memfd of the daemon, mapped."""

    def __init__(self):
        self.maps = {}

    def open(self, unused_ordinal, ipc):
        fd = os.open(bytes(ipc).split(b"\0")[0], os.O_RDWR | os.O_CLOEXEC)
        try:
            m = mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        address = ctypes.addressof(ctypes.c_char.from_buffer(m))
        self.maps[address] = m
        return address

    def close(self, unused_ordinal, address):
        del self.maps[address]


class _Allocations:
    """One opening an allocation, however many ranges of it are mapped."""

    def __init__(self):
        self.lock = threading.Lock()
        self.dead = collections.deque()
        self.open = {}  # allocation: [address, users, driver, ordinal]
        self.drivers = {}

    def driver(self, ipc):
        kind = _Fake if bytes(ipc).startswith(b"/proc/") else _Driver
        if kind not in self.drivers:
            self.drivers[kind] = kind()
        return self.drivers[kind]

    def get(self, ordinal, m):
        with self.lock:
            entry = self.open.get(m.allocation)
            if not entry:
                driver = self.driver(m.ipc)
                entry = [driver.open(ordinal, m.ipc), 0, driver, ordinal]
                self.open[m.allocation] = entry
            entry[1] += 1
            self.bury()
            return entry[0]

    def put(self, allocation):
        # Also called by the garbage collector, in the middle of get().
        self.dead.append(allocation)
        if self.lock.acquire(blocking=False):
            try:
                self.bury()
            finally:
                self.lock.release()

    def bury(self):
        while self.dead:
            allocation = self.dead.popleft()
            entry = self.open[allocation]
            entry[1] -= 1
            if entry[1] == 0:
                del self.open[allocation]
                entry[2].close(entry[3], entry[0])


_allocations = _Allocations()


def _end(pid, fd, handle, allocation):
    if pid != os.getpid():      # a child's copy: the handle is the parent's
        os.close(fd)
        return
    lib.s3rdma_unmap_cuda(fd, handle)
    os.close(fd)
    _allocations.put(allocation)


class CudaMapping:
    """A range of a file in GPU memory: cupy.asarray, torch.from_dlpack.  It
    may be shorter than what was asked for: one allocation holds so much."""

    def __init__(self, fd, path, device, offset, length, nowait):
        m = Cuda()
        check(lib.s3rdma_map_cuda(fd, device, offset, length,
                                  NOWAIT if nowait else 0, byref(m)), path)
        own = os.dup(fd)
        try:
            base = _allocations.get(device, m)
        except BaseException:
            lib.s3rdma_unmap_cuda(own, m.handle)
            os.close(own)
            raise
        self._end = weakref.finalize(self, _end, os.getpid(), own, m.handle,
                                     m.allocation)
        self.path, self.offset, self.device = path, offset, device
        self.generation = m.generation
        self._address, self._size = base + m.alloc_offset, m.valid

    def __len__(self):
        return self._size

    @property
    def __cuda_array_interface__(self):
        # Writing would spoil what others of this user read.
        return {"shape": (self._size,), "typestr": "|u1",
                "data": (self._address, True), "version": 3}

    def __dlpack__(self, *, stream=None, **unused):
        # The bytes were there before map returned: no stream to wait for.
        return _dlpack.capsule(self, self._address, self._size, _dlpack.CUDA,
                               self.device)

    def __dlpack_device__(self):
        return _dlpack.CUDA, self.device

    def close(self):
        """What was made of it must not be used any more."""
        self._end()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
