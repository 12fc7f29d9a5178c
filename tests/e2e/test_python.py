#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python package on a mount: one-liners without a copy, lifetimes, and the
stream that keeps the next files on their way."""
import errno
import gc
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "python"))

import harness
import numpy
from files import KIB, MIB, Bucket, case, finish, note_skip
from harness import LIBRARY, Gateway, Mount, need_fuse, pattern, wait_for

os.environ["S3RDMAFS_LIBRARY"] = LIBRARY
import s3rdmafs  # noqa: E402

SIZE = 40 * MIB + 12345
FAKE = 64 * MIB


def want(seed, off, n):
    return numpy.frombuffer(pattern(seed, off, n), numpy.uint8)


def no_handles(m):
    gc.collect()
    wait_for("no handle is left", lambda: not any(
        m.stats()["maps"][k] for k in ("handles", "buffers", "mapped_bytes",
                                       "waiting_for_room", "busy")))


def numpy_is_zero_copy(m):
    a = numpy.asarray(s3rdmafs.map(m.file("big")))
    assert a.dtype == numpy.uint8 and a.shape == (SIZE,), (a.dtype, a.shape)
    assert not a.flags.writeable and not a.flags.owndata
    assert (a == want(0, 0, SIZE)).all()
    b = numpy.asarray(s3rdmafs.map(m.file("big")))
    assert m.stats()["maps"]["handles"] >= 2
    del a
    assert (b == want(0, 0, SIZE)).all()
    del b
    no_handles(m)
    s = m.stats()["maps"]
    assert s["copied_bytes"] == s["bounced_bytes"] == 0, s


def ranges(m):
    with open(m.file("big"), "rb") as f:
        for off, n in ((0, 1), (4096, 100 * KIB), (8 * MIB, 20 * MIB),
                       (SIZE // 4096 * 4096, None), (4 * MIB - 4096, 9000)):
            with s3rdmafs.map(f, off, n) as r:
                n = SIZE - off if n is None else n
                assert len(r) == n and bytes(r) == pattern(0, off, n), (off, n)
                assert memoryview(r).readonly
    no_handles(m)


def errors(m):
    def fails(code, call, *args, **kw):
        try:
            call(*args, **kw)
        except OSError as e:
            assert e.errno == code, e
        else:
            raise AssertionError("%s %s: no error" % (args, kw))

    for bad in ((m.file("big"), 5), (m.file("big"), -4096),
                (m.file("big"), 0, 0), (m.file("big"), 64 * MIB),
                (m.file("empty"),)):
        try:
            s3rdmafs.map(*bad)
        except ValueError:
            continue
        raise AssertionError("%s: no ValueError" % (bad,))
    fails(errno.ENOTTY, s3rdmafs.map, "/etc/passwd")
    fails(errno.ENOENT, s3rdmafs.map, m.file("nothing"))
    fails(errno.ENODEV, s3rdmafs.map, m.file("big"), device=7)
    fails(errno.ENOTTY, s3rdmafs.info, "/etc/passwd")


def close_is_refused_while_used(m):
    r = s3rdmafs.map(m.file("big"), 0, 100)
    a = numpy.asarray(r)
    try:
        r.close()
    except BufferError:
        pass
    else:
        raise AssertionError("closed under an array")
    assert (a == want(0, 0, 100)).all()
    del a
    r.close()
    no_handles(m)


def torch_is_zero_copy(m):
    try:
        import torch
    except ImportError:
        note_skip("torch", "python3-torch is not installed")
        return
    r = s3rdmafs.map(m.file("big"), 4096, 10 * MIB)
    t = torch.from_dlpack(r)
    assert t.dtype == torch.uint8 and t.shape == (10 * MIB,)
    assert t.data_ptr() == numpy.asarray(r).__array_interface__["data"][0]
    del r
    gc.collect()
    assert m.stats()["maps"]["handles"] > 0, "the tensor holds nothing"
    assert (t.numpy() == want(0, 4096, 10 * MIB)).all()
    del t
    no_handles(m)


def fake_gpu(m):
    with s3rdmafs.map(m.file("big"), 4096, 3 * MIB, device=0) as r:
        face = r.__cuda_array_interface__
        assert face["shape"] == (3 * MIB,) and face["typestr"] == "|u1"
        address, read_only = face["data"]
        assert read_only
        import ctypes
        assert ctypes.string_at(address, 3 * MIB) == pattern(0, 4096, 3 * MIB)
        assert r.__dlpack_device__() == (2, 0)
    no_handles(m)
    assert m.stats()["maps"]["bounced_bytes"] >= 3 * MIB


def info(m):
    i = s3rdmafs.info(m.file("big"))
    assert i["abi_version"] == 1 and i["transport"] == "shm", i
    assert i["gpus"] == {0: FAKE}, i


def hint(m):
    before = m.stats()["reads"]["prefetched_bytes"]
    s3rdmafs.hint(m.file("hinted"))
    wait_for("the hinted file",
             lambda: m.stats()["reads"]["prefetched_bytes"] >= before + 2 * MIB)
    with open(m.file("hinted"), "rb") as f:
        assert f.read() == pattern(9 << 40, 0, 2 * MIB)


def stream_in_order(m):
    names = ["s%d" % i for i in range(24)]
    for i, r in enumerate(s3rdmafs.stream(map(m.file, names), ahead=4)):
        assert r.path == m.file(names[i])
        assert bytes(r) == pattern((i + 1) << 36, 0, MIB), i
    assert i == 23
    del r
    items = [(m.file("big"), k * MIB, MIB) for k in range(10)]
    for k, r in enumerate(s3rdmafs.stream(items)):
        assert bytes(r) == pattern(0, k * MIB, MIB)
    del r
    no_handles(m)


def stream_that_fails(m):
    seen = 0
    try:
        for r in s3rdmafs.stream([m.file("s0"), m.file("none"),
                                  m.file("s1")], ahead=2):
            seen += 1
            del r
    except FileNotFoundError:
        assert seen == 1
    else:
        raise AssertionError("no error")
    no_handles(m)


def stream_keeps_ahead(gw, m):
    """With 20 ms before each answer, eight ahead are on their way: one after
    the other would take every file's latency."""
    names = [m.file("s%d" % i) for i in range(24)]
    begun = time.monotonic()
    for path in names:
        s3rdmafs.map(path).close()
    alone = time.monotonic() - begun
    m.ctl("drop")
    begun = time.monotonic()
    for r in s3rdmafs.stream(names, ahead=8):
        r.close()
    together = time.monotonic() - begun
    if harness.SLOW == 1:
        assert together < alone / 2, (alone, together)
    return "one by one %.2f s, eight ahead %.2f s" % (alone, together)


