#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A vector index (IVF: k-means, then lists of the nearest) built from an fbin
or npy file on a mount, twice: by read(2) and a copy, and by handles.  Prints
how long both took, and the recall of the index.

    ivf.py /mnt/base.fbin [--lists 256] [--probe 8] [--device 0]

Needs numpy; with torch, k-means runs there, on the GPU with --device.
"""
import argparse
import io
import time

import numpy

import s3rdmafs

try:
    import torch
except ImportError:
    torch = None


def by_read(path, unused_device):
    """As most loaders do it: the whole file into memory of one's own."""
    with open(path, "rb") as f:
        return numpy.frombuffer(f.read(), numpy.uint8)


def by_handle(path, device):
    """The mount's pages, or its memory of the GPU."""
    if device is None:
        return numpy.asarray(s3rdmafs.map(path))
    parts, at = [], 0
    while True:     # one allocation of the GPU holds so much
        try:
            m = s3rdmafs.map(path, at, device=device)
        except ValueError:
            break
        parts.append(torch.from_dlpack(m))
        at += len(m)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def header(path):
    """(offset of the vectors, how many, dimensions)."""
    with open(path, "rb") as f:
        head = f.read(4096)
    if head.startswith(b"\x93NUMPY"):
        f = io.BytesIO(head)
        version = numpy.lib.format.read_magic(f)
        read = (numpy.lib.format.read_array_header_1_0 if version == (1, 0)
                else numpy.lib.format.read_array_header_2_0)
        (n, dim), fortran, dtype = read(f)
        if fortran or dtype != numpy.float32:
            raise SystemExit("expected rows of float32")
        return f.tell(), n, dim
    n, dim = numpy.frombuffer(head[:8], numpy.uint32)
    return 8, int(n), int(dim)


def vectors(data, off, n, dim):
    """float32 rows out of bytes, without a copy where they are aligned."""
    data = data[off:off + n * dim * 4]
    if torch is not None and not isinstance(data, numpy.ndarray):
        if off % 4:
            data = data.clone()
        return data.view(torch.float32).view(n, dim)
    return data.view(numpy.float32).reshape(n, dim)


def to_numpy(a):
    return a if isinstance(a, numpy.ndarray) else a.cpu().numpy()


def distances(a, b):
    """Squared, of each row of a to each of b, but for a's own square."""
    return (b * b).sum(1)[None, :] - 2 * a @ b.T


def nearest(x, centres, step=65536):
    out = []
    for i in range(0, len(x), step):
        out.append(distances(x[i:i + step], centres).argmin(1))
    return numpy.concatenate(out) if isinstance(out[0], numpy.ndarray) \
        else torch.cat(out)


def train(x, k, rounds=8, sample=256):
    """k-means over a sample of the rows; the same for equal data."""
    rng = numpy.random.default_rng(1)
    some = numpy.sort(rng.choice(len(x), min(len(x), k * sample), False))
    if not isinstance(x, numpy.ndarray):
        some = torch.from_numpy(some).to(x.device)
    s = x[some]
    centres = s[:: max(len(s) // k, 1)][:k] + 0
    for _ in range(rounds):
        which = nearest(s, centres)
        for c in range(len(centres)):
            mine = s[which == c]
            if len(mine):
                centres[c] = mine.mean(0)
    return centres


def build(x, k):
    centres = train(x, k)
    which = to_numpy(nearest(x, centres))
    order = numpy.argsort(which, kind="stable")
    ends = numpy.searchsorted(which[order], numpy.arange(len(centres) + 1))
    return to_numpy(centres), order, ends


def search(x, index, q, probe):
    centres, order, ends = index
    lists = distances(q[None, :], centres)[0].argsort()[:probe]
    rows = numpy.concatenate([order[ends[c]:ends[c + 1]] for c in lists])
    if not len(rows):
        return -1
    return rows[distances(q[None, :], x[rows])[0].argmin()]


def recall(x, index, probe, queries=100):
    rng = numpy.random.default_rng(2)
    hits = 0
    for row in rng.choice(len(x), min(queries, len(x)), False):
        q = x[row] + rng.normal(0, 0.01, x.shape[1]).astype(numpy.float32)
        hits += search(x, index, q, probe) == nearest(q[None, :], x)[0]
    return hits / min(queries, len(x))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("file")
    p.add_argument("--lists", type=int, default=256)
    p.add_argument("--probe", type=int, default=8)
    p.add_argument("--device", type=int)
    a = p.parse_args()
    off, n, dim = header(a.file)
    print("%d vectors of %d dimensions" % (n, dim))
    result = {}
    for name, load in (("read(2)", by_read), ("handles", by_handle)):
        begun = time.monotonic()
        x = vectors(load(a.file, a.device), off, n, dim)
        if a.device is not None and isinstance(x, numpy.ndarray):
            x = torch.from_numpy(x.copy()).to("cuda:%d" % a.device)
        loaded = time.monotonic()
        index = build(x, a.lists)
        built = time.monotonic()
        result[name] = index
        print("%-8s loaded in %.3f s, built in %.3f s, recall@1 %.3f" % (
            name, loaded - begun, built - loaded,
            recall(to_numpy(x), index, a.probe)))
        del x
    for one, other in zip(result["read(2)"], result["handles"]):
        if not numpy.allclose(one, other, rtol=1e-3, atol=1e-3):
            raise SystemExit("the two indexes differ")
    print("the two indexes are equal")


if __name__ == "__main__":
    main()
