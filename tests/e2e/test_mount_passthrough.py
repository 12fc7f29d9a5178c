#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that the kernel reads by itself (FUSE passthrough): the same bytes in
every way of reading them, never another version's, and no more memory."""
import ctypes
import errno
import mmap
import os
import subprocess
import threading

import harness
from files import (MIB, Bucket, UserMount, case, check_file, finish, mount,
                   mounted, note_skip, ordinary_fuse, same, settled)
from harness import Gateway, clean_env, need_fuse, wait_for

SIZE = 40 * MIB + 4321
OTHERS = 6  # of SIZE: more than the pool has


def resident(m):
    return m.stats()["resident"]


def make_resident(m, name, seed, size=SIZE):
    """Two reads; then somebody who opens it waits for the copy, if it goes on
    just then."""
    before = resident(m)["opens"]

    def passes():
        check_file(m.file(name), seed, size)
        return resident(m)["opens"] > before
    wait_for(name + " to be resident", passes, 30)


def counts(m):
    s = m.stats()
    return s["reads"]["count"], s["requests"]["get"]


def all_ways(gw):
    """read, pread, O_DIRECT, mmap, sendfile, splice, dd, by several at once;
    and none of it through the daemon."""
    with mounted(gw, "s3://data", "http", cache_size="256MiB") as m:
        make_resident(m, "a", 1)
        path, before = m.file("a"), counts(m)
        fd = os.open(path, os.O_RDONLY)
        for off, n in ((0, 1), (4095, 2), (SIZE - 1, 100), (SIZE, 5),
                       (7 * MIB + 5, 3 * MIB)):
            data = os.pread(fd, n, off)
            assert len(data) == max(0, min(n, SIZE - off)), (off, n)
            assert not same(data, 1, off), off
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as shared:
            for off in range(0, SIZE - 4096, 3 * MIB + 4096):
                assert not same(shared[off:off + 4096], 1, off), off
        with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) as private:
            private[100] = private[100] ^ 0xff
            assert not same(os.pread(fd, 200, 0), 1, 0)
        direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
        buf = mmap.mmap(-1, MIB)
        assert os.preadv(direct, [buf], 5 * MIB) == MIB
        assert not same(buf[:], 1, 5 * MIB)
        os.close(direct)
        out = os.memfd_create("out")
        assert os.sendfile(out, fd, 2 * MIB, MIB) == MIB
        assert not same(os.pread(out, MIB, 0), 1, 2 * MIB)
        procs = [subprocess.Popen(["cmp", path, m.file("a")],
                                  env=clean_env()) for _ in range(4)]
        assert [p.wait() for p in procs] == [0] * 4
        assert os.fstat(fd).st_size == SIZE
        os.close(fd)
        assert counts(m) == before, (counts(m), before)
        opens = resident(m)["opens"]
        comes_back(m)
    return "%d opens" % opens


def comes_back(m):
    """All of the pool."""
    m.ctl("drop")
    settled(m)
    assert resident(m)["files"] == 0, resident(m)


def nobody_writes(gw):
    with mounted(gw, "s3://data", "http", cache_size="256MiB") as m:
        make_resident(m, "a", 1)
        fd = os.open(m.file("a"), os.O_RDONLY)
        for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDONLY | os.O_TRUNC):
            try:
                os.open(m.file("a"), flags)
                raise AssertionError("opened with %x" % flags)
            except OSError as e:
                assert e.errno == errno.EROFS, e
        try:
            mmap.mmap(fd, 0, flags=mmap.MAP_SHARED,
                      prot=mmap.PROT_READ | mmap.PROT_WRITE)
            raise AssertionError("mapped for writing")
        except PermissionError:
            pass
        # Nor by way of /proc.
        try:
            os.open("/proc/self/fd/%d" % fd, os.O_RDWR)
            raise AssertionError("opened again for writing")
        except OSError as e:
            assert e.errno == errno.EROFS, e
        os.close(fd)


def versions(gw, bucket):
    """Who has the old one open or mapped goes on reading that; who opens it
    gets the new one, at once; each becomes resident on its own."""
    with mounted(gw, "s3://data", "http", cache_size="256MiB",
                 metadata__ttl="0s") as m:
        bucket.fill("v", 10, SIZE)
        make_resident(m, "v", 10)
        with open(m.file("v"), "rb", buffering=0) as f, \
                mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as old:
            bucket.fill("v", 11, SIZE)
            check_file(m.file("v"), 11, SIZE)
            assert not same(old[:MIB], 10, 0)
            assert not same(os.pread(f.fileno(), MIB, 9 * MIB), 10, 9 * MIB)
            make_resident(m, "v", 11)
            assert resident(m)["files"] == 2, resident(m)
            assert not same(old[5 * MIB:6 * MIB], 10, 5 * MIB)
            m.ctl("drop")
            assert resident(m)["files"] == 1, resident(m)
            assert not same(old[20 * MIB:21 * MIB], 10, 20 * MIB)
        m.ctl("drop")
        assert resident(m)["files"] == 0, resident(m)
        check_file(m.file("v"), 11, SIZE)


