#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests that stay away are made a second time: reads do not wait for them,
and what comes late harms nobody."""
import os
import random
import signal
import time

from files import KIB, MIB, MODES, Bucket, case, finish, same
from harness import SLOW, Gateway, Mount, need_fuse

SIZE, PIECE, READS = 64 * MIB, 64 * KIB, 600
EVERY, STALL = 180, 4  # one GET in so many comes after so many seconds


def gateway(faults=()):
    gw = Gateway(faults=list(faults))
    gw.start()
    Bucket(gw, "data").fill("object", 7, SIZE)
    return gw


def mount(gateways, mode, after="%dms" % (80 * SLOW)):
    m = Mount("s3://data", ";".join(g.url for g in gateways),
              gateways[0].ak, gateways[0].sk,
              opts={"transport": mode, "cache_size": "128MiB",
                    "request.hedge_after": after})
    m.allow = ["warning:"] if len(gateways) > 1 else []
    return m.start()


def read_pieces(m, count, seed):
    """Of an object that is opened for it."""
    fd = os.open(m.file("object"), os.O_RDONLY)
    try:
        return read_pieces_of(fd, m, count, seed)
    finally:
        os.close(fd)


def read_pieces_of(fd, m, count, seed):
    """Pieces in no order, each checked; how long the slowest took."""
    r, worst = random.Random(seed), 0
    for _ in range(count):
        off = r.randrange(SIZE // PIECE) * PIECE
        begin = time.monotonic()
        data = os.pread(fd, PIECE, off)
        worst = max(worst, time.monotonic() - begin)
        assert len(data) == PIECE and not same(data, 7, off), off
        if r.random() < 0.2:
            m.ctl("drop")
    return worst


def count_of(m):
    r = m.stats()["reads"]
    return r["hedged"], r["hedges_won"]


def stalled_ones_are_passed(gw, mode):
    m = mount([gw], mode)
    # Times are known after some requests, of which one may be stalled.
    read_pieces(m, 60, 1)
    worst = read_pieces(m, READS, 2)
    hedged, won = count_of(m)
    assert won >= 2, (hedged, won)
    assert hedged <= (READS + 60) / 20 + 1, hedged
    assert worst < STALL * 0.75, worst
    # They come, into memory that is still theirs; then all is free again.
    deadline = time.monotonic() + 4 * STALL
    while m.stats()["pool"]["armed"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert m.stats()["pool"]["armed"] == 0, m.stats()["pool"]
    read_pieces(m, 100, 3)
    m.unmount()
    return "%d of %d came first, the slowest read took %.2f s" % (
        won, hedged, worst)


def without_it_they_are_waited_for(gw):
    m = mount([gw], "http", "0")
    worst = read_pieces(m, EVERY + 20, 4)
    assert worst > STALL * 0.9, worst
    assert count_of(m) == (0, 0), count_of(m)
    m.unmount()


def an_endpoint_stops(a, b):
    m = mount([a, b], "http")
    # Opened before: what an open asks for is not asked twice.
    fd = os.open(m.file("object"), os.O_RDONLY)
    read_pieces_of(fd, m, 100, 5)
    b.signal(signal.SIGSTOP)
    try:
        worst = read_pieces_of(fd, m, 300, 6)
    finally:
        b.signal(signal.SIGCONT)
        os.close(fd)
    assert worst < 3, worst
    hedged, won = count_of(m)
    assert won >= 1, (hedged, won)
    m.unmount()
    return "%.2f s, %d made twice" % (worst, hedged)


def main():
    need_fuse()
    stalls = gateway(["get:delay=%d:every=%d" % (STALL * 1000, EVERY)])
    a, b = gateway(), gateway()
    for mode in MODES:
        case("stalled requests are passed by, " + mode,
             stalled_ones_are_passed, stalls, mode)
    case("turned off, they are waited for", without_it_they_are_waited_for,
         stalls)
    case("an endpoint stops", an_endpoint_stops, a, b)
    for gw in (stalls, a, b):
        gw.stop()
    finish()


if __name__ == "__main__":
    main()