def main():
    need_fuse()
    gw = Gateway().start()
    b = Bucket(gw, "bkt")
    b.fill("big", 0, SIZE)
    b.fill("hinted", 9 << 40, 2 * MIB)
    b.fill("empty", 0, 0)
    for i in range(24):
        b.fill("s%d" % i, (i + 1) << 36, MIB)
    m = Mount("s3://bkt", gw.url, opts={
        "transport.mode": "shm", "cache_size": "256MiB",
        "staging.gpus": "fake0:%d" % FAKE})
    m.allow.append("fake GPU")
    m.start()
    for text, check in (
            ("numpy without a copy", numpy_is_zero_copy),
            ("ranges", ranges), ("errors", errors),
            ("close waits for arrays", close_is_refused_while_used),
            ("torch without a copy", torch_is_zero_copy),
            ("a fake GPU", fake_gpu), ("info", info), ("hint", hint),
            ("stream", stream_in_order),
            ("a stream that fails", stream_that_fails)):
        case(text, check, m)
    case("the mount ends well", m.unmount)
    case("the gateway ends well", gw.stop)
    slow = Gateway(faults=["get:delay=20"], root=gw.root).start()
    m = Mount("s3://bkt", slow.url, opts={"transport.mode": "http"}).start()
    case("the next files are on their way", stream_keeps_ahead, slow, m)
    case("the second mount ends well", m.unmount)
    finish()


if __name__ == "__main__":
    main()
