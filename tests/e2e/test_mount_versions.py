#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Objects that change while they are read.  A handle gives the bytes of one
version or ESTALE, never a mixture; a new open sees the new object."""
import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

import harness
from files import (FULL, KIB, MIB, MODES, SLOT, SMALL_SLOT, Bucket, case,
                   check_file, finish, mounted, same)
from harness import Gateway, need_fuse, pattern, wait_for

OLD, NEW = 1 << 40, 2 << 40  # seeds
SIZES = {"1 byte": 1, "1000 bytes": 1000, "small slot": SMALL_SLOT + 3,
         "slot": SLOT, "24 MiB": 24 * MIB + 17}
# The pool is smaller than the large objects, so that most of an old version
# cannot be there when the new one is.
POOL = "16MiB"
GONE = {errno.ESTALE, errno.ENOENT}
SECONDS = 20 if FULL else 0.8


class Handle:
    """An open file that checks what it reads against one version."""

    def __init__(self, path, seed, size):
        self.fd = os.open(path, os.O_RDONLY)
        self.seed, self.size = seed, size

    def read(self, off, n, stale=()):
        """True for the right bytes, False for an error that is allowed.  One
        read can be several requests of the kernel: where a later one fails,
        it ends early, and only the next read tells the error."""
        end = max(off, min(off + n, self.size))
        while True:
            try:
                data = os.pread(self.fd, n, off)
            except OSError as e:
                assert e.errno in stale, errno.errorcode[e.errno]
                return False
            bad = same(data, self.seed, off)
            assert not bad, "MIXTURE: %s" % bad
            off, n = off + len(data), n - len(data)
            if off == end:
                return True
            assert data and off < end, "it ends at %d, not at %d" % (
                off, self.size)

    def rest(self, start, stale):
        """(right, stale) over the rest in steps of 300,000 bytes."""
        right = refused = 0
        for off in range(start, max(self.size, start + 1), 300000):
            if self.read(off, 300000, stale):
                right += 1
            else:
                refused += 1
        return right, refused

    def close(self):
        os.close(self.fd)


# Single changes -------------------------------------------------------------

def changed(m, bucket, size, new_size):
    """Half is read, the object is overwritten, the rest is read; in the end a
    new open must see the new object and only it."""
    name = "changed"
    bucket.fill(name, OLD, size)
    path = fresh(m, name, size)
    first, second = Handle(path, OLD, size), Handle(path, OLD, size)
    first.read(0, size // 2)
    bucket.fill(name, NEW, new_size)
    right, refused = first.rest(size // 2, {errno.ESTALE})
    more = second.rest(0, {errno.ESTALE})
    check_file(path, NEW, new_size)
    assert os.stat(path).st_size == new_size
    # The old ones are what they were, also now that the new one is known.
    first.rest(0, {errno.ESTALE})
    first.close()
    second.close()
    return "%d old, %d ESTALE" % (right + more[0], refused + more[1])


def fresh(m, name, size):
    """The path, once the mount knows of the version just put there: what a
    stat may remember of an earlier one is not the subject here."""
    path = m.file(name)

    def seen():
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return os.fstat(fd).st_size == size and not same(
                os.pread(fd, 64, 0), OLD, 0)
        except OSError:
            return False
        finally:
            os.close(fd)
    wait_for("the new object to be seen", seen, 15)
    return path


def unread(m, bucket):
    """Overwritten before the first byte was read through the handle."""
    bucket.fill("unread", OLD, 5 * MIB)
    h = Handle(fresh(m, "unread", 5 * MIB), OLD, 5 * MIB)
    bucket.fill("unread", NEW, 5 * MIB)
    h.rest(0, {errno.ESTALE})
    check_file(m.file("unread"), NEW, 5 * MIB)
    h.close()


def nobody_noticed(m, bucket):
    """No handle met the change: the next open sees the new object all the
    same, although the mount remembers attributes and bytes of the old."""
    bucket.fill("quiet", OLD, 2 * MIB)
    path = fresh(m, "quiet", 2 * MIB)
    check_file(path, OLD, 2 * MIB)
    bucket.fill("quiet", NEW, 3 * MIB)
    check_file(path, NEW, 3 * MIB)


def deleted(m, bucket, size):
    bucket.fill("gone", OLD, size)
    path = fresh(m, "gone", size)
    h = Handle(path, OLD, size)
    h.read(0, size // 2)
    bucket.delete("gone")
    right, refused = h.rest(size // 2, GONE)
    wait_for("the object to be gone", lambda: not os.path.exists(path), 15)
    h.rest(0, GONE)
    h.close()
    return "%d old, %d refused" % (right, refused)


def became_directory(m, bucket):
    size = 24 * MIB
    bucket.fill("turn", OLD, size)
    path = fresh(m, "turn", size)
    h = Handle(path, OLD, size)
    h.read(0, MIB)
    bucket.delete("turn")
    bucket.fill("turn/inside", NEW, 1000)
    h.rest(MIB, GONE)
    wait_for("the directory", lambda: os.path.isdir(path), 15)
    check_file(path + "/inside", NEW, 1000)
    h.rest(0, GONE)
    h.close()
    bucket.delete("turn/inside")
    bucket.fill("turn", NEW, 4321)
    wait_for("the file again", lambda: os.path.isfile(path), 15)
    check_file(path, NEW, 4321)


def mapped(m, bucket):
    """A shared mapping: old bytes, or SIGBUS where they are no longer to be
    had.  In a process of its own because of that signal."""
    size = 24 * MIB
    bucket.fill("mapped", OLD, size)
    path = fresh(m, "mapped", size)
    child = subprocess.Popen(
        [sys.executable, __file__, "--map", path, str(size)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=dict(os.environ, TMPDIR=harness.DIR))  # killed, it leaves a folder
    assert child.stdout.readline() == b"mapped\n"
    bucket.fill("mapped", NEW, size)
    out = child.communicate(b"go\n", timeout=120 * harness.SLOW)[0]
    assert child.returncode in (0, -signal.SIGBUS), "%d %s" % (
        child.returncode, out)
    return "old bytes" if child.returncode == 0 else "SIGBUS"


def map_main(path, size):
    fd = os.open(path, os.O_RDONLY)
    with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        assert view[:MIB] == pattern(OLD, 0, MIB)
        print("mapped", flush=True)
        sys.stdin.readline()
        for off in range(0, size, MIB):
            n = min(MIB, size - off)
            assert view[off:off + n] == pattern(OLD, off, n), "MIXTURE"


# A writer and many readers --------------------------------------------------

class Race:
    """One writer puts version after version; readers open, read all, close.
    Version v has seed v << 40; its size changes unless `fixed`."""

    def __init__(self, m, bucket, base, fixed):
        self.path, self.bucket = m.file("race"), bucket
        self.base, self.fixed = base, fixed
        self.done, self.over = 0, False  # the last version put whole
        self.failures, self.reads, self.stale = [], 0, 0
        self.lock = threading.Lock()

    def size(self, v):
        return self.base if self.fixed else self.base + (v % 5) * 70001

    def write(self):
        v = self.done
        while not self.over:
            v += 1
            self.bucket.fill("race", v << 40, self.size(v))
            self.done = v
            time.sleep(0.05)

    def version_of(self, data):
        """The first 16 bytes name the version."""
        return next((v for v in range(self.done + 2)
                     if pattern(v << 40, 0, len(data)) == data), None)

    def read_one(self, step):
        before = self.done
        fd = os.open(self.path, os.O_RDONLY)
        try:
            v = self.version_of(os.pread(fd, 16, 0))
            assert v is not None, "MIXTURE: the head is of no version"
            assert v >= before, "a new open saw version %d after %d was " \
                "there" % (v, before)
            handle = Handle.__new__(Handle)
            handle.fd, handle.seed, handle.size = fd, v << 40, self.size(v)
            for off in range(0, handle.size + 1, step):
                handle.read(off, step)
        finally:
            os.close(fd)

    def read(self, step):
        while not self.over:
            try:
                self.read_one(step)
                with self.lock:
                    self.reads += 1
            except OSError as e:
                if e.errno != errno.ESTALE:
                    self.failures.append(repr(e))
                with self.lock:
                    self.stale += 1
            except AssertionError as e:
                if str(e) == "ESTALE":
                    self.stale += 1
                    continue
                self.failures.append(str(e))


def race(m, bucket, base, fixed):
    r = Race(m, bucket, base, fixed)
    bucket.fill("race", 0, r.size(0))
    fresh_race(r)
    steps = (4096, 65536, 100003, MIB, 3 * MIB, 1 << 18)
    threads = [threading.Thread(target=r.write)] + [
        threading.Thread(target=r.read, args=(max(s, base // 50),))
        for s in steps]
    for t in threads:
        t.start()
    time.sleep(SECONDS)
    r.over = True
    for t in threads:
        t.join()
    assert not r.failures, "%d of %d: %s" % (
        len(r.failures), r.reads + r.stale, r.failures[:4])
    assert r.reads and r.done > 2, "%d reads, %d versions" % (
        r.reads, r.done)
    return "%d versions, %d whole reads, %d ESTALE" % (
        r.done, r.reads, r.stale)


def fresh_race(r):
    def seen():
        with open(r.path, "rb", buffering=0) as f:
            return f.read(16) == pattern(0, 0, 16)
    wait_for("the first version", seen, 15)


def main():
    need_fuse()
    gw = Gateway().start()
    bucket = Bucket(gw, "data")
    for mode in MODES:
        # Deletions and changes of kind may be remembered for the lifetime of
        # metadata; a second of it keeps the waits short.
        with mounted(gw, "s3://data", mode, cache_size=POOL,
                     metadata__ttl="1s", metadata__negative_ttl="1s",
                     allow=["warning:"]) as m:
            for text, size in SIZES.items():
                case("%s, same size, %s" % (mode, text), changed, m, bucket,
                     size, size)
            case(mode + ", grown", changed, m, bucket, 12 * MIB, 24 * MIB)
            case(mode + ", shrunk", changed, m, bucket, 24 * MIB, 12 * MIB)
            case(mode + ", emptied", changed, m, bucket, 9 * MIB, 0)
            case(mode + ", small to large", changed, m, bucket, 10, 12 * MIB)
            case(mode + ", before the first read", unread, m, bucket)
            case(mode + ", deleted, small", deleted, m, bucket, 100 * KIB)
            case(mode + ", deleted, large", deleted, m, bucket, 24 * MIB)
            case(mode + ", became a directory", became_directory, m, bucket)
            case(mode + ", mapped", mapped, m, bucket)
        # The lifetimes that users have.
        with mounted(gw, "s3://data", mode, cache_size=POOL,
                     allow=["warning:"]) as m:
            case(mode + ", new open, nobody noticed", nobody_noticed, m,
                 bucket)
            for base, fixed in ((50 * KIB, True), (50 * KIB, False),
                                (12 * MIB, True), (12 * MIB, False)):
                case("%s, readers and a writer, %d KiB, %s size" % (
                    mode, base // KIB, "one" if fixed else "any"), race, m,
                    bucket, base, fixed)
    gw.stop()
    finish()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--map"]:
        map_main(sys.argv[2], int(sys.argv[3]))
    else:
        main()
