#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MAP of kind HOST: the bytes of every range, the memory they stand in, what
they cost, and that they stay the same while somebody has them."""
import mmap
import os
import random
import threading

import files
import mapio
from files import (KIB, MIB, MODES, SLOT, Bucket, error_name, finish, mount,
                   moved, note_skip)
from harness import Gateway, need_fuse
from mapio import (Allocations, check_answer, check_pattern, fork, info,
                   map_all, map_range, nothing_left, redeem, say, unmap)

BIG = ("big", 3 << 40, 24 * MIB + 4321)
SHORT = ("short", 4 << 40, 100)
EMPTY = ("empty", 0, 0)
COLD = ("cold", 5 << 40, 16 * MIB)
CHANGES = "changes"
OLD, NEW = 6 << 40, 7 << 40
PROCESSES = 8


def case(text, check, *args):
    files.case(text, mapio.tidy(check), *args)


def populate(gw):
    bucket = Bucket(gw, "bkt")
    for o in (BIG, SHORT, EMPTY, COLD):
        bucket.fill(*o)
    return bucket


def opened(m, name):
    return os.open(m.file(name), os.O_RDONLY)


def in_memory(m):
    """The bytes that came over the network must be where MAP put them."""
    fd = opened(m, "cold")
    before = m.stats()
    handles = map_all(fd, 0, COLD[2])
    with_bytes = Allocations(info(fd)["socket"])
    off = 0
    for h in handles:
        check_answer(h, off, COLD[2] - off, COLD[2])
        check_pattern(with_bytes.bytes_of(h), COLD[1], off)
        off += h["valid"]
    now = m.stats()["maps"]
    assert now["copied_bytes"] == before["maps"]["copied_bytes"], now
    assert now["bounced_bytes"] == before["maps"]["bounced_bytes"], now
    assert now["direct_bytes"] - before["maps"]["direct_bytes"] == COLD[2], \
        now
    assert now["handles"] == len(handles), now
    assert now["mapped_bytes"] == COLD[2], now
    got = moved(m, before)
    mode = "shm" if got["shm"] else "http"
    assert got[mode] == COLD[2] and sum(got.values()) == COLD[2], got
    # A second time it costs nothing, and lies in the same place.
    before = m.stats()
    again = map_all(fd, 0, COLD[2])
    for a, b in zip(handles, again):
        for k in ("allocation", "alloc_offset", "generation", "valid"):
            assert a[k] == b[k], (k, a, b)
        assert a["handle"] != b["handle"]
    assert sum(moved(m, before).values()) == 0
    os.close(fd)
    with_bytes.close()
    nothing_left(m)
    return "%d handles by %s" % (len(handles), mode)


def expect_mode(m, mode):
    fd = opened(m, "short")
    name = mapio.TRANSPORTS[info(fd)["transport"]]
    os.close(fd)
    assert name == mode, name


def ranges(rng):
    """(offset, length): around the borders of pages, of 64 KiB, of slots and
    of the end, and anywhere."""
    size = BIG[2]
    for at in (0, 4096, 64 * KIB, SLOT, 2 * SLOT, size):
        for d in (-4097, -4096, -1, 0, 1, 57):
            for n in (1, 2, 4095, 4096, 4097, 64 * KIB + 1):
                if 0 <= at + d < size:
                    yield at + d, n
    for n in (SLOT - 1, SLOT, SLOT + 1, 9 * MIB, 1 << 62):
        yield 0, n
        yield 12345, n
        yield size - 1, n
    for _ in range(150):
        yield rng.randrange(size), 1 + int(rng.random() ** 4 * 6 * MIB)


def contents(m):
    rng = random.Random(1)
    fd = opened(m, "big")
    have = Allocations(info(fd)["socket"])
    held, n = [], 0
    for off, length in ranges(rng):
        h = map_range(fd, off, length)
        check_answer(h, off, length, BIG[2])
        check_pattern(have.bytes_of(h), BIG[1], off)
        n += 1
        held.append((h, off))
        # Some stay, in memory that others come and go around.
        while len(held) > 12 or sum(h["valid"] for h, _ in held) > 16 * MIB:
            h, off = held.pop(rng.randrange(len(held)))
            check_pattern(have.bytes_of(h), BIG[1], off)
            unmap(fd, h["handle"])
    for h, off in held:
        check_pattern(have.bytes_of(h), BIG[1], off)
    os.close(fd)
    have.close()
    nothing_left(m)
    return "%d ranges" % n


def ends(m):
    """Short at the end of the file; nothing past it."""
    fd = opened(m, "short")
    have = Allocations(info(fd)["socket"])
    h = map_range(fd, 0, MIB)
    assert h["valid"] == SHORT[2], h
    check_pattern(have.bytes_of(h), SHORT[1], 0)
    h = map_range(fd, 99, 4096)
    assert h["valid"] == 1, h
    check_pattern(have.bytes_of(h), SHORT[1], 99)
    for off in (100, 101, 4096, 1 << 40, (1 << 63) - 2):
        assert error_name(map_range, fd, off, 1) == "ENXIO", off
    os.close(fd)
    fd = opened(m, "empty")
    assert error_name(map_range, fd, 0, 1) == "ENXIO"
    os.close(fd)
    fd = opened(m, "big")
    h = map_range(fd, BIG[2] - 5, 1 << 40)
    assert h["valid"] == 5, h
    check_pattern(have.bytes_of(h), BIG[1], BIG[2] - 5)
    os.close(fd)
    have.close()
    nothing_left(m)


def read_and_map(m):
    """What read(2) has fetched is copied out of the cache, not fetched."""
    fd = opened(m, "big")
    m.ctl("drop")
    check_pattern(os.pread(fd, SLOT, 0), BIG[1], 0)
    before = m.stats()
    h = map_range(fd, 100, MIB)
    have = Allocations(info(fd)["socket"])
    check_pattern(have.bytes_of(h), BIG[1], 100)
    got = m.stats()["maps"]
    assert got["copied_bytes"] > before["maps"]["copied_bytes"], got
    os.close(fd)
    have.close()
    nothing_left(m)


def many_threads(m):
    """One open file, sixteen threads, all over it."""
    fd = opened(m, "big")
    have, bad = Allocations(info(fd)["socket"]), []

    def work(seed):
        rng = random.Random(seed)
        try:
            for _ in range(40):
                off, n = rng.randrange(BIG[2]), 1 + rng.randrange(256 * KIB)
                h = have.map(fd, off, n)
                check_pattern(have.bytes_of(h), BIG[1], off)
                unmap(fd, h["handle"])
        except Exception as e:
            bad.append("thread %d: %s" % (seed, e))
    threads = [threading.Thread(target=work, args=(i,), daemon=True)
               for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "a MAP hangs"
    assert not bad, bad[:3]
    os.close(fd)
    have.close()
    nothing_left(m)


def mapper(m, seed):
    def child(pipe):
        rng = random.Random(seed)
        fd = opened(m, "big")
        have = Allocations(info(fd)["socket"])
        say(pipe, "ready")
        mapio.listen(pipe)
        held = []
        for _ in range(60):
            off, n = rng.randrange(BIG[2]), 1 + rng.randrange(MIB)
            h = map_range(fd, off, n)
            check_answer(h, off, n, BIG[2])
            check_pattern(have.bytes_of(h), BIG[1], off)
            held.append((h, off))
            if len(held) > 3:
                h, off = held.pop(0)
                check_pattern(have.bytes_of(h), BIG[1], off)
                unmap(fd, h["handle"])
        h = map_range(fd, 0, MIB)
        check_pattern(have.bytes_of(h), BIG[1], 0)
        say(pipe, "%d %d" % (h["allocation"], h["generation"]))
        mapio.listen(pipe)
        # It ends with handles and mappings.
    return fork(child)


def eight(m):
    """Eight processes of one user: the same memory for the same range."""
    children = [mapper(m, i) for i in range(PROCESSES)]
    for c in children:
        c.expect("ready")
    for c in children:
        c.tell("go")
    answers = {c.hear() for c in children}
    for c in children:
        c.tell("end")
    for c in children:
        c.end()
    assert len(answers) == 1 and "" not in answers, \
        "allocation, generation of the same range: %s" % answers
    nothing_left(m)


def overwritten(m, bucket):
    """The old bytes stay under the old handle; no new handle on a version
    that the server has no more; a new open is a new generation."""
    bucket.fill(CHANGES, OLD, 8 * MIB)
    fd = opened(m, CHANGES)
    have = Allocations(info(fd)["socket"])
    h = map_range(fd, 1000, MIB)
    check_pattern(have.bytes_of(h), OLD, 1000)
    bucket.fill(CHANGES, NEW, 9 * MIB)
    name = error_name(map_range, fd, 6 * MIB, MIB)
    assert name == "ESTALE", name
    check_pattern(have.bytes_of(h), OLD, 1000)
    new = opened(m, CHANGES)
    n = map_range(new, 1000, MIB)
    check_pattern(have.bytes_of(n), NEW, 1000)
    assert n["generation"] != h["generation"], n
    check_pattern(have.bytes_of(h), OLD, 1000)
    # Overwriting once more does not reach what is held either.
    bucket.delete(CHANGES)
    name = error_name(map_range, new, 6 * MIB, MIB)
    assert name in ("ESTALE", "ENOENT"), name
    note = name + " for a removed one"
    check_pattern(have.bytes_of(n), NEW, 1000)
    unmap(fd, h["handle"])
    check_pattern(have.bytes_of(n), NEW, 1000)
    os.close(fd)
    os.close(new)
    have.close()
    nothing_left(m)
    assert name == "ESTALE", note
    return note


def generations(m):
    """The same version has the same generation in every open file, also
    when nothing of it is kept in between."""
    seen = set()
    for again in range(3):
        fd = opened(m, "big")
        seen.add(map_range(fd, 0, 10)["generation"])
        other = opened(m, "big")
        seen.add(map_range(other, SLOT, 10)["generation"])
        os.close(fd)
        os.close(other)
        nothing_left(m)
        m.ctl("drop")
    short = opened(m, "short")
    assert map_range(short, 0, 1)["generation"] not in seen
    os.close(short)
    assert len(seen) == 1, "generations of one version: %s" % seen


def read_only(m):
    fd = opened(m, "big")
    i = info(fd)
    h = map_range(fd, 0, MIB)
    shared = redeem(i["socket"], h["export"])
    assert os.fstat(shared).st_size >= h["alloc_size"]

    def writes(fd):
        return (
            ("mmap", lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED,
                                       mmap.PROT_READ | mmap.PROT_WRITE)),
            ("write", lambda: os.pwrite(fd, b"x", 0)),
            ("ftruncate", lambda: os.ftruncate(fd, 0)),
            ("fallocate", lambda: os.posix_fallocate(fd, 0, 4096)))
    for what, way in writes(shared):
        name = error_name(way)
        assert isinstance(name, str), "%s into the pool succeeds" % what
    os.close(shared)
    os.close(fd)
    nothing_left(m)


def no_way_to_write(m):
    """As another user than the daemon's, no descriptor leads to one that can
    write, or that would survive the memory's way to others."""
    if os.geteuid():
        note_skip("reopening as another user", "needs root")
        return

    def child(pipe):
        fd = opened(m, "big")
        h = map_range(fd, 0, MIB)
        shared = redeem(info(fd)["socket"], h["export"])
        path = "/proc/self/fd/%d" % shared
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_TRUNC,
                      os.O_RDONLY):
            name = error_name(os.open, path, flags)
            assert name in ("EACCES", "EPERM"), (flags, name)
        light = os.open(path, os.O_PATH)
        for flags in (os.O_RDONLY, os.O_RDWR):
            name = error_name(os.open, "/proc/self/fd/%d" % light, flags)
            assert name in ("EACCES", "EPERM"), ("O_PATH", flags, name)
        for what, change in (
                ("fchmod", lambda: os.fchmod(shared, 0o777)),
                ("fchown", lambda: os.fchown(shared, 1234, 1234)),
                ("truncate", lambda: os.truncate(path, 0))):
            name = error_name(change)
            assert name in ("EACCES", "EPERM"), (what, name)
    fork(child, uid=1234).end()
    nothing_left(m)


