#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""RDMA straight into a (fake) GPU's memory over real verbs: handles of kind
CUDA, also when the server writes late, when a block changes users, and when
the server wants no tokens, so that the way over the host is taken."""
import os
import random
import time

import vmlib  # first: it makes the next two be found
import mapio
from files import FULL, KIB, MIB, Bucket, ok
from harness import need_fuse, wait_for
from mapio import CUDA, check_answer, check_pattern, fork, gpu_bytes, \
    map_range, nothing_left, unmap
from vmlib import PROTOCOLS, case, finish, need_vm, populate, rc_gateway, \
    rc_mount

COUNT = 100 if FULL else 20
USERS = 1001, 1002
PATHS = "direct_bytes", "bounced_bytes"


def one(m, rng, obj, held):
    key, seed, size = obj
    off = rng.randrange(size // 4096) * 4096
    length = rng.choice((1, 4 * KIB, 60 * KIB, 300 * KIB, 3 * MIB, 9 * MIB))
    fd = os.open(m.file(key), os.O_RDONLY)
    h = map_range(fd, off, length, CUDA)
    check_answer(h, off, length, size)
    check_pattern(gpu_bytes(h), seed, off)
    held.append((fd, h, seed, off))


def release(held, i):
    fd, h, seed, off = held.pop(i)
    check_pattern(gpu_bytes(h), seed, off)
    unmap(fd, h["handle"])
    os.close(fd)


def grown(m, before):
    s = m.stats()
    out = {k: s["maps"][k] - before["maps"][k] for k in PATHS}
    out.update((k, s["bytes"][k] - before["bytes"][k]) for k in ("rc", "http"))
    out["fences"] = s["fences"] - before["fences"]
    return out


def maps(m, objects):
    rng, held, before = random.Random(7), [], m.stats()
    for _ in range(COUNT):
        one(m, rng, rng.choice(objects), held)
        if len(held) > 4:
            release(held, rng.randrange(len(held)))
    while held:
        release(held, 0)
    nothing_left(m, 60)
    return grown(m, before)


def clean(m, objects):
    got = maps(m, objects)
    assert got["direct_bytes"] > 0 and got["rc"] == got["direct_bytes"], got
    assert not got["bounced_bytes"] and not got["http"], got
    return str(got)


def late(m, objects, fences):
    got = maps(m, objects)
    assert got["direct_bytes"] > 0, got
    assert (got["fences"] > 0) == fences, got
    return str(got)


def refused(m, objects):
    """What the server declines comes over the host."""
    got = maps(m, objects)
    assert got["bounced_bytes"] > 0 and not got["direct_bytes"], got
    return str(got)


def fill(m, objects):
    """As a user: more than half of the GPU, so that another user's blocks must
    change hands."""
    for key, seed, size in objects:
        fd = os.open(m.file(key), os.O_RDONLY)
        for off in range(0, size, 4 * MIB):
            h = map_range(fd, off, 4 * MIB, CUDA)
            unmap(fd, h["handle"])
        os.close(fd)


def connected(m, spare):
    """After late writes a session begins anew; until it is there, parts come
    over the host, and stay in the pool that they came through."""
    key, seed, size = spare
    offs = iter(range(0, size, MIB))
    fd = os.open(m.file(key), os.O_RDONLY)

    def goes_direct():
        before, off = m.stats(), next(offs)
        h = map_range(fd, off, MIB, CUDA)
        check_pattern(gpu_bytes(h), seed, off)
        unmap(fd, h["handle"])
        time.sleep(0.02)
        return grown(m, before)["direct_bytes"] > 0

    wait_for("parts to go direct again", goes_direct)
    os.close(fd)
    nothing_left(m, 60)


def change_hands(m, objects, spare):
    connected(m, spare)
    before = m.stats()
    for _ in range(2):
        for uid in USERS:
            fork(lambda pipe: fill(m, objects), uid).end()
            wait_for("the last part",
                     lambda: m.stats()["maps"]["busy"] == 0, 60)
    got = grown(m, before)
    assert got["direct_bytes"] > 0 and not got["bounced_bytes"], got
    # The last one's blocks are new ones: the NIC writes into these.
    fd = os.open(m.file(objects[0][0]), os.O_RDONLY)
    h = map_range(fd, 0, MIB, CUDA)
    check_pattern(gpu_bytes(h), objects[0][1], 0)
    os.close(fd)
    nothing_left(m, 60)
    return str(got)


def main():
    need_fuse()
    need_vm()
    gw = rc_gateway(faults=["get:late=30:every=5:key=late",
                            "get:refuse-token:key=no"]).start()
    gw.allow.append("warning:")
    bucket = Bucket(gw, "bkt", create=False)
    objects = populate(gw, 4, 10 * MIB)
    spare = "spare", 60 << 36, 256 * MIB
    bucket.fill(*spare)
    others = [(name, (i + 50) << 36, 9 * MIB + 777)
              for i, name in enumerate(("late0", "late1", "no0"))]
    for o in others:
        bucket.fill(*o)
    for protocol in PROTOCOLS:
        m = rc_mount(gw, protocol, ["warning:", "error:"],
                     cache_size="64MiB", staging__gpus="fake0:64MiB",
                     mount__allow_other="true").start()
        case(protocol, clean, m, objects)
        case(protocol + ", late writes", late, m, others[:2],
             protocol == "persistent")
        case(protocol + ", two users", change_hands, m, objects, spare)
        if protocol == "persistent":
            case(protocol + ", tokens refused", refused, m, others[2:])
        ok("%s: %s" % (protocol, m.stats()["maps"]))
        case(protocol + " ends well", m.unmount)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
