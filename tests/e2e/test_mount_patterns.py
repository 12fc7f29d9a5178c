#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Readers that are not in order, and not random either: what they will read is
fetched before they ask, the right bytes come, and little is fetched that
nobody reads."""
import mmap
import os

from files import (KIB, MIB, Bucket, case, finish, mounted, moved, same)
from harness import Gateway, need_fuse

SIZE = 96 * MIB
# What is fetched is counted: nothing twice because the machine was slow.
ONCE = {"request__hedge_after": "0"}
SEED = 5 << 40


def backwards(size, step):
    return [(off, step) for off in range(size - step, -1, -step)]


def strided(size, stride, piece):
    return [(off, piece) for off in range(0, size - piece, stride)]


def long_pieces(size, piece):
    """Each whole, by 1 MiB, in odd order, after a look at its end."""
    n, reads = size // piece, []
    for i in range(n):
        at = i * 5 % n * piece
        reads.append((at + piece - 4 * KIB, 4 * KIB))
        reads += [(at + k, MIB) for k in range(0, piece, MIB)]
    return reads


# What is read, the share of reads that find their bytes there or on their way,
# and how much is fetched at most of what was read.
PATTERNS = (
    ("backwards by 1 MiB", backwards(SIZE, MIB), 0.8, 1.2),
    ("backwards by 100 KiB", backwards(SIZE // 4, 100 * KIB), 0.8, 1.4),
    ("64 KiB every 3 MiB", strided(SIZE, 3 * MIB, 64 * KIB), 0.5, 1.4),
    ("the same from the end", strided(SIZE, 3 * MIB, 64 * KIB)[::-1], 0.5,
     1.4),
    ("4 KiB every 300 KiB", strided(SIZE, 300 * KIB, 4 * KIB), 0.8, 35),
    ("pieces of 12 MiB", long_pieces(SIZE, 12 * MIB), 0.7, 1.7),
)


def right(data, off):
    bad = same(data, SEED, off)
    assert not bad, bad


def read_all(m, reads, hits, waste):
    before, s = m.stats(), m.stats()["reads"]
    fd = os.open(m.file("o"), os.O_RDONLY)
    for off, n in reads:
        data = os.pread(fd, n, off)
        assert len(data) == min(n, SIZE - off), (off, len(data))
        right(data, off)
    os.close(fd)
    now = m.stats()["reads"]
    share = (now["hits"] - s["hits"]) / (now["count"] - s["count"])
    fetched = sum(moved(m, before).values()) / sum(n for _, n in reads)
    assert share >= hits, "%.2f of the reads were expected" % share
    assert fetched <= waste, "%.2f times what was read" % fetched
    return "%.0f %% expected, %.2f times fetched" % (100 * share, fetched)


def mapped_backwards(m):
    """As memcpy(3) does it with much, one time or another."""
    with open(m.file("o"), "rb") as f, \
            mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as p:
        for off in range(SIZE - 64 * KIB, -1, -64 * KIB):
            right(p[off:off + 64 * KIB], off)


SMALL, COUNT = 20 * KIB, 400


def read_small(m, order):
    """Files of a directory that was listed, each opened, read and closed."""
    before, s = m.stats(), m.stats()["reads"]
    for i in order:
        with open(m.file("small/%04d" % i), "rb", buffering=0) as f:
            bad = same(f.read(SMALL), i << 32, 0)
            assert not bad, "%d: %s" % (i, bad)
    now = m.stats()["reads"]
    return ((now["hits"] - s["hits"]) / (now["count"] - s["count"]),
            sum(moved(m, before).values()) / (len(order) * SMALL))


def small_files(m, order, hits, waste):
    assert len(os.listdir(m.file("small"))) == COUNT
    share, fetched = read_small(m, order)
    assert share >= hits, "%.2f of the reads were expected" % share
    assert fetched <= waste, "%.2f times what was read" % fetched
    return "%.0f %% expected, %.2f times fetched" % (100 * share, fetched)


def replaced_meanwhile(m, bucket):
    """What was fetched ahead and is another now is not what is read."""
    os.listdir(m.file("small"))
    read_small(m, range(10))
    bucket.fill("small/0020", 999 << 32, SMALL)
    with open(m.file("small/0020"), "rb", buffering=0) as f:
        bad = same(f.read(SMALL), 999 << 32, 0)
    bucket.fill("small/0020", 20 << 32, SMALL)
    assert not bad, bad


def kernel_reads_ahead(m):
    """By a mebibyte for maps, where root mounts."""
    dev = os.stat(m.path).st_dev
    with open("/sys/class/bdi/%d:%d/read_ahead_kb" % (
            os.major(dev), os.minor(dev))) as f:
        assert int(f.read()) == (1024 if os.geteuid() == 0 else 128)


def main():
    need_fuse()
    gw = Gateway(faults=["get:delay=2"]).start()
    bucket = Bucket(gw, "data")
    bucket.fill("o", SEED, SIZE)
    for i in range(COUNT):
        bucket.fill("small/%04d" % i, i << 32, SMALL)
    shared = [i + (k * 5 + 3) % 8 for i in range(0, COUNT, 8)
              for k in range(8)]
    far = [i * 157 % COUNT for i in range(60)]
    for mode in ("http", "shm"):
        for name, reads, hits, waste in PATTERNS:
            with mounted(gw, "s3://data", mode, cache_size="128MiB",
                         metadata__ttl="1h", **ONCE) as m:
                case("%s, %s" % (mode, name), read_all, m, reads, hits,
                     waste)
        for name, order, hits, waste, more in (
                ("in order", range(COUNT), 0.9, 1.01, {}),
                ("in order, each asked for again", range(COUNT), 0.9, 1.05,
                 {"metadata__ttl": "1h"}),
                ("as eight share them out", shared, 0.8, 1.05, {}),
                ("anywhere", far, 0, 1.01, {}),
                ("not ahead", range(COUNT), 0, 1.01,
                 {"read__files_ahead": "0"})):
            with mounted(gw, "s3://data", mode, **dict(
                    {"metadata__ttl": "forever"}, **ONCE, **more)) as m:
                case("%s, small files %s" % (mode, name), small_files, m,
                     order, hits, waste)
        with mounted(gw, "s3://data", mode, metadata__ttl="1h") as m:
            case("%s, a small file replaced" % mode, replaced_meanwhile, m,
                 bucket)
        with mounted(gw, "s3://data", mode, cache_size="64MiB") as m:
            case("%s, a map backwards" % mode, mapped_backwards, m)
            case("%s, the kernel's read-ahead" % mode, kernel_reads_ahead, m)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
