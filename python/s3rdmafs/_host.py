# SPDX-License-Identifier: Apache-2.0
"""Pages of the mount's own memory as a Python buffer."""
import ctypes
import mmap
import weakref
from ctypes import byref, c_void_p

from . import _dlpack
from ._lib import NOWAIT, check, lib

# What a read-only buffer's address is, nothing in Python but its own C API
# tells.
_buffer_size = 10 * ctypes.sizeof(c_void_p) + 64
_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, c_void_p, ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [c_void_p]
_release_buffer.restype = None


def _address(obj):
    view = ctypes.create_string_buffer(_buffer_size)
    _get_buffer(obj, view, 0)
    try:
        return c_void_p.from_buffer(view).value  # Py_buffer.buf comes first
    finally:
        _release_buffer(view)


class Mapping(mmap.mmap):
    """A range of a file, for reading only, as any buffer is: memoryview,
    numpy.asarray, torch.frombuffer.  A with statement or close() ends it; so
    does the end of the last object made of it."""

    def __new__(cls, fd, path, offset, length, nowait):
        # Addresses first, then the pages over them: a mapping of Python's own
        # knows its length, its end and that it is for reading only.
        self = super().__new__(cls, -1, length, prot=mmap.PROT_READ)
        handle = c_void_p()
        self._map = None
        self._addr = _address(self)
        check(lib.s3rdma_map_at(fd, offset, length, NOWAIT if nowait else 0,
                                self._addr, byref(handle)), path)
        self._map = weakref.finalize(self, lib.s3rdma_unmap, handle.value)
        self.generation = lib.s3rdma_map_generation(handle)
        self.path, self.offset = path, offset
        return self

    def close(self):
        """Fails with BufferError while an array is made of it."""
        super().close()
        if self._map:
            self._map()

    def __exit__(self, *unused):
        self.close()

    def __dlpack__(self, *, stream=None, **unused):
        if stream is not None:
            raise BufferError("host memory has no stream")
        return _dlpack.capsule(self, self._addr, len(self), _dlpack.CPU, 0)

    def __dlpack_device__(self):
        return _dlpack.CPU, 0
