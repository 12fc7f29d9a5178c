#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several endpoints with the same objects: requests go where they are answered
sooner, past those that are down, and back to them when they are up again."""
import concurrent.futures
import os

from files import KIB, Bucket, case, check_file, finish
from harness import DIR, Gateway, Mount, need_fuse, wait_for

COUNT, SIZE = 400, 20 * KIB


def gateway(name, faults=()):
    gw = Gateway(faults=list(faults), rdma="off")
    gw.access = os.path.join(DIR, "access-" + name)
    gw.args = ["--access-log", gw.access]
    gw.start()
    bucket = Bucket(gw, "data")
    for i in range(COUNT):
        bucket.fill("%03d" % i, i << 32, SIZE)
    return gw


def gets(gw):
    with open(gw.access) as f:
        return sum('"GET /data/' in line for line in f)


def mount(gateways, allow=()):
    m = Mount("s3://data", ";".join(g.url for g in gateways),
              gateways[0].ak, gateways[0].sk,
              opts={"transport": "http", "cache_size": "64MiB",
                    "read.files_ahead": "0", "metadata.ttl": "1h"})
    m.allow = list(allow)
    return m.start()


def read_all(m, turns=1):
    for _ in range(turns):
        for i in range(COUNT):
            check_file(m.file("%03d" % i), i << 32, SIZE)
        m.ctl("drop")


def by(gateways, action):
    before = [gets(g) for g in gateways]
    action()
    return [gets(g) - n for g, n in zip(gateways, before)]


def read_together(m):
    """Eight readers, each all files from another one on."""
    def read(first):
        for i in range(COUNT):
            i = (first + i) % COUNT
            check_file(m.file("%03d" % i), i << 32, SIZE)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(0, COUNT, COUNT // 8)))


def both_alike(a, b):
    """Where requests meet they are shared out; one after the other may go to
    whichever was a little quicker of late."""
    m = mount([a, b])
    n = by((a, b), lambda: read_together(m))
    m.unmount()
    assert sum(n) >= COUNT and min(n) > sum(n) * 0.2, n
    return "%d and %d" % tuple(n)


def one_slow(a, b, slow):
    m = mount([a, slow, b])
    n = by((a, slow, b), lambda: read_all(m))
    m.unmount()
    assert n[1] < sum(n) * 0.1, n
    assert n[1] > 0, "it was never looked at: %s" % n
    return "%d, %d and %d" % tuple(n)


def one_ends_and_comes_back(a, b):
    m = mount([a, b], ["warning:", "error:"])
    read_all(m)
    b.kill()
    n = by((a, b), lambda: read_all(m))
    assert n[0] >= COUNT, n
    b.start()
    wait_for("the second endpoint to be used",
             lambda: by((a, b), lambda: read_all(m))[1] > COUNT * 0.2, 60)
    m.unmount()


def one_fails_at_once(a, bad):
    """A quick no draws nobody."""
    m = mount([a, bad], ["warning:", "error:"])
    n = by((a, bad), lambda: read_all(m))
    m.unmount()
    assert n[1] < sum(n) * 0.25, n
    return "%d and %d" % tuple(n)


def main():
    need_fuse()
    a, b = gateway("a"), gateway("b")
    slow = gateway("slow", ["get:delay=40"])
    bad = gateway("bad", ["get:status=503"])
    case("two that are alike", both_alike, a, b)
    case("one of three is slow", one_slow, a, b, slow)
    case("one fails at once", one_fails_at_once, a, bad)
    case("one ends and comes back", one_ends_and_comes_back, a, b)
    for gw in (a, b, slow, bad):
        gw.stop()
    finish()


if __name__ == "__main__":
    main()
