#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MAP of kind CUDA on a fake GPU, whose exports root can open and look at."""
import errno
import mmap
import os
import random
import threading
import time

import files
import harness
import mapio
from files import MIB, MODES, SLOT, Bucket, error_name, finish, mount
from harness import Gateway, need_fuse, pattern, skip, wait_for
from mapio import (CUDA, HOST, NOWAIT, check_answer, check_pattern, fork,
                   gpu_bytes, info, listen, map_all, map_range, nothing_left,
                   say, unmap)

BIG = ("big", 3 << 40, 24 * MIB + 999)
HUGE = ("huge", 4 << 40, 80 * MIB)
A, B = 1001, 1002
OWN = {A: ("a", 11 << 40, 24 * MIB), B: ("b", 12 << 40, 24 * MIB)}
POOL = 64 * MIB
DEADLINE = 2.0


def case(text, check, *args):
    files.case(text, mapio.tidy(check), *args)


def opened(m, name="big"):
    return os.open(m.file(name), os.O_RDONLY)


def devices(m):
    fd = opened(m)
    i = info(fd)
    os.close(fd)
    assert i["kinds"] == 1 << HOST | 1 << CUDA, i
    assert i["devices"] == [(CUDA, 0, POOL)], i


def contents(m):
    rng, fd, held = random.Random(5), opened(m), []
    todo = [(o, n) for o in (0, 1, 4095, SLOT - 1, SLOT, BIG[2] - 1)
            for n in (1, 4096, SLOT + 1)]
    todo += [(rng.randrange(BIG[2]), 1 + rng.randrange(3 * MIB))
             for _ in range(60)]
    for off, n in todo:
        h = map_range(fd, off, n, CUDA)
        check_answer(h, off, n, BIG[2])
        assert h["valid"] == min(n, BIG[2] - off), h
        check_pattern(gpu_bytes(h), BIG[1], off)
        held.append((h, off))
        while len(held) > 8:
            h, off = held.pop(rng.randrange(len(held)))
            check_pattern(gpu_bytes(h), BIG[1], off)
            unmap(fd, h["handle"])
    for off in (BIG[2], BIG[2] + 1):
        assert error_name(map_range, fd, off, 1, CUDA) == "ENXIO"
    for device in (1, 8, (1 << 32) - 1):
        got = error_name(map_range, fd, 0, 1, CUDA, device)
        assert got == "ENODEV", got
    os.close(fd)
    nothing_left(m)
    return "%d ranges" % len(todo)


def whole(m):
    """In handles that cover it together; a second time for nothing."""
    fd, off = opened(m), 0
    handles = map_all(fd, 0, BIG[2], CUDA)
    for h in handles:
        check_pattern(gpu_bytes(h), BIG[1], off)
        off += h["valid"]
    s = m.stats()
    again = map_all(fd, 0, BIG[2], CUDA)
    assert [(h["allocation"], h["alloc_offset"]) for h in handles] == \
        [(h["allocation"], h["alloc_offset"]) for h in again]
    assert m.stats()["bytes"] == s["bytes"], "it was fetched again"
    for h in handles:
        unmap(fd, h["handle"])
    check_pattern(gpu_bytes(again[0]), BIG[1], 0)
    os.close(fd)
    nothing_left(m)
    return "%d handles" % len(handles)


def both_kinds(m):
    """The same range on the GPU and in pages."""
    fd = opened(m)
    have = mapio.Allocations(info(fd)["socket"])
    g, h = map_range(fd, 7, MIB, CUDA), map_range(fd, 7, MIB)
    check_pattern(gpu_bytes(g), BIG[1], 7)
    check_pattern(have.bytes_of(h), BIG[1], 7)
    assert g["allocation"] != h["allocation"]
    assert g["generation"] == h["generation"]
    os.close(fd)
    have.close()
    nothing_left(m)


def fill_up(fd):
    held = []
    for off in range(0, HUGE[2] - 4 * MIB, 4 * MIB):
        try:
            held.append((map_range(fd, off, 4 * MIB, CUDA, flags=NOWAIT),
                         off))
        except OSError as e:
            assert e.errno == errno.EAGAIN, e
            return held
    raise AssertionError("the GPU has no end")


def exhausted(m):
    fd, out = opened(m, "huge"), []
    held = fill_up(fd)
    assert held
    spare = HUGE[2] - 4 * MIB
    start = time.monotonic()
    for _ in range(20):
        got = error_name(map_range, fd, spare, 4 * MIB, CUDA, flags=NOWAIT)
        assert got == "EAGAIN", got
    assert time.monotonic() - start < 1 * harness.SLOW, "NOWAIT waits"
    start = time.monotonic()
    got = error_name(map_range, fd, spare, 4 * MIB, CUDA)
    took = time.monotonic() - start
    assert got == "ENOMEM", got
    assert DEADLINE - 0.1 < took < (DEADLINE + 3) * harness.SLOW, took
    t = threading.Thread(target=lambda: out.append(
        error_name(map_range, fd, spare, 4 * MIB, CUDA)), daemon=True)
    t.start()
    wait_for("a MAP to wait", lambda: out or
             m.stats()["maps"]["waiting_for_room"] == 1)
    assert not out, out
    for h, _ in held[:3]:
        unmap(fd, h["handle"])
    t.join(20)
    assert out and not isinstance(out[0], str), out
    check_pattern(gpu_bytes(out[0]), HUGE[1], spare)
    for h, off in held[3:]:
        check_pattern(gpu_bytes(h), HUGE[1], off)
    os.close(fd)
    nothing_left(m)
    return "%d of 4 MiB" % len(held)


