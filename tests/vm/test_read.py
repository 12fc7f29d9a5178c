#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Objects by rc over real verbs, both hand-shakes: the same bytes,
by RDMA nearly all of them, and none of them in a body of the server."""
import os
import queue
import random
import threading

import vmlib  # first: it makes the next two be found
from files import FULL, MIB, ok, share
from harness import need_fuse, pattern
from vmlib import (PROTOCOLS, case, counter, finish, need_vm, rc_gateway,
                    rc_mount)

READERS, OBJECTS = 64, 1000 if FULL else 300
EDGES = (1, 2, 7, 8, 9, 4095, 4096, 4097, 65535, 65536, 128 * 1024 - 1,
         128 * 1024, 128 * 1024 + 1, MIB - 1, MIB, MIB + 1, 4 * MIB - 1,
         4 * MIB, 4 * MIB + 1, 9 * MIB + 4321)
MTU = 4096


def sizes():
    """Spread over the powers of two up to 2 MiB, and the edges: the same at
    every run, about 170 MiB of a thousand."""
    r = random.Random(1)
    some = [int(2 ** r.uniform(0, 21)) for _ in range(OBJECTS - len(EDGES))]
    return list(EDGES) + some


def key(i):
    return "d%d/object-%d" % (i % 10, i)


def populate(root, contents):
    for i, data in enumerate(contents):
        path = os.path.join(root, "bkt", key(i))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)


def read_all(m, contents):
    todo, wrong = queue.SimpleQueue(), []
    for i in range(len(contents)):
        todo.put(i)

    def reader():
        while True:
            try:
                i = todo.get_nowait()
            except queue.Empty:
                return
            try:
                with open(m.file(key(i)), "rb", buffering=0) as f:
                    data = f.read()
                if data != contents[i]:
                    wrong.append("%s: %d bytes differ from %d" % (
                        key(i), len(data), len(contents[i])))
            except OSError as e:
                wrong.append("%s: %s" % (key(i), e))
    threads = [threading.Thread(target=reader) for _ in range(READERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, "%d objects: %s" % (len(wrong), wrong[:3])


def bodies(lines):
    """Of the access log: (requests for data, bytes in their answers)."""
    n = total = 0
    for line in lines:
        method, uri = line.split('"')[1].split()[:2]
        if (method == "GET" and uri.startswith("/bkt/")) or \
                (method == "POST" and "rc/" in uri):
            assert line.split('"')[2].split()[0] in ("200", "206"), line
            n += 1
            total += int(line.split('"')[2].split()[1])
    return n, total


def one_protocol(gw, protocol, contents):
    with open(gw.access) as log:
        log.seek(0, os.SEEK_END)
        m = rc_mount(gw, protocol, cache_size="256MiB").start()
        received = counter("rxe0", "rcvd_pkts")
        read_all(m, contents)
        received = counter("rxe0", "rcvd_pkts") - received
        stats = m.stats()
        pool = stats["pool"]
        lines = log.read().splitlines()
        m.unmount()
    total = sum(map(len, contents))
    n, in_bodies = bodies(lines)
    by_rdma = share(stats["bytes"], "rc")
    assert stats["bytes"]["rc"] >= total * 0.99 and by_rdma > 0.99, stats
    assert received >= total / MTU, "%d packets for %d bytes" % (received,
                                                                 total)
    assert n >= OBJECTS and in_bodies == 0, "%d requests, %d bytes of bodies" \
        % (n, in_bodies)
    assert not pool["lost"] and not pool["quarantined"], pool
    return "%d MiB, %.2f %% by RDMA, %d packets, %d requests" % (
        total >> 20, 100 * by_rdma, received, n)


def main():
    need_fuse()
    need_vm()
    contents = [pattern((i + 1) << 36, 0, n) for i, n in enumerate(sizes())]
    gw = rc_gateway()
    populate(gw.root, contents)
    gw.start()
    ok("%d objects, %d MiB" % (len(contents),
                               sum(map(len, contents)) >> 20))
    for protocol in PROTOCOLS:
        case("%s, %d objects" % (protocol, OBJECTS), one_protocol, gw, protocol,
             contents)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