def hints(m):
    """A hint brings bytes that a MAP then finds; wrong ones do nothing."""
    fd = opened(m, "big")
    m.ctl("drop")
    mapio.call(fd, mapio.HINT, flags=mapio.HINT_FILE)
    past = b"".join(mapio.struct.pack("=QQ", o, n) for o, n in (
        (0, 10), (BIG[2] - 1, 10 * MIB), (BIG[2], 1), (1 << 62, 5),
        (SLOT, 1 << 62)))
    mapio.call(fd, mapio.HINT, count=5, ranges=past)
    have = Allocations(info(fd)["socket"])
    for off in (0, SLOT - 7, BIG[2] - 100):
        h = map_range(fd, off, 100)
        check_pattern(have.bytes_of(h), BIG[1], off)
    os.close(fd)
    have.close()
    nothing_left(m)


def main():
    need_fuse()
    gw = Gateway().start()
    bucket = populate(gw)
    for mode in MODES:
        m = mount(gw, "s3://bkt", mode, allow_other="true")
        case(mode + ", cold", in_memory, m)
        case(mode + ", that transport", expect_mode, m, mode)
        case(mode + ", contents", contents, m)
        case(mode + ", ends", ends, m)
        case(mode + ", after read(2)", read_and_map, m)
        case(mode + ", threads", many_threads, m)
        case(mode + ", eight processes", eight, m)
        case(mode + ", overwritten", overwritten, m, bucket)
        case(mode + ", generations", generations, m)
        case(mode + ", read-only", read_only, m)
        case(mode + ", no way to write", no_way_to_write, m)
        case(mode + ", hints", hints, m)
        case(mode + ", unmount", m.unmount)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
