#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""REGISTER, READ and UNREGISTER: into memory of the application, by memfd and
on a fake GPU."""
import mmap
import os
import random
import signal
import threading

import files
import mapio
from files import (KIB, MIB, MODES, SLOT, Bucket, error_name, finish, mount,
                   note_skip)
from harness import DIR, Gateway, need_fuse, wait_for
from mapio import (CUDA, HOST, READ, REGISTER, UNREGISTER, call, check_pattern,
                   fds_of, fork, info, memfd, nothing_left, offer, say)

BIG = ("big", 3 << 40, 20 * MIB + 321)
SLOW = ("slow", 4 << 40, 8 * MIB)
DELAY = 2000
CHANGES = "changes"
CANARY = b"\xa5"
TOP = 1 << 63


def case(text, check, *args):
    files.case(text, mapio.tidy(check), *args)


def opened(m, name="big"):
    return os.open(m.file(name), os.O_RDONLY)


def register(fd, mem, length, kind=HOST):
    """The id of a buffer of ours, whichever way this kind is named."""
    export = offer(info(fd)["socket"], mem) if kind == HOST else \
        b"/proc/%d/fd/%d" % (os.getpid(), mem)
    return call(fd, REGISTER, kind=kind, length=length,
                export=export)["buffer"]


def read(fd, buffer, at, off, length):
    return call(fd, READ, buffer=buffer, buffer_offset=at, offset=off,
                length=length)["placed"]


def unregister(fd, buffer):
    call(fd, UNREGISTER, buffer=buffer)


def canaries(mem, size):
    os.pwrite(mem, CANARY * size, 0)


def check_around(mem, size, at, n):
    """Nothing was written before or behind."""
    for lo, hi in ((0, at), (at + n, size)):
        got = os.pread(mem, hi - lo, lo)
        assert got == CANARY * (hi - lo), "written outside of %d+%d" % (at, n)


def contents(m, kind):
    rng = random.Random(4)
    fd, size = opened(m), 9 * MIB + 5
    mem = memfd(size)
    b = register(fd, mem, size, kind)
    cases = [(0, 0, size), (1, 1, size - 1), (size - 1, 0, 1), (0, 7, 1),
             (3, SLOT - 1, 2), (5, BIG[2] - 10, 10), (5, BIG[2] - 10, 100),
             (size - MIB, BIG[2] - 5, MIB), (4095, 4097, 2 * SLOT)]
    cases += [(rng.randrange(MIB), rng.randrange(BIG[2]),
               1 + int(rng.random() ** 3 * 8 * MIB)) for _ in range(25)]
    for at, off, n in cases:
        canaries(mem, size)
        placed = read(fd, b, at, off, n)
        want = min(n, BIG[2] - off)
        assert placed == want, "placed %d, not %d at %d" % (placed, want, off)
        check_pattern(os.pread(mem, placed, at), BIG[1], off)
        check_around(mem, size, at, placed)
    for off in (BIG[2], BIG[2] + 1, TOP - size - 1):
        assert read(fd, b, 0, off, size) == 0
    unregister(fd, b)
    os.close(mem)
    os.close(fd)
    nothing_left(m)
    return "%d reads" % len(cases)


def counted(m, kind):
    fd, size = opened(m), 4 * MIB
    mem = memfd(size)
    before = m.stats()["maps"]
    b = register(fd, mem, size, kind)
    assert m.stats()["maps"]["buffers"] == 1
    read(fd, b, 0, 0, size)
    now = m.stats()["maps"]
    assert now["reads"] == before["reads"] + 1, now
    assert now["bounced_bytes"] - before["bounced_bytes"] == size, now
    os.close(mem)
    os.close(fd)  # without UNREGISTER
    nothing_left(m)


def threads(m, kind):
    """Eight threads, a part of one buffer each."""
    fd, part = opened(m), MIB + 3
    mem = memfd(8 * part)
    b, bad = register(fd, mem, 8 * part, kind), []

    def work(i):
        rng = random.Random(i)
        try:
            for _ in range(10):
                off, n = rng.randrange(BIG[2]), rng.randrange(1, part)
                n = min(n, BIG[2] - off)
                assert read(fd, b, i * part, off, n) == n
                check_pattern(os.pread(mem, n, i * part), BIG[1], off)
        except Exception as e:
            bad.append(str(e))
    ts = [threading.Thread(target=work, args=(i,), daemon=True)
          for i in range(8)]
    for t in ts:
        t.start()
    for t in ts:
        t.join(60)
    assert not any(t.is_alive() for t in ts), "a READ hangs"
    assert not bad, bad[:3]
    os.close(mem)
    os.close(fd)
    nothing_left(m)


def misuse(m, kind):
    fd, other, size = opened(m), opened(m), 64 * KIB
    mem = memfd(size)
    b = register(fd, mem, size, kind)
    for at, n in ((0, size + 1), (size, 1), (1, size), (size - 1, 2),
                  (1 << 40, 1), (TOP - 2, 1)):
        got = error_name(read, fd, b, at, 0, n)
        assert got == "ERANGE", "%d+%d: %s" % (at, n, got)
    for id_ in (0, b + 1, b ^ 1 << 12, b + 1024, 2 * TOP - 1):
        got = error_name(read, fd, id_, 0, 0, 1)
        assert got == "ENOENT", got
        assert error_name(unregister, fd, id_) == "ENOENT"
    assert error_name(read, other, b, 0, 0, 1) == "ENOENT"
    assert error_name(unregister, other, b) == "ENOENT"
    unregister(fd, b)
    assert error_name(unregister, fd, b) == "ENOENT"
    assert error_name(read, fd, b, 0, 0, 1) == "ENOENT"
    got = error_name(register, fd, mem, size + 1, kind)
    assert got == "ERANGE", got
    os.close(mem)
    os.close(fd)
    os.close(other)
    nothing_left(m)


def past_the_end_and_outside(m, kind):
    """Not inside the buffer is ERANGE, at the end of the file too."""
    fd, mem = opened(m), memfd(4096)
    b = register(fd, mem, 4096, kind)
    got = error_name(read, fd, b, 4096, BIG[2], 4096)
    os.close(mem)
    os.close(fd)
    nothing_left(m)
    assert got == "ERANGE", got


def not_memory(m):
    """EBADF, and no descriptor is kept."""
    fd = opened(m)
    path = info(fd)["socket"]
    disk = os.path.join(DIR, "file")
    with open(disk, "wb") as f:
        f.write(bytes(8192))
    mem = memfd(8192)
    reader, writer = os.pipe()
    again = "/proc/self/fd/%d" % mem
    things = {
        "read-only": os.open(again, os.O_RDONLY),
        "write-only": os.open(again, os.O_WRONLY),
        "path": os.open(again, os.O_PATH),
        "append": os.open(again, os.O_RDWR | os.O_APPEND),
        "disk": os.open(disk, os.O_RDWR), "folder": os.open(DIR, os.O_RDONLY),
        "pipe": os.dup(writer), "null": os.open("/dev/null", os.O_RDWR),
        "zero": os.open("/dev/zero", os.O_RDWR),
        "file of the mount": os.open(m.file("big"), os.O_RDONLY),
        "event": os.eventfd(0)}
    h = mapio.map_range(fd, 0, 8192)
    things["the pool"] = mapio.redeem(path, h["export"])
    if os.stat(DIR).st_dev == os.stat("/dev/shm").st_dev:
        os.close(things.pop("disk"))
        note_skip("a file of a disk", "the test's folder is none")
    before, wrong = fds_of(m), []
    for name, f in things.items():
        got = error_name(register, fd, f, 4096)
        if got != "EBADF":
            wrong.append("%s: %s" % (name, got))
        os.close(f)
    assert not wrong, wrong
    after = fds_of(m)
    assert after <= before, "%d descriptors more" % (after - before)
    for f in (reader, writer, mem, fd):
        os.close(f)
    nothing_left(m)


def offers(m):
    """A ticket is good once, and for the process that sent the memory."""
    fd, mem = opened(m), memfd(4096)
    path = info(fd)["socket"]
    ticket = offer(path, mem)
    call(fd, REGISTER, kind=HOST, length=4096, export=ticket)
    got = error_name(call, fd, REGISTER, kind=HOST, length=4096,
                     export=ticket)
    assert got == "EPERM", got
    ticket = offer(path, mem)

    def child(pipe):
        got = error_name(call, fd, REGISTER, kind=HOST, length=4096,
                         export=ticket)
        assert got == "EPERM", got
    fork(child).end()
    out, ticket = [], offer(path, mem)
    t = threading.Thread(target=lambda: out.append(error_name(
        call, fd, REGISTER, kind=HOST, length=4096, export=ticket)))
    t.start()
    t.join()
    assert not isinstance(out[0], str), "another thread: %s" % out
    os.close(mem)
    os.close(fd)
    nothing_left(m)


def too_many(m, kind):
    fd, mem, ids, before = opened(m), memfd(4096), [], fds_of(m)
    got = b""
    while len(ids) <= 5000:
        got = error_name(register, fd, mem, 4096, kind)
        if isinstance(got, str):
            break
        ids.append(got)
    assert got == "EMFILE" and len(ids) >= 64, (got, len(ids))
    assert len(set(ids)) == len(ids)
    unregister(fd, ids.pop())
    ids.append(register(fd, mem, 4096, kind))
    assert read(fd, ids[-1], 0, 0, 4096) == 4096
    for id_ in ids[::2]:
        unregister(fd, id_)
    os.close(fd)
    nothing_left(m)
    # As many as before, once the socket's thread has done with the last.
    wait_for("descriptors of the daemon", lambda: fds_of(m) <= before + 2)
    os.close(mem)
    return "%d" % len(ids)


def truncated(m):
    """The memory is cut short under the daemon."""
    for length in (0, 1, 4096):
        fd, mem = opened(m), memfd(MIB)
        b = register(fd, mem, MIB)
        os.ftruncate(mem, length)
        got = error_name(read, fd, b, 0, 0, MIB)
        assert got == "EFAULT" or got == MIB, got
        if got == MIB:
            check_pattern(os.pread(mem, MIB, 0), BIG[1], 0)
        assert m.alive(), "the daemon is gone"
        os.close(mem)
        os.close(fd)
    nothing_left(m)
    return str(got)


def sealed(m):
    """Sealed after REGISTER: EFAULT."""
    import fcntl
    fd = opened(m)
    for seals in (8, 4 | 2):  # WRITE; GROW and SHRINK
        mem = os.memfd_create("test", os.MFD_ALLOW_SEALING)
        os.ftruncate(mem, MIB)
        b = register(fd, mem, MIB)
        if seals != 8:
            os.ftruncate(mem, 5000)
        fcntl.fcntl(mem, 1033, seals)  # F_ADD_SEALS
        got = error_name(read, fd, b, 1, 0, 100000)
        assert got == "EFAULT", got
        os.close(mem)
    os.close(fd)
    nothing_left(m)


def huge(m):
    """A memfd of huge pages is memory: taken and written, or not taken."""
    fd = opened(m)
    mem = os.memfd_create("huge", os.MFD_HUGETLB)
    os.ftruncate(mem, 2 * MIB)
    b = error_name(register, fd, mem, 2 * MIB)
    got = b if isinstance(b, str) else error_name(read, fd, b, 0, 0, 4096)
    os.close(mem)
    os.close(fd)
    nothing_left(m)
    free = open("/proc/sys/vm/nr_hugepages").read().strip()
    if b == "EBADF":
        return "not taken"
    assert got == 4096 or free == "0" and got == "ENOMEM", \
        "REGISTER takes it, READ says %s (%s huge pages here)" % (got, free)


def overwritten(m, bucket):
    old, new = 6 << 40, 7 << 40
    bucket.fill(CHANGES, old, 8 * MIB)
    fd, mem = opened(m, CHANGES), memfd(SLOT)
    b = register(fd, mem, SLOT)
    assert read(fd, b, 0, 0, 4096) == 4096
    bucket.fill(CHANGES, new, 8 * MIB)
    got = error_name(read, fd, b, 0, 4 * MIB, SLOT)
    assert got == "ESTALE", got
    os.close(fd)
    fd = opened(m, CHANGES)
    b = register(fd, mem, SLOT)
    assert read(fd, b, 0, 4 * MIB, SLOT) == SLOT
    check_pattern(os.pread(mem, SLOT, 0), new, 4 * MIB)
    os.close(mem)
    os.close(fd)
    nothing_left(m)


def busy(m, kind):
    """UNREGISTER while a READ is under way: EBUSY, and the READ goes on."""
    m.ctl("drop")
    fd, mem, out = opened(m, "slow"), memfd(SLOW[2]), []
    b = register(fd, mem, SLOW[2], kind)
    t = threading.Thread(target=lambda: out.append(
        error_name(read, fd, b, 0, 0, SLOW[2])), daemon=True)
    t.start()
    wait_for("a READ under way", lambda: m.stats()["maps"]["busy"] > 0)
    got = error_name(unregister, fd, b)
    assert got == "EBUSY", got
    t.join(30)
    assert out == [SLOW[2]], out
    check_pattern(os.pread(mem, SLOW[2], 0), SLOW[1], 0)
    unregister(fd, b)
    os.close(mem)
    os.close(fd)
    nothing_left(m)


def killed(m, kind):
    """SIGKILL while a READ is under way."""
    m.ctl("drop")
    before = fds_of(m)

    def child(pipe):
        fd, mem = opened(m, "slow"), memfd(SLOW[2])
        b = register(fd, mem, SLOW[2], kind)
        say(pipe, "go")
        read(fd, b, 0, 0, SLOW[2])
    c = fork(child)
    c.expect("go")
    wait_for("a READ under way", lambda: m.stats()["maps"]["busy"] > 0)
    c.kill()
    assert c.wait() == -signal.SIGKILL
    nothing_left(m)
    wait_for("descriptors of the daemon", lambda: fds_of(m) <= before + 2)


def gpu_misuse(m):
    """Names that are none of the fake GPU's."""
    fd = opened(m)
    for export in (b"", b"\xff" * 64, b"/proc/self/fd/0", b"/proc/1/fd/99999"):
        got = error_name(call, fd, REGISTER, kind=CUDA, length=1,
                         export=export)
        assert got == "EPERM", (export, got)
    for device in (1, 7, (1 << 32) - 1):
        got = error_name(call, fd, REGISTER, kind=CUDA, device=device,
                         length=1)
        assert got == "ENODEV", got
    os.close(fd)


