#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model in safetensors format from a mount, twice: by read(2) and a copy, and
by handles, where each tensor is a view of the pages that the bytes came into.
Prints both times and compares every tensor.

    safetensors_load.py /mnt/model.safetensors [--device 0]

Needs numpy; with --device torch, and the tensors end on that GPU.
"""
import argparse
import json
import struct
import time

import numpy

import s3rdmafs

TYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I64": "i8",
         "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1", "BOOL": "?"}


def header(head):
    """(where tensors begin, {name: (dtype, shape, from, to)}) of the bytes."""
    n, = struct.unpack("<Q", bytes(head[:8]))
    names = json.loads(bytes(head[8:8 + n]))
    names.pop("__metadata__", None)
    return 8 + n, {k: (TYPES[t["dtype"]], t["shape"], *t["data_offsets"])
                   for k, t in names.items()}


def tensors(data):
    """Views of a buffer: nothing is copied."""
    base, names = header(data)
    out = {}
    for name, (dtype, shape, lo, hi) in names.items():
        raw = data[base + lo:base + hi]
        if raw.ctypes.data % numpy.dtype(dtype).itemsize:
            raw = raw.copy()    # of a file whose header is not padded
        out[name] = raw.view(dtype).reshape(shape)
    return out


def by_read(path):
    with open(path, "rb") as f:
        return tensors(numpy.frombuffer(f.read(), numpy.uint8))


def by_handle(path):
    return tensors(numpy.asarray(s3rdmafs.map(path)))


def to_gpu(what, device):
    import torch
    out = {k: torch.from_numpy(v.view(numpy.uint8).copy()).to(
        "cuda:%d" % device) for k, v in what.items()}
    torch.cuda.synchronize(device)
    return out


def by_gpu_handle(path, device):
    """Each tensor a view of GPU memory that the mount has filled."""
    import torch
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        base, names = header(struct.pack("<Q", n) + f.read(n))
    out = {}
    for name, (_, _, lo, hi) in names.items():
        at, parts = base + lo, []
        while at < base + hi:
            page = at // 4096 * 4096
            m = s3rdmafs.map(path, page, base + hi - page, device=device)
            parts.append(torch.from_dlpack(m)[at - page:])
            at = page + len(m)
        out[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("file")
    p.add_argument("--device", type=int)
    a = p.parse_args()
    ways = [("read(2)", lambda: by_read(a.file)),
            ("handles", lambda: by_handle(a.file))]
    if a.device is not None:
        ways = [("read(2)", lambda: to_gpu(by_read(a.file), a.device)),
                ("handles", lambda: by_gpu_handle(a.file, a.device))]
    got = []
    for name, load in ways:
        begun = time.monotonic()
        got.append(load())
        print("%-8s %d tensors in %.3f s" % (name, len(got[-1]),
                                             time.monotonic() - begun))
    one, other = got
    for name in one:
        same = (one[name] == other[name]).all() if a.device is not None else \
            one[name].tobytes() == other[name].tobytes()
        if not same:
            raise SystemExit("%s differs" % name)
    print("all tensors are equal")


if __name__ == "__main__":
    main()
