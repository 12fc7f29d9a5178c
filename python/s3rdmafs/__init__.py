# SPDX-License-Identifier: Apache-2.0
"""Files of an s3rdmafs mount without a copy.

    a = numpy.asarray(s3rdmafs.map("/mnt/vectors.fbin"))
    t = torch.from_dlpack(s3rdmafs.map("/mnt/model.bin"))
    c = cupy.asarray(s3rdmafs.map("/mnt/model.bin", device=0))

    for m in s3rdmafs.stream(paths, ahead=8):
        use(numpy.asarray(m))

map() gives the very pages that the mount has received the bytes into, for
reading only; with device=N, memory of that GPU.  What is made of it keeps it
alive.  Errors are OSError with the errno of s3rdmafs_ioctl(4).
"""
from ._cuda import CudaMapping
from ._host import Mapping
from ._lib import Error
from ._open import hint, info, map  # pylint: disable=redefined-builtin
from ._stream import stream

__all__ = ["CudaMapping", "Error", "Mapping", "hint", "info", "map", "stream"]
