# SPDX-License-Identifier: Apache-2.0
"""libs3rdmafs by ctypes: nothing has to be compiled."""
import ctypes
import os
from ctypes import POINTER, byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

EXPORT = 64
NOWAIT = 1


class Error(OSError):
    """An errno of s3rdmafs_ioctl(4), with what it means there."""


class Device(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint32), ("device", ctypes.c_uint32),
                ("pool", c_uint64)]


class Info(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("abi_version", ctypes.c_uint32), ("kinds", ctypes.c_uint32),
                ("transport", ctypes.c_uint32),
                ("ndevices", ctypes.c_uint32), ("slot_size", c_uint64),
                ("host_pool", c_uint64), ("map_max", c_uint64),
                ("devices", Device * 8), ("socket", ctypes.c_char * 108),
                ("reserved", ctypes.c_uint32 * 5)]


class Cuda(ctypes.Structure):
    _fields_ = [("handle", c_uint64), ("valid", c_uint64),
                ("alloc_offset", c_uint64), ("alloc_size", c_uint64),
                ("allocation", c_uint64), ("generation", c_uint64),
                ("ipc", ctypes.c_ubyte * EXPORT)]


class Range(ctypes.Structure):
    _fields_ = [("offset", c_uint64), ("length", c_uint64)]


def _load():
    """$S3RDMAFS_LIBRARY first, for a library that is not installed."""
    name = os.environ.get("S3RDMAFS_LIBRARY") or "libs3rdmafs.so.1"
    lib = ctypes.CDLL(name)
    for call, result, *args in (
            ("s3rdma_info", c_int, c_int, POINTER(Info)),
            ("s3rdma_map_at", c_int, c_int, c_uint64, c_uint64, c_uint,
             c_void_p, POINTER(c_void_p)),
            ("s3rdma_map_size", c_size_t, c_void_p),
            ("s3rdma_map_generation", c_uint64, c_void_p),
            ("s3rdma_unmap", None, c_void_p),
            ("s3rdma_map_cuda", c_int, c_int, c_uint, c_uint64, c_uint64,
             c_uint, POINTER(Cuda)),
            ("s3rdma_unmap_cuda", c_int, c_int, c_uint64),
            ("s3rdma_hint", c_int, c_int, POINTER(Range), c_size_t),
            ("s3rdma_strerror", ctypes.c_char_p, c_int)):
        f = getattr(lib, call)
        f.restype, f.argtypes = result, args
    return lib


lib = _load()


def check(err, path=None):
    """Raises for a negative errno."""
    if err < 0:
        raise Error(-err, lib.s3rdma_strerror(err).decode(), path)


def info(fd):
    out = Info()
    check(lib.s3rdma_info(fd, byref(out)))
    return out
