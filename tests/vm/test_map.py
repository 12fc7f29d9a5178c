#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Handles over real verbs: bytes come by RDMA to their place inside a region,
beside others of the same region; also when the server writes late and the
region's key must die under its neighbours."""
import os
import random
import sys
import threading

import vmlib  # first: it makes the next two be found
from files import FULL, KIB, MIB, ok
from harness import LIBRARY, need_fuse, pattern, wait_for
from vmlib import PROTOCOLS, case, finish, need_vm, populate, rc_gateway, \
    rc_mount

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "python"))
os.environ["S3RDMAFS_LIBRARY"] = LIBRARY
import s3rdmafs  # noqa: E402

MAPS, THREADS = 100 if FULL else 10, 4


def work(m, objects, number, wrong):
    rng = random.Random(number)
    try:
        for _ in range(MAPS):
            key, seed, size = rng.choice(objects)
            off = rng.randrange(size // 4096) * 4096
            n = rng.choice((4 * KIB, 60 * KIB, 300 * KIB, 3 * MIB, 9 * MIB))
            with s3rdmafs.map(m.file(key), off, n) as r:
                assert bytes(r) == pattern(seed, off, len(r)), \
                    "WRONG BYTES in %s at %d" % (key, off)
    except Exception as e:
        wrong.append(e)


def maps(m, objects):
    before, wrong = m.stats(), []
    threads = [threading.Thread(target=work, args=(m, objects, i, wrong))
               for i in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(200)
        assert not t.is_alive(), "a map hangs"
    if wrong:
        raise wrong[0]
    wait_for("the last part", lambda: m.stats()["maps"]["busy"] == 0, 60)
    s = m.stats()
    assert not s["maps"]["handles"] and not s["pool"]["lost"], s
    rdma = s["bytes"]["rc"] - before["bytes"]["rc"]
    http = s["bytes"]["http"] - before["bytes"]["http"]
    return "%d MiB by rc, %d by http, %d fences" % (
        rdma >> 20, http >> 20, s["fences"] - before["fences"]), rdma, http


def clean(m, objects):
    text, rdma, http = maps(m, objects)
    assert http == 0 and rdma > 0, text
    return text


def main():
    need_fuse()
    need_vm()
    gw = rc_gateway(faults=["get:late=30:every=5:key=late"]).start()
    gw.allow.append("warning:")
    objects = populate(gw, 4, 10 * MIB)
    late = []
    from files import Bucket
    bucket = Bucket(gw, "bkt", create=False)
    for i in range(3):
        late.append(("late%d" % i, (i + 50) << 36, 9 * MIB + 777))
        bucket.fill(*late[-1])
    for protocol in PROTOCOLS:
        m = rc_mount(gw, protocol, ["warning:", "error:"],
                     cache_size="64MiB").start()
        case(protocol, clean, m, objects)
        case(protocol + ", late writes", lambda: maps(m, late)[0])
        ok("%s: %s" % (protocol, m.stats()["maps"]))
        case(protocol + " ends well", m.unmount)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
