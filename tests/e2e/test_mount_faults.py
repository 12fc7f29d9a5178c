#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fault that the gateway can inject, over http and over shm: reads are
right, or fail with the documented errno, and never give a wrong byte.  After
each the pool is whole again.

One gateway serves all cases; a fault belongs to the object whose key names
it.  The fault `lie` (a server that claims a transfer it never made) is not
among them: no client can tell such a server from an honest one."""
import errno
import os
import threading
import time

from files import (FULL, MIB, MODES, SLOT, Bucket, case, check_file, compile_c,
                   finish, mounted, moved, note_skip, randread,
                   randread_result, same, settled, share)
from harness import SLOW, Gateway, need_fuse

# More than the pool of these cases holds, so that reads keep meeting faults.
SIZE, POOL = 20 * MIB + 4321, "16MiB"
LATE_SIZE, LATE_POOL = 9 * MIB + 4321, "64MiB"
SECONDS, LATE_SECONDS = (5, 60) if FULL else (0.3, 3)
# For the cases in which the server never recovers.
DEADLINE = "2s"

# name: (fault of a GET, whether it may end in an error and in which)
RECOVERS = {
    "r503": ("status=503:every=3", ()),
    "r500": ("status=500:every=3", ()),
    "r429": ("status=429:every=3", ()),
    "reset": ("reset:every=3", ()),
    "cut0": ("truncate=0:every=3", ()),
    "cut1": ("truncate=100000:every=3", ()),
    "delay": ("delay=150:every=3", ()),
    "badtag": ("etag:every=3", ("EIO", "ESTALE")),
    "norange": ("norange:every=3", ()),
    "short": ("short=70000:every=3", ()),
    "notoken": ("refuse-token:every=2", ()),
    "never": ("refuse-token", ()),
    "ignore": ("ignore-token:every=2", ()),
    "ignores": ("ignore-token", ()),
}

# name: (fault, what every read must end in)
FAILS = {
    "dead503": ("status=503", "EIO"),
    "deadreset": ("reset", "EIO"),
    "deadcut": ("truncate=1000", "EIO"),
    "deadshort": ("short=1000", "EIO right"),
    "norangeall": ("norange", "EIO right"),
    "deadtag": ("etag", "EIO ESTALE"),
    "s403": ("status=403", "EACCES"),
    "s404": ("status=404", "ENOENT"),
    "s409": ("status=409", "EBUSY"),
    "s412": ("status=412", "ESTALE"),
}

BURST = 12  # readers, each of a slot of its own; more than the pool has
LATE = ["late%d" % i for i in range(10)]  # 90 MiB through 16 slots


def faults():
    yield from ("get:%s:key=%s-" % (f, k) for k, (f, _) in RECOVERS.items())
    yield from ("get:%s:key=%s-" % (f, k) for k, (f, _) in FAILS.items())
    for i, name in enumerate(LATE):
        yield "get:late=%d:every=4:key=%s-" % (20 + 60 * i, name)
    for mode in MODES:
        yield "get:status=503:count=%d:key=burst-%s" % (BURST, mode)
    yield "head:status=503:every=2:key=head-"
    yield "head:reset:every=2:key=headreset-"
    yield "list:status=503:every=2:key=listed"
    yield "list:reset:every=3:key=listed"


def populate(gw):
    bucket = Bucket(gw, "data")
    seeds = {}
    for i, name in enumerate(list(RECOVERS) + list(FAILS) + LATE):
        seeds[name] = i << 36
        bucket.fill(name + "-x", seeds[name],
                    LATE_SIZE if name in LATE else SIZE)
    bucket.fill("clean", 99, SIZE)
    for mode in MODES:
        bucket.fill("burst-" + mode, 98, BURST * SLOT)
    bucket.fill("head-x", 5, 1000)
    bucket.fill("headreset-x", 6, 1000)
    for i in range(30):
        bucket.put("listed/%d" % i, b"x" * i)
    return seeds


# Cases ----------------------------------------------------------------------

def in_order(path, seed, may):
    """Read from start to end; count the errors that the case may have."""
    failed = off = 0
    with open(path, "rb", buffering=0) as f:
        while off < SIZE:
            try:
                data = os.pread(f.fileno(), MIB, off)
            except OSError as e:
                name = errno.errorcode[e.errno]
                assert name in may, "%s at %d" % (name, off)
                failed += 1
                off += MIB
                continue
            bad = same(data, seed, off)
            assert data and not bad, "WRONG BYTES: %s" % (bad or "the end")
            off += len(data)
    return failed


def recovers(program, m, name, seed, may):
    path = m.file(name + "-x")
    before = m.stats()
    failed = in_order(path, seed, may)
    # Two handles on it, and then once more in order: what the random reads
    # left in the pool must be right, too.
    procs = [randread(program, [(path, seed, SIZE)], SECONDS, threads=4,
                      one=one) for one in (True, False)]
    results = [randread_result(p, SECONDS) for p in procs]
    for r in results:
        assert set(r["errors"]) <= set(may), r
        assert r["reads"], r
    failed += in_order(path, seed, may)
    settled(m)
    now = m.stats()
    return "%d reads, %d failed, %d retries, %d quarantines, %s" % (
        sum(r["reads"] for r in results),
        failed + sum(sum(r["errors"].values()) for r in results),
        now["requests"]["retries"] - before["requests"]["retries"],
        now["quarantines"] - before["quarantines"], moved(m, before))


def fails(m, name, seed, want):
    """Every read fails alike, also the second."""
    with open(m.file(name + "-x"), "rb", buffering=0) as f:
        for off in (0, 5 * MIB):
            got = outcome(f.fileno(), seed, off)
            assert got in want.split(), "%s, not %s" % (got, want)


def outcome(fd, seed, off):
    try:
        data = os.pread(fd, 64 << 10, off)
    except OSError as e:
        return errno.errorcode[e.errno]
    bad = same(data, seed, off)
    assert data and not bad, "WRONG BYTES: %s" % (bad or "no byte")
    return "right"


def late(program, m, seeds, mode):
    """The server answers 500 and writes later: no byte of such a write may
    ever be seen, although all slots are used again and again."""
    before = m.stats()
    targets = [(m.file(n + "-x"), seeds[n], LATE_SIZE) for n in LATE]
    proc = randread(program, targets, LATE_SECONDS, threads=12)
    r = randread_result(proc, LATE_SECONDS)
    assert not r["errors"], r
    for path, seed, size in targets:
        check_file(path, seed, size)
    settled(m)
    now = m.stats()
    quarantines = now["quarantines"] - before["quarantines"]
    fences = now["fences"] - before["fences"]
    if mode == "shm":
        assert quarantines and fences, "%d quarantines, %d fences" % (
            quarantines, fences)
    return "%d reads, %d quarantines, %d fences, %s" % (
        r["reads"], quarantines, fences, moved(m, before))


def burst(m, mode):
    """The first request of each reader fails, when they hold all slots: they
    must not wait for each other's.  They end in a moment, as it is over."""
    begun, wrong = time.monotonic(), []

    def read(off):
        try:
            data = os.pread(f.fileno(), 2 * MIB, off)
            bad = same(data, 98, off)
        except OSError as e:
            bad = str(e)
        if bad:
            wrong.append(bad)
    with open(m.file("burst-" + mode), "rb", buffering=0) as f:
        together([(read, i * SLOT + 12345) for i in range(BURST)])
    took = time.monotonic() - begun
    assert not wrong, "%d of %d after %.1f s: %s" % (
        len(wrong), BURST, took, wrong[:3])
    assert took < 5 * SLOW, "took %.1f s" % took
    return "%.1f s" % took


