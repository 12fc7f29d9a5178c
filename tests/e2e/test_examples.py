#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The examples do on a small file what they say of a large one."""
import json
import os
import struct
import subprocess

import numpy
from files import Bucket, case, finish
from harness import (BUILD, DIR, LIBRARY, SLOW, Gateway, Mount, clean_env,
                     need_fuse, run)

TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def example(name, *args):
    env = clean_env(PYTHONPATH=os.path.join(TREE, "python"),
                    S3RDMAFS_LIBRARY=LIBRARY,
                    PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    return run(["/usr/bin/python3", os.path.join(TREE, "examples", name)] +
               list(args), env=env, timeout=120 * SLOW).stdout.decode()


def clusters(n, dim):
    rng = numpy.random.default_rng(3)
    centres = rng.normal(0, 10, (32, dim))
    return (centres[rng.integers(0, 32, n)] +
            rng.normal(0, 1, (n, dim))).astype(numpy.float32)


def ivf(m, name):
    out = example("ivf.py", m.file(name), "--lists", "32", "--probe", "4")
    assert "the two indexes are equal" in out, out
    for line in out.splitlines():
        if "recall" in line:
            assert float(line.split()[-1]) >= 0.9, out


def safetensors(m):
    out = example("safetensors_load.py", m.file("model.safetensors"))
    assert "all tensors are equal" in out, out


def in_c(m, program, *args):
    """The examples of the man pages, as they stand there."""
    exe = os.path.join(DIR, program)
    run(["cc", "-Wall", "-Wextra", "-Werror", "-O1",
         "-I" + os.path.join(TREE, "include"),
         os.path.join(TREE, "examples", program + ".c"), "-o", exe,
         "-L" + os.path.dirname(LIBRARY), "-l:libs3rdmafs.so.1",
         "-Wl,-rpath," + os.path.dirname(LIBRARY)])
    return run([exe] + list(args)).stdout.decode()


def sums(m):
    out = in_c(m, "sum", m.file("base.fbin"))
    with open(m.file("base.fbin"), "rb") as f:
        want = int(numpy.frombuffer(f.read(), numpy.uint8).sum(
            dtype=numpy.uint64))
    assert str(want) in out, (out, want)


def mapbench(m):
    out = run([os.path.join(BUILD, "tools", "bench", "s3rdma-mapbench"),
               m.path, m.file("large"), "1"]).stdout.decode()
    assert "8 processes / 1" in out, out


def main():
    need_fuse()
    gw = Gateway().start()
    b = Bucket(gw, "bkt")
    x = clusters(20000, 32)
    b.put("base.fbin", struct.pack("<II", *x.shape) + x.tobytes())
    numpy.save(os.path.join(DIR, "base.npy"), x)
    with open(os.path.join(DIR, "base.npy"), "rb") as f:
        b.put("base.npy", f.read())
    rng = numpy.random.default_rng(4)
    names, data = {}, b""
    for i in range(20):
        t = rng.bytes(4 * 1000 * (i + 1))
        names["t%d" % i] = {"dtype": "F32", "shape": [1000, i + 1],
                            "data_offsets": [len(data), len(data) + len(t)]}
        data += t
    head = json.dumps(names).encode()
    head += b" " * (-len(head) % 8)
    b.put("model.safetensors", struct.pack("<Q", len(head)) + head + data)
    m = Mount("s3://bkt", gw.url).start()
    case("IVF of an fbin file", ivf, m, "base.fbin")
    case("IVF of an npy file", ivf, m, "base.npy")
    case("a model", safetensors, m)
    case("the example of libs3rdmafs(3)", sums, m)
    case("the example of s3rdmafs_ioctl(4)", lambda: in_c(
        m, "map", m.file("base.fbin")) and None)
    b.fill("large", 0, 128 << 20)
    case("s3rdma-mapbench", mapbench, m)
    case("the mount ends well", m.unmount)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
