# SPDX-License-Identifier: Apache-2.0
"""DLPack capsules (version 0, which every consumer takes) of plain bytes."""
import ctypes
from ctypes import c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p

CPU, CUDA = 1, 2
_UINT = 1


class _Device(ctypes.Structure):
    _fields_ = [("device_type", c_int32), ("device_id", c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device", _Device), ("ndim", c_int32),
                ("dtype", _DataType), ("shape", ctypes.POINTER(c_int64)),
                ("strides", ctypes.POINTER(c_int64)),
                ("byte_offset", c_uint64)]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("dl_tensor", _Tensor), ("manager_ctx", c_void_p),
                     ("deleter", _Deleter)]

_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [c_void_p, ctypes.c_char_p,
                                                 c_void_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = [c_void_p, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c_void_p, [c_void_p, ctypes.c_char_p]

# What consumers hold: address of the struct -> what must live as long.
_alive = {}


@_Deleter
def _delete(managed):
    _alive.pop(ctypes.addressof(managed.contents), None)


@ctypes.CFUNCTYPE(None, c_void_p)
def _delete_capsule(capsule):
    """A capsule that nobody took (a taken one has another name)."""
    if _is_valid(capsule, b"dltensor"):
        _alive.pop(_pointer(capsule, b"dltensor"), None)


def capsule(owner, address, size, device, ordinal):
    shape = (c_int64 * 1)(size)
    m = _Managed()
    t = m.dl_tensor
    t.data, t.ndim, t.byte_offset = address, 1, 0
    t.device = _Device(device, ordinal)
    t.dtype = _DataType(_UINT, 8, 1)
    t.shape = shape
    m.deleter = _delete
    # A buffer held: the owner cannot be closed while a consumer reads.
    held = memoryview(owner) if device == CPU else owner
    _alive[ctypes.addressof(m)] = (m, shape, held)
    return _new(ctypes.addressof(m), b"dltensor", _delete_capsule)
