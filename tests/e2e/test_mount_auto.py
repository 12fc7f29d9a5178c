#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""transport=auto: the one-sided path where there is one, http where there is
none, told in the statistics; and back again when the server comes back."""
import json
import signal
import time

import harness
from files import (KIB, MIB, Bucket, UserMount, case, check_file,
                   error_name, finish, mount, mounted, moved, ordinary_fuse,
                   share)
from harness import Gateway, Mount, need_fuse

SIZE = 100 * MIB + 99
COUNT = 3


def populate(gw):
    bucket = Bucket(gw, "data")
    for i in range(COUNT):
        bucket.fill("o%d" % i, i << 40, SIZE)
    bucket.fill("small", 77, 5 * KIB)


def read(m, i, size=SIZE):
    """Object i, all of it; which path its bytes came by."""
    before = m.stats()
    check_file(m.file("o%d" % i), i << 40, size)
    return moved(m, before)


def all_by(name, by_path, least=0.99):
    assert share(by_path, name) > least, by_path
    return "%s %.2f %%" % (name, 100 * share(by_path, name))


def told(m, name):
    """stats and status, in both forms, name the path in use."""
    s = m.stats()["transport"]
    assert s == {"mode": "auto", "in_use": name}, s
    assert name in m.ctl("status") and name in m.ctl("stats")
    json.loads(m.ctl("status", "--json"))


def one_host(gw):
    with mounted(gw, "s3://data") as m:
        before = m.stats()
        for i in range(COUNT):
            read(m, i)
        check_file(m.file("small"), 77, 5 * KIB)
        by_path = moved(m, before)
        told(m, "shm")
        assert SIZE * COUNT <= sum(by_path.values()) < SIZE * COUNT * 1.1, \
            "read %d, fetched %s" % (SIZE * COUNT, by_path)
        return all_by("shm", by_path)


def rdma_off(root):
    gw = Gateway(root=root, rdma="off").start()
    with mounted(gw, "s3://data") as m:
        note = all_by("http", read(m, 0), 0.999999)
        told(m, "http")
    gw.stop()
    return note


def token_ignored(root):
    """A server that knows nothing of tokens, as Ceph's."""
    gw = Gateway(root=root, faults=["get:ignore-token"]).start()
    with mounted(gw, "s3://data") as m:
        note = all_by("http", read(m, 0), 0.999999)
    gw.stop()
    return note


def until_by(m, name, seconds):
    """Read object after object until most bytes go by a path again."""
    begun = time.monotonic()
    while True:
        for i in range(COUNT):
            by_path = read(m, i)
            if share(by_path, name) > 0.99:
                return "%.1f s" % (time.monotonic() - begun)
        assert time.monotonic() - begun < seconds * harness.SLOW, \
            "after %d s by %s" % (seconds, by_path)


def comes_back(root):
    """The same mount: shm, then a server without, then shm again."""
    gw = Gateway(root=root).start()
    m = mount(gw, "s3://data", allow=["warning:"], cache_size="256MiB",
              staging__slot="auto")
    all_by("shm", read(m, 0))
    gw.signal(signal.SIGKILL)
    gw.proc.wait()
    gw.start()
    note = "killed and restarted: shm after " + until_by(m, "shm", 40)
    gw.kill()
    gw.rdma = "off"
    gw.start()
    note += ", without: http after " + until_by(m, "http", 40)
    gw.kill()
    gw.rdma = "auto"
    gw.start()
    note += ", with again: shm after " + until_by(m, "shm", 40)
    m.unmount()
    gw.stop()
    return note


def required(root):
    """transport.require=true: no byte by http, EIO instead."""
    gw = Gateway(root=root).start()
    m = mount(gw, "s3://data", "shm", transport__require="true",
              request__deadline="2s", allow=["warning:", "error:"])
    all_by("shm", read(m, 0))
    gw.kill()
    gw.rdma = "off"
    gw.start()
    before = m.stats()
    got = error_name(check_file, m.file("o1"), 1 << 40, SIZE)
    assert got == "EIO", got
    assert not moved(m, before)["http"], moved(m, before)
    m.unmount()
    gw.stop()


def required_declined(root, mode, fault):
    gw = Gateway(root=root, faults=["get:" + fault]).start()
    m = Mount("s3://data", gw.url, opts={
        "transport": mode, "transport.require": "true",
        "cache_size": "64MiB", "request.deadline": "2s"})
    m.allow = ["warning:", "error:"]
    m.start()
    got = error_name(check_file, m.file("o1"), 1 << 40, SIZE)
    assert got == "EIO", got
    m.unmount()
    gw.stop()


def locked_memory(gw, mode):
    """Too little lockable memory for the pool, as most users have it."""
    m = UserMount("s3://data", gw.url,
                  prefix=["prlimit", "--memlock=65536:65536"],
                  opts={"transport": mode, "cache_size": "64MiB"}).start()
    text = b"".join(m.run("cat", m.file("o%d" % i)).stdout[:64 * KIB]
                    for i in range(COUNT))
    assert text == b"".join(harness.pattern(i << 40, 0, 64 * KIB)
                            for i in range(COUNT))
    stats = json.loads(m.ctl("stats", "--json"))
    assert not stats["pool"]["pinned"], stats["pool"]
    m.unmount()
    warnings = [l for l in m.text().splitlines() if "warning:" in l]
    assert len(warnings) == 1, warnings
    assert any(w in warnings[0] for w in (
        "ulimit -l", "LimitMEMLOCK", "limits.conf")), warnings
    return "%s; %s" % (warnings[0], stats["bytes"])


def sanitized():
    """Was the daemon built with a sanitizer, which takes mlock's place?"""
    with open(harness.S3RDMAFS, "rb") as f:
        text = f.read()
    return b"__asan_init" in text or b"__tsan_init" in text


def pinned(gw):
    """With enough of it the pool is pinned, and nothing is said."""
    with mounted(gw, "s3://data", "shm") as m:
        assert m.stats()["pool"]["pinned"]
        assert m.stats()["pool"]["size_bytes"] == 64 * MIB


def main():
    need_fuse()
    ordinary_fuse()
    gw = Gateway().start()
    populate(gw)
    case("one host", one_host, gw)
    case("pinned", pinned, gw)
    if sanitized():
        print("skipped: locked memory: the sanitizer's mlock does nothing")
    else:
        for mode in ("auto", "http", "shm"):
            case("locked memory, " + mode, locked_memory, gw, mode)
    gw.stop()
    case("rdma off", rdma_off, gw.root)
    case("token ignored", token_ignored, gw.root)
    case("comes back", comes_back, gw.root)
    case("required, server without", required, gw.root)
    for mode in ("auto", "shm"):
        for fault in ("refuse-token", "ignore-token"):
            case("required, %s, %s" % (mode, fault), required_declined,
                 gw.root, mode, fault)
    finish()


if __name__ == "__main__":
    main()
