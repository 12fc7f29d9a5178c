# SPDX-License-Identifier: Apache-2.0
"""map, hint and info: by a path, or by an open file."""
import contextlib
import os

from . import _lib
from ._cuda import CudaMapping
from ._host import Mapping

_PAGE = 4096
_TRANSPORTS = ("http", "shm", "rc", "dc")


@contextlib.contextmanager
def _file(file):
    """A descriptor and a name for messages, of a path, a file or a number."""
    if hasattr(file, "fileno"):
        yield file.fileno(), getattr(file, "name", None)
    elif isinstance(file, int):
        yield file, None
    else:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd, os.fspath(file)
        finally:
            os.close(fd)


def map(file, offset=0, length=None, *, device=None, nowait=False):
    """Bytes of a file: a Mapping, or with device=N a CudaMapping.

    Blocks until they are there.  offset must be a multiple of 4096; length is
    cut at the end of the file, and None means up to it.  nowait: an error
    (EAGAIN) when the mount has no room just now."""
    if offset < 0 or offset % _PAGE:
        raise ValueError("offset must be a multiple of %d: map from there "
                         "and take a slice" % _PAGE)
    with _file(file) as (fd, path):
        left = os.fstat(fd).st_size - offset
        if left <= 0 or (length is not None and length <= 0):
            raise ValueError("nothing to map at %d" % offset)
        n = left if length is None else min(length, left)
        if device is None:
            return Mapping(fd, path, offset, n, nowait)
        return CudaMapping(fd, path, device, offset, n, nowait)


def hint(file, ranges=None):
    """These ranges, (offset, length) each, or the whole file, come next."""
    ranges = list(ranges or ())
    a = (_lib.Range * max(len(ranges), 1))(*ranges)
    with _file(file) as (fd, path):
        _lib.check(_lib.lib.s3rdma_hint(fd, a, len(ranges)), path)


def info(file):
    """What the mount of a file offers, as a dict."""
    with _file(file) as (fd, unused_path):
        i = _lib.info(fd)
    return {"abi_version": i.abi_version,
            "transport": _TRANSPORTS[i.transport],
            "slot_size": i.slot_size, "host_pool": i.host_pool,
            "map_max": i.map_max, "socket": i.socket.decode(),
            "gpus": {d.device: d.pool for d in i.devices[:i.ndevices]}}
