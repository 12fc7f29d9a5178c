#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""16 threads read at random on one handle and on sixteen, from far more data
than the pool holds: no wrong byte, no error, no growth.

S3RDMAFS_TEST_FULL=1: 4 GiB of objects and 60 s each."""
import mmap
import os
import random
import time

from files import (FULL, KIB, MIB, MODES, PLAIN, SLOT, Bucket, case,
                   compile_c, finish, mounted, moved, note_skip, randread,
                   randread_result, same, settled, share)
from harness import Gateway, need_fuse

# One large object for the one handle, and a dozen for the sixteen.
BIG = (1024 if FULL else 256) * MIB
EACH = (256 if FULL else 64) * MIB
SECONDS = 60 if FULL else 2.5
POOL, SLACK = 64 * MIB, 64 * MIB


def populate(gw):
    """Names, seeds and sizes of the objects; no size ends on a slot."""
    bucket = Bucket(gw, "data")
    objects = [("big", 1 << 40, BIG + 777)]
    objects += [("o%d" % i, i << 32, EACH - 1 + i) for i in range(12)]
    for name, seed, size in objects:
        bucket.fill(name, seed, size)
    return objects


def read_and_watch(program, targets, m, one):
    """Read, and return the counters and the most that was resident."""
    proc = randread(program, targets, SECONDS, one=one)
    most = 0
    while proc.poll() is None:
        most = max(most, m.rss())
        time.sleep(0.05)
    return randread_result(proc, SECONDS), most


def hammer(program, objects, m, mode, one):
    before = m.stats()
    targets = [(m.file(n), seed, size) for n, seed, size in objects]
    r, rss = read_and_watch(program, targets[:1] if one else targets, m, one)
    assert not r["errors"], r
    assert r["reads"] > 50, r
    if PLAIN:
        assert rss <= POOL + SLACK, "%d MiB resident" % (rss // MIB)
    else:
        note_skip("resident size", "a checker owns most of it")
    by_path = moved(m, before)
    # A 2.5 s run of small random reads has a tail below transport.min_size.
    assert share(by_path, mode) > 0.9, by_path
    return "%d reads, %d MiB, fetched %d MiB, longest %d ms, %d MiB rss" % (
        r["reads"], r["bytes"] // MIB, sum(by_path.values()) // MIB,
        r["longest_ms"], rss // MIB)


def fetched(m, size, count, most):
    """Random reads ask for little more than what they are for.  Reads as C
    makes them: into memory that begins on a page."""
    name, seed, length = "big", 1 << 40, BIG + 777
    # The first read may be taken for the begin of a sequential one.
    rng, total, before = random.Random(size), SLOT, m.stats()
    into = mmap.mmap(-1, size)
    with open(m.file(name), "rb", buffering=0) as f:
        for _ in range(count):
            off = rng.randrange(length - size)
            assert os.preadv(f.fileno(), [into], off) == size
            bad = same(into[:], seed, off)
            assert not bad, "WRONG BYTES: " + bad
            total += most(size)
    into.close()
    by_path = sum(moved(m, before).values())
    assert by_path <= total, "%.2f bytes fetched for each read" % (
        by_path / (size * count))
    return "%.2f bytes fetched for each read" % (by_path / (size * count))


def economy(gw, mode):
    """Each in a mount of its own: nothing is in the pool before."""
    tenth_more, small = lambda n: n * 1.1, lambda n: 128 * KIB
    for size, count, most in ((4 * KIB, 200, small), (256 * KIB, 100,
                              tenth_more), (MIB, 50, tenth_more),
                              (2 * MIB, 30, tenth_more)):
        with mounted(gw, "s3://data", mode) as m:
            case("%s, random reads of %d KiB fetch little" % (
                mode, size // KIB), fetched, m, size, count, most)


def main():
    need_fuse()
    program = compile_c("randread.c")
    gw = Gateway().start()
    objects = populate(gw)
    for mode in MODES:
        with mounted(gw, "s3://data", mode, cache_size="64MiB") as m:
            case(mode + ", 16 threads on one handle", hammer, program,
                 objects, m, mode, True)
            case(mode + ", 16 threads on sixteen handles", hammer, program,
                 objects, m, mode, False)
            case(mode + ", the pool afterwards", settled, m)
        economy(gw, mode)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