def heads(m):
    """The attributes come through although HEADs fail on the way."""
    check_file(m.file("head-x"), 5, 1000)
    check_file(m.file("headreset-x"), 6, 1000)


def lists(m):
    assert len(os.listdir(m.file("listed"))) == 30


def others(m, mode):
    """All those faults were of single objects.  Whether the mount still
    trusts the one-sided path after them is its own affair, and told."""
    before = m.stats()
    check_file(m.file("clean"), 99, SIZE)
    by_path = moved(m, before)
    assert mode == "shm" or not by_path["shm"], by_path
    return "by shm: %.0f %%" % (100 * share(by_path, "shm"))


def together(calls):
    threads = [threading.Thread(target=c[0], args=c[1:]) for c in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def all_of(mode, gw, program, seeds):
    # What the server did wrong is told as warnings, or as errors where a
    # read failed of it; a sanitizer's report is neither.
    allow = ["warning:", "error:"]
    # A deadline far above what a retry takes, so that a stall is seen.
    with mounted(gw, "s3://data", mode, allow=allow, cache_size=POOL,
                 request__deadline="10s") as m:
        case(mode + ", head fails", heads, m)
        case(mode + ", list fails", lists, m)
        case(mode + ", all fail once", burst, m, mode)
        for name, (fault, may) in RECOVERS.items():
            case("%s, %s" % (mode, fault), recovers, program, m, name,
                 seeds[name], may)
        case(mode + ", other objects", others, m, mode)
    with mounted(gw, "s3://data", mode, allow=allow,
                 cache_size=LATE_POOL) as m:
        case(mode + ", late", late, program, m, seeds, mode)
    with mounted(gw, "s3://data", mode, allow=allow,
                 request__deadline=DEADLINE) as m:
        # They wait for the deadline, so they do it all at once.
        # An answer of the one-sided path has no body to be cut.
        together([(case, "%s, always %s" % (mode, fault), fails, m, name,
                   seeds[name],
                   "right" if (mode, name) == ("shm", "deadcut") else want)
                  for name, (fault, want) in FAILS.items()])
        case(mode + ", the pool afterwards", settled, m)


def main():
    need_fuse()
    program = compile_c("randread.c")
    gw = Gateway(faults=faults()).start()
    gw.allow.append("warning:")
    seeds = populate(gw)
    together([(case, mode + ", mounts end well", all_of, mode, gw, program,
               seeds) for mode in MODES])
    note_skip("lie", "a client cannot know that a server claims a transfer"
              " that it did not make; no test asks it to")
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