def mapped_too(m):
    """The application's own mapping shows what READ placed."""
    fd, mem = opened(m), memfd(MIB)
    mine = mmap.mmap(mem, MIB)
    b = register(fd, mem, MIB)
    os.close(mem)
    assert read(fd, b, 10, 12345, MIB - 10) == MIB - 10
    check_pattern(mine[10:], BIG[1], 12345)
    mine.close()
    os.close(fd)
    nothing_left(m)


def main():
    need_fuse()
    gw = Gateway(faults=["get:delay=%d:key=slow" % DELAY]).start()
    bucket = Bucket(gw, "bkt")
    bucket.fill(*BIG)
    bucket.fill(*SLOW)
    for mode in MODES:
        m = mount(gw, "s3://bkt", mode, staging__gpus="fake0:64MiB",
                  allow=["fake GPU"])
        for kind, name in ((HOST, "memfd"), (CUDA, "fake GPU")):
            text = "%s, %s, " % (mode, name)
            case(text + "contents", contents, m, kind)
            case(text + "counted", counted, m, kind)
            case(text + "threads", threads, m, kind)
            case(text + "misuse", misuse, m, kind)
            case(text + "past the end", past_the_end_and_outside, m, kind)
            case(text + "too many", too_many, m, kind)
            case(text + "busy", busy, m, kind)
            case(text + "killed", killed, m, kind)
        case(mode + ", not memory", not_memory, m)
        case(mode + ", offers", offers, m)
        case(mode + ", mapped too", mapped_too, m)
        case(mode + ", truncated", truncated, m)
        case(mode + ", sealed", sealed, m)
        case(mode + ", huge pages", huge, m)
        case(mode + ", overwritten", overwritten, m, bucket)
        case(mode + ", names of a fake GPU", gpu_misuse, m)
        case(mode + ", unmount", m.unmount)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
