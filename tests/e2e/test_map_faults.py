#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Maps from a server that fails: every fault of the gateway, late writes among
them, over shm and http.  What is mapped is right, or there is a documented
error; and afterwards nothing is busy."""
import errno
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "python"))

from files import FULL, KIB, MIB, MODES, Bucket, case, finish
from harness import LIBRARY, SLOW, Gateway, Mount, need_fuse, pattern, wait_for

os.environ["S3RDMAFS_LIBRARY"] = LIBRARY
import s3rdmafs  # noqa: E402

SIZE = 24 * MIB + 4321
SECONDS = 20 if FULL else 0.5

# name: (fault of a GET, errors that a map may end in)
FAULTS = {
    "503": ("status=503:every=3", ()),
    "reset": ("reset:every=3", ()),
    "cut": ("truncate=100000:every=3", ()),
    "delay": ("delay=50:every=3", ()),
    "badtag": ("etag:every=3", (errno.EIO, errno.ESTALE)),
    "norange": ("norange:every=3", ()),
    "short": ("short=70000:every=3", ()),
    "notoken": ("refuse-token:every=2", ()),
    "ignore": ("ignore-token:every=2", ()),
    "late": ("late=30:every=4", ()),
    "later": ("late=400:every=5", ()),
    "dead": ("status=503", (errno.EIO,)),
    "gone": ("status=404", (errno.ENOENT, errno.ESTALE)),
    "forbidden": ("status=403", (errno.EACCES,)),
}


class Mapper(threading.Thread):
    """Maps ranges at random until the time is over, and looks at them."""

    def __init__(self, path, seed, may, device, end):
        super().__init__()
        self.args = path, seed, may, device, end
        self.wrong, self.good, self.failed = None, 0, 0
        self.start()

    def run(self):
        try:
            self.work(*self.args)
        except Exception as e:
            self.wrong = e

    def work(self, path, seed, may, device, end):
        rng = random.Random(seed + id(self))
        with open(path, "rb") as f:
            while time.monotonic() < end or not (self.good or self.failed):
                off = rng.randrange(SIZE // 4096) * 4096
                n = rng.choice((4 * KIB, 100 * KIB, MIB, 9 * MIB))
                try:
                    m = s3rdmafs.map(f, off, n, device=device)
                except OSError as e:
                    assert e.errno in may, e
                    self.failed += 1
                    if self.failed > 20:
                        return
                    continue
                self.look(m, seed, off, device)
                m.close()
                self.good += 1

    @staticmethod
    def look(m, seed, off, device):
        if device is None:
            got = bytes(m)
        else:
            import ctypes
            face = m.__cuda_array_interface__
            got = ctypes.string_at(face["data"][0], len(m))
        assert got == pattern(seed, off, len(got)), \
            "WRONG BYTES at %d + %d" % (off, len(got))


def one(m, name, seed, may):
    end = time.monotonic() + SECONDS
    path = m.file(name + "-x")
    workers = [Mapper(path, seed, may, d, end) for d in (None, None, None, 0)]
    for w in workers:
        w.join(100 * SLOW)
        assert not w.is_alive(), "a map hangs"
    for w in workers:
        if w.wrong:
            raise w.wrong
    idle = ("handles", "mapped_bytes", "waiting_for_room")
    s = m.stats()["maps"]
    assert not any(s[k] for k in idle), s
    # A fence may last a little longer than its map.
    wait_for("the last part", lambda: m.stats()["maps"]["busy"] == 0, 30)
    # So may a request that was made twice.
    wait_for("the last get", lambda: not m.stats()["pool"]["armed"], 30)
    m.ctl("drop")
    pool = m.stats()["pool"]
    assert not (pool["armed"] or pool["quarantined"] or pool["lost"]), pool
    good, failed = sum(w.good for w in workers), sum(w.failed for w in workers)
    assert good if not may else good + failed, "nothing was mapped"
    return "%d maps, %d errors" % (good, failed)


def main():
    need_fuse()
    rules = ["get:%s:key=%s-" % (f, k) for k, (f, _) in FAULTS.items()]
    gw = Gateway(faults=rules).start()
    gw.allow.append("warning:")
    bucket = Bucket(gw, "data")
    for i, name in enumerate(FAULTS):
        bucket.fill(name + "-x", i << 36, SIZE)
    for mode in MODES:
        m = Mount("s3://data", gw.url, opts={
            "transport.mode": mode, "cache_size": "96MiB",
            "request.deadline": "3s" if not FULL else "20s",
            "staging.gpus": "fake0:32MiB"})
        m.allow += ["warning:", "error:"]
        m.start()
        for i, (name, (_, may)) in enumerate(FAULTS.items()):
            # With a short deadline a row of unlucky attempts may end it.
            case("%s, %s" % (mode, name), one, m, name, i << 36,
                 may + (errno.EIO, errno.ENOMEM))
        case(mode + ": the mount ends well", m.unmount)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