def mapped(gw):
    """A mapping outlives its descriptor, as loaders of models have it: its
    memory is not given to others."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                          ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    with mounted(gw, "s3://data", "http", cache_size="256MiB") as m:
        make_resident(m, "a", 1)
        fd = os.open(m.file("a"), os.O_RDONLY)
        at = libc.mmap(None, SIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        assert at not in (None, ctypes.c_void_p(-1).value)
        os.close(fd)
        wait_for("RELEASE", lambda: m.stats()["names"]["open_files"] == 0, 10)
        m.ctl("drop")
        assert resident(m)["files"] == 1, resident(m)
        data = ctypes.string_at(at + 11 * MIB, 2 * MIB)
        assert not same(data, 1, 11 * MIB)
        libc.munmap(at, SIZE)
        comes_back(m)


def memory(gw):
    """More files than the pool has room for, in turn, while others read."""
    with mounted(gw, "s3://data", "shm", cache_size="128MiB") as m:
        wrong, stop = [], threading.Event()

        def churn(i):
            while not stop.is_set():
                try:
                    check_file(m.file("o%d" % ((i + churn.turn) % OTHERS)),
                               20 + (i + churn.turn) % OTHERS, SIZE)
                except (AssertionError, OSError) as e:
                    wrong.append(str(e))
                    return
                churn.turn += 1
        churn.turn = 0
        threads = [threading.Thread(target=churn, args=(i,)) for i in (0, 2)]
        for t in threads:
            t.start()
        most, most_files = 0, 0
        for n in range(3):
            for i in range(OTHERS):
                for _ in range(3):
                    check_file(m.file("o%d" % i), 20 + i, SIZE)
                    r = resident(m)
                    most = max(most, m.rss() + r["bytes"])
                    most_files = max(most_files, r["files"])
        stop.set()
        for t in threads:
            t.join()
        assert not wrong, wrong[:3]
        assert most_files, resident(m)
        if harness.SLOW == 1 and not harness.WRAP:
            assert most < (128 + 64 + 16) * MIB, most / MIB
        comes_back(m)
    return "%d MiB at most, %d files" % (most / MIB, most_files)


def turned_off(gw):
    with mounted(gw, "s3://data", "http", read__passthrough="false") as m:
        for _ in range(4):
            check_file(m.file("a"), 1, SIZE)
        assert resident(m) == {"files": 0, "bytes": 0, "opens": 0}, m.stats()


def without_root(gw):
    m = UserMount("s3://data", gw.url,
                  opts={"transport": "http", "cache_size": "128MiB"}).start()
    for _ in range(4):
        m.run("md5sum", m.file("a"))
    got = m.ctl("stats", "--json")
    assert '"opens":0' in got.replace(" ", ""), got
    m.unmount()


def gone(gw):
    """Whoever has a file open reads on after a lazy unmount; then it ends."""
    m = mount(gw, "s3://data", "http", cache_size="256MiB")
    make_resident(m, "a", 1)
    fd = os.open(m.file("a"), os.O_RDONLY)
    harness.run(["fusermount3", "-u", "-z", m.path])
    assert not same(os.pread(fd, MIB, 0), 1, 0)
    assert m.alive()
    os.close(fd)
    assert m.proc.wait(60 * harness.SLOW) == 0
    m.check_log()


def works(gw):
    """Does this kernel do it, for who we are?"""
    with mounted(gw, "s3://data", "http") as m:
        return '"passthrough": true' in m.ctl("status", "--json")


def main():
    need_fuse()
    ordinary_fuse()
    gw = Gateway()
    gw.start()
    bucket = Bucket(gw, "data")
    bucket.fill("a", 1, SIZE)
    for i in range(OTHERS):
        bucket.fill("o%d" % i, 20 + i, SIZE)
    case("turned off", turned_off, gw)
    case("an ordinary user's mount", without_root, gw)
    if not works(gw):
        note_skip("all others", "no passthrough here: it takes Linux 6.9 "
                  "with CONFIG_FUSE_PASSTHROUGH, and root")
        finish()
        return
    case("all ways of reading", all_ways, gw)
    case("nobody writes", nobody_writes, gw)
    case("two versions", versions, gw, bucket)
    case("mapped, and closed", mapped, gw)
    case("memory", memory, gw)
    case("a mount that is gone", gone, gw)
    gw.stop()
    finish()


main()
