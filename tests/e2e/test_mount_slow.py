#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A line so slow that requests take longer than their limits: what keeps
coming is waited for, by readers and by those behind them; what stops coming,
or hardly comes, is not."""
import os
import threading
import time

from files import (KIB, MIB, SLOT, Bucket, case, check_file, finish, mounted,
                   same, settled)
from harness import SLOW, Gateway, need_fuse

ATTEMPT, DEADLINE = 1 * SLOW, 2 * SLOW  # seconds
# A slot takes more than both.
RATE = int(SLOT / (1.25 * DEADLINE))
LIMITS = {"request__attempt_timeout": "%ds" % ATTEMPT,
          "request__deadline": "%ds" % DEADLINE, "request__hedge_after": "0ms"}
READERS = 3
FAULTS = [
    "get:slow=%d:key=slow" % RATE,
    "get:slow=%d:key=shared" % (RATE * READERS),
    "get:slow=%d:key=drip" % (SLOT // 8 // ATTEMPT // 4),
    "get:stall=%d:key=stalls" % (SLOT // 2),
]


def slowly(gw):
    """A slot that takes longer than attempt and deadline, in one request."""
    with mounted(gw, "s3://data", "http", **LIMITS) as m:
        begun = time.monotonic()
        check_file(m.file("slow"), 1, SLOT)
        took = time.monotonic() - begun
        r = m.stats()["requests"]
        assert took > DEADLINE, took
        assert r["retries"] == 0, r
        assert r["get"] == 1, r
        settled(m)
    return "%.1f s" % took


def behind_each_other(gw, size):
    """More readers than connections, or than slots: those that wait for either
    have their deadline when nothing comes, not while it does."""
    wrong = []
    with mounted(gw, "s3://data", "http", cache_size=size,
                 request__connections=READERS, **LIMITS) as m:
        def read(i):
            try:
                with open(m.file("shared"), "rb", buffering=0) as f:
                    off = 2 * i * SLOT
                    data = os.pread(f.fileno(), SLOT, off)
                    bad = same(data, 2, off) or len(data) != SLOT
            except OSError as e:
                bad = str(e)
            if bad:
                wrong.append(bad)
        threads = [threading.Thread(target=read, args=(i,))
                   for i in range(2 * READERS)]
        for t in threads:
            t.start()
        # What somebody asks meanwhile, too.
        assert os.listdir(m.file("names")) == ["a"]
        for t in threads:
            t.join()
        assert not wrong, "%s\n%s" % (wrong[:3], m.text()[-1500:])
        assert m.stats()["requests"]["retries"] == 0, m.stats()["requests"]
        settled(m)


def ends(gw, name, requests):
    """EIO when its time is over, and not one attempt later."""
    with mounted(gw, "s3://data", "http", allow=["GET"], **LIMITS) as m:
        begun = time.monotonic()
        try:
            with open(m.file(name), "rb", buffering=0) as f:
                os.pread(f.fileno(), SLOT, 0)
            raise AssertionError("read " + name)
        except OSError as e:
            assert e.errno == 5, e
        took = time.monotonic() - begun
        assert took < DEADLINE + 3 * ATTEMPT, took
        assert m.stats()["requests"]["get"] >= requests, m.stats()["requests"]
        settled(m)
    return "%.1f s" % took


def main():
    need_fuse()
    gw = Gateway(faults=FAULTS)
    gw.start()
    bucket = Bucket(gw, "data")
    bucket.fill("slow", 1, SLOT)
    bucket.fill("shared", 2, 4 * READERS * SLOT)
    bucket.fill("drip", 4, SLOT)
    bucket.fill("stalls", 5, SLOT)
    bucket.put("names/a", b"x" * KIB)
    case("what keeps coming is waited for", slowly, gw)
    case("and by those behind it", behind_each_other, gw, "64MiB")
    case("who have no memory either", behind_each_other, gw, "16MiB")
    case("what stops coming is not", ends, gw, "stalls", 1)
    case("nor what hardly comes", ends, gw, "drip", 1)
    gw.stop()
    finish()


main()