def memory_of(h):
    """The allocation, as a root process can keep it."""
    fd = os.open(h["export"].split(b"\0")[0], os.O_RDONLY)
    mem = mmap.mmap(fd, h["alloc_size"], mmap.MAP_SHARED, mmap.PROT_READ)
    ident = os.fstat(fd).st_ino
    os.close(fd)
    return ident, mem


def mapper(m, uid):
    """A process of this user; what it maps it tells to root, which looks."""
    def child(pipe):
        fd = opened(m, OWN[uid][0])
        held = []
        say(pipe, "ready")
        while True:
            word = listen(pipe).split()
            if not word:
                break
            if word[0] == "map":
                off, n = int(word[1]), int(word[2])
                try:
                    h = map_range(fd, off, n, CUDA, flags=NOWAIT)
                except OSError as e:
                    say(pipe, errno.errorcode[e.errno])
                    continue
                held.append(h["handle"])
                say(pipe, "%d %d %d %d %s" % (
                    h["allocation"], h["alloc_offset"], h["alloc_size"],
                    h["valid"], h["export"].split(b"\0")[0].decode()))
            else:
                for h in held:
                    unmap(fd, h)
                held.clear()
                say(pipe, "done")
        os.close(fd)
    c = fork(child, uid=uid)
    c.expect("ready")
    return c


def ask_map(c, off, n):
    c.tell("map %d %d" % (off, n))
    line = c.hear()
    if line.startswith("E"):
        return None
    a, at, size, valid, path = line.split()
    return {"allocation": int(a), "alloc_offset": int(at),
            "alloc_size": int(size), "valid": int(valid),
            "export": path.encode()}


def foreign(mem, uid):
    """Where a piece of this user's object stands in the memory, or None."""
    pieces = {pattern(OWN[uid][1], off, 64)
              for off in range(0, OWN[uid][2], 4096)}
    for at in range(0, len(mem), 4096):
        if mem[at:at + 64] in pieces:
            return at
    return None


def users(m):
    """Never the same allocation; what A keeps mapped never shows B's, though
    all of the GPU changes hands again and again."""
    a, b = mapper(m, A), mapper(m, B)
    kept, seen = {}, {A: set(), B: set()}
    for turn in range(6):
        for c, uid in ((a, A), (b, B)):
            n = 0
            for off in range(0, OWN[uid][2], 4 * MIB):
                h = ask_map(c, off, 4 * MIB)
                if not h:
                    break
                n += 1
                seen[uid].add(h["allocation"])
                check_pattern(gpu_bytes(h), OWN[uid][1], off)
                if (uid, h["allocation"]) not in kept:
                    kept[uid, h["allocation"]] = memory_of(h)
            assert n > 0, "no room for %d, though nobody has a handle" % uid
            c.tell("unmap")
            c.expect("done")
        if turn % 2:
            m.ctl("drop")
    assert not seen[A] & seen[B], seen
    inodes = [{kept[k][0] for k in kept if k[0] == uid} for uid in (A, B)]
    assert not inodes[0] & inodes[1], "the same memory for both"
    for (uid, name), (_, mem) in kept.items():
        at = foreign(mem, B if uid == A else A)
        assert at is None, "ANOTHER USER'S BYTES at %d of %d" % (at, name)
        mem.close()
    for c in (a, b):
        c.tell("")
        c.end()
    nothing_left(m)
    return "%d allocations" % len(kept)


def processes(m):
    """Eight at once."""
    def child(pipe):
        rng, fd = random.Random(os.getpid()), opened(m)
        for _ in range(40):
            off, n = rng.randrange(BIG[2]), 1 + rng.randrange(MIB)
            h = map_range(fd, off, n, CUDA)
            check_pattern(gpu_bytes(h), BIG[1], off)
            unmap(fd, h["handle"])
        os.close(fd)
    for c in [fork(child) for _ in range(8)]:
        c.end()
    nothing_left(m)


def overwritten(m, bucket):
    old, new = 6 << 40, 7 << 40
    bucket.fill("changes", old, 12 * MIB)
    fd = opened(m, "changes")
    h = map_range(fd, 0, MIB, CUDA)
    bucket.fill("changes", new, 12 * MIB)
    got = error_name(map_range, fd, 8 * MIB, MIB, CUDA)
    assert got == "ESTALE", got
    check_pattern(gpu_bytes(h), old, 0)
    other = opened(m, "changes")
    n = map_range(other, 0, MIB, CUDA)
    check_pattern(gpu_bytes(n), new, 0)
    check_pattern(gpu_bytes(h), old, 0)
    assert n["generation"] != h["generation"]
    os.close(fd)
    os.close(other)
    nothing_left(m)


def main():
    need_fuse()
    if os.geteuid():
        skip("needs root to open the fake GPU's memory")
    gw = Gateway().start()
    bucket = Bucket(gw, "bkt")
    for o in (BIG, HUGE, OWN[A], OWN[B]):
        bucket.fill(*o)
    for mode in MODES:
        m = mount(gw, "s3://bkt", mode, staging__gpus="fake0:64MiB",
                  allow_other="true", request__deadline="%ds" % DEADLINE,
                  allow=["fake GPU"])
        case(mode + ", devices", devices, m)
        case(mode + ", contents", contents, m)
        case(mode + ", whole", whole, m)
        case(mode + ", both kinds", both_kinds, m)
        case(mode + ", overwritten", overwritten, m, bucket)
        case(mode + ", processes", processes, m)
        case(mode + ", exhausted", exhausted, m)
        m.ctl("drop")
        case(mode + ", users", users, m)
        case(mode + ", unmount", m.unmount)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
