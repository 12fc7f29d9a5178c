#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway is killed and started again while 16 threads read over http and
16 over auto: reads may wait, but never fail and never lie.

S3RDMAFS_TEST_FULL=1: 4 GiB of objects, 60 s, killed every 5 s."""
import signal
import time

from files import (FULL, MIB, PLAIN, Bucket, case, compile_c, finish, mount,
                   randread, randread_result, settled)
from harness import Gateway, need_fuse

OBJECTS = 16 if FULL else 8
EACH = (256 if FULL else 32) * MIB
SECONDS, EVERY = (60, 5) if FULL else (12, 2)
POOL, SLACK = 64 * MIB, 64 * MIB


def populate(gw):
    bucket = Bucket(gw, "data")
    objects = [("o%d" % i, i << 32, EACH + i * 1001) for i in range(OBJECTS)]
    for name, seed, size in objects:
        bucket.fill(name, seed, size)
    return objects


def kill_and_restart(gw, seconds, mounts):
    """SIGKILL every so often, on the same port and root; and on the way the
    most that each mount had resident."""
    end, kills, rss = time.monotonic() + seconds, 0, [0] * len(mounts)
    while time.monotonic() < end:
        again = time.monotonic() + EVERY
        while time.monotonic() < min(again, end):
            rss = [max(a, m.rss()) for a, m in zip(rss, mounts)]
            time.sleep(0.1)
        gw.signal(signal.SIGKILL)
        gw.proc.wait()
        time.sleep(0.3)  # long enough that connections are refused meanwhile
        gw.start()
        kills += 1
    return kills, rss


def start_readers(program, objects, m):
    """Half of the threads share handles, half have their own."""
    targets = [(m.file(n), seed, size) for n, seed, size in objects]
    return [randread(program, targets, SECONDS, threads=8, one=one)
            for one in (True, False)]


def judge(procs, m, rss, kills):
    both = [randread_result(p, SECONDS) for p in procs]
    assert not any(r["errors"] for r in both), both
    assert all(r["reads"] > 50 for r in both), both
    if PLAIN:
        assert rss <= POOL + SLACK, "%d MiB resident" % (rss // MIB)
    s = m.stats()
    return "%d kills, %d reads, longest %d ms, %d retries, %d quarantines," \
        " %s" % (kills, sum(r["reads"] for r in both),
                 max(r["longest_ms"] for r in both),
                 s["requests"]["retries"], s["quarantines"], s["bytes"])


def main():
    need_fuse()
    program = compile_c("randread.c")
    gw = Gateway().start()
    objects = populate(gw)
    modes = ("http", "auto")
    # A lost connection may be told as a warning, not as an error.
    mounts = [mount(gw, "s3://data", mode, allow=["warning:"])
              for mode in modes]
    procs = [start_readers(program, objects, m) for m in mounts]
    kills, rss = kill_and_restart(gw, SECONDS, mounts)
    for mode, m, pair, most in zip(modes, mounts, procs, rss):
        case(mode + ", gateway killed again and again", judge, pair, m, most,
             kills)
        case(mode + ", the pool afterwards", settled, m)
        case(mode + ", unmount", m.unmount)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
