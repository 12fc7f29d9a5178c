#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that is stopped (SIGSTOP) with 200 reads waiting: what the mount
knows it still answers at once; after SIGCONT every read completes."""
import os
import random
import signal
import subprocess
import threading
import time

import harness
from files import (FULL, KIB, MIB, MODES, SLOT, Bucket, case, finish, mount,
                   same, settled, stat_past_kernel)
from harness import Gateway, clean_env, need_fuse, wait_for

COLD = ("cold", 7 << 40, 900 * MIB)   # 200 slots and more
KNOWN = 100                           # files with known attributes
WARM = ("warm", 9 << 40, 8 * MIB)
READERS = 200
LIMIT = 0.050 * harness.SLOW
STOPPED = 20 if FULL else 2  # seconds, far below request.deadline


def populate(gw):
    bucket = Bucket(gw, "data")
    bucket.fill(*COLD)
    bucket.fill(*WARM)
    for i in range(KNOWN):
        bucket.put("known/%d" % i, b"k" * i)


class Readers:
    """One pread each of a range that is not in the pool.  The file was open
    before: an open asks the server for the version, so it would wait."""

    def __init__(self, fd, size, step):
        self.fd = fd
        self.failures, self.done = [], 0
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.read, args=(i * step, size),
                             daemon=True) for i in range(READERS)]
        for t in self.threads:
            t.start()

    def read(self, off, size):
        try:
            data = os.pread(self.fd, size, off)
            bad = same(data, COLD[1], off)
            if len(data) != size:
                bad = "%d bytes at %d" % (len(data), off)
        except OSError as e:
            bad = "%s at %d" % (e, off)
        with self.lock:
            self.done += 1
            if bad:
                self.failures.append(bad)

    def waiting(self):
        """How many of this process sit in a read."""
        return sum(in_read("/proc/self/task/" + t)
                   for t in os.listdir("/proc/self/task"))

    def join(self, seconds):
        wait_for("all reads after SIGCONT (%d of %d)" % (
            self.done, READERS), lambda: self.done == READERS, seconds)
        assert not self.failures, "%d of %d: %s" % (
            len(self.failures), READERS, self.failures[:3])


NUMBERS = {"x86_64": ("0", "17"), "aarch64": ("63", "67")}


def in_read(task):
    """Is it inside read (of its standard input, as dd) or pread64?"""
    try:
        with open(task + "/syscall") as f:
            words = f.read().split()
    except OSError:
        return False
    read, pread = NUMBERS[os.uname().machine]
    return words[0] == pread or words[:2] == [read, "0x0"]


def slowest(call, *args):
    """The longest of 100 calls, in seconds."""
    worst = 0
    for i in range(KNOWN):
        start = time.monotonic()
        call(i, *args)
        worst = max(worst, time.monotonic() - start)
    return worst


def quick(text, call, *args):
    worst = slowest(call, *args)
    assert worst < LIMIT, "%s took %.0f ms" % (text, worst * 1000)
    return "%s %.1f ms" % (text, worst * 1000)


def stat_kernel(i, m):
    assert os.stat(m.file("known/%d" % i)).st_size == i


def stat_daemon(i, m):
    stat_past_kernel(m.file("known/%d" % i))


def read_warm(i, fd):
    off = random.Random(i).randrange(WARM[2] - 64 * KIB)
    n = 1 + (i * 655) % (64 * KIB)
    bad = same(os.pread(fd, n, off), WARM[1], off)
    assert not bad, "WRONG BYTES: " + bad


def read_small(i, fd):
    assert os.pread(fd, 100, 0) == b"k" * (KNOWN - 1)


def make_known(m, fd):
    for i in range(KNOWN):
        assert os.stat(m.file("known/%d" % i)).st_size == i
    for off in range(0, WARM[2], MIB):
        os.pread(fd, MIB, off)
    for i in range(KNOWN):
        read_warm(i, fd)


def kill_a_reader(fd):
    """A process with a read waiting, after SIGKILL.  The kernel may keep it
    until the read is answered, but no longer."""
    p = subprocess.Popen(
        ["dd", "of=/dev/null", "bs=64K", "count=1", "skip=14000"], stdin=fd,
        env=clean_env(), stderr=subprocess.DEVNULL)
    wait_for("dd to wait", lambda: in_read("/proc/%d" % p.pid), 5)
    p.kill()
    return p


def kill_an_opener(m):
    """The same for a process that waits in open."""
    p = subprocess.Popen(["cat", m.file("known/1")], env=clean_env(),
                         stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    time.sleep(0.2)  # nothing tells from outside that it is in open
    p.kill()
    return p


def while_stopped(gw, m, warm, small, readers, pool_is_free):
    """The measurements; returns what they gave."""
    wait_for("200 reads to wait", lambda: readers.waiting() >= READERS)
    until = time.monotonic() + STOPPED
    while True:
        notes = [quick("stat", stat_kernel, m),
                 quick("stat past the kernel", stat_daemon, m),
                 quick("cached small file", read_small, small)]
        if pool_is_free:
            notes.append(quick("cached read", read_warm, warm))
        if time.monotonic() > until:
            break
    assert not readers.done, "%d reads ended meanwhile: %s" % (
        readers.done, readers.failures[:3])
    return notes


def stalled(gw, m, size, step, pool_is_free):
    """The case.  Whatever goes wrong, the gateway is continued, so that the
    test ends."""
    warm = os.open(m.file("warm"), os.O_RDONLY)
    cold = os.open(m.file("cold"), os.O_RDONLY)
    small = os.open(m.file("known/%d" % (KNOWN - 1)), os.O_RDONLY)
    make_known(m, warm)
    read_small(0, small)
    gw.signal(signal.SIGSTOP)
    rescue = threading.Timer(STOPPED + 30, gw.signal, [signal.SIGCONT])
    rescue.start()
    try:
        readers = Readers(cold, size, step)
        victims = [kill_a_reader(cold), kill_an_opener(m)]
        notes = while_stopped(gw, m, warm, small, readers, pool_is_free)
        early = [v.poll() is not None for v in victims]
    finally:
        rescue.cancel()
        gw.signal(signal.SIGCONT)
        os.close(warm)
        os.close(small)
    for v in victims:
        v.wait(30 * harness.SLOW)
    readers.join(60)
    os.close(cold)
    return ", ".join(notes) + ", killed in read and in open: ended " + \
        " and ".join("at once" if e else "after SIGCONT" for e in early)


DEADLINE = 3


def given_up(gw, m, size, step):
    """A server that stays away: however many reads wait before one, for memory
    or for a connection, it ends with its deadline; so does a look-up."""
    fd = os.open(m.file("cold"), os.O_RDONLY)
    ended = {}
    start = time.monotonic()

    def attempt(call, *args):
        try:
            call(*args)
            how = "came"
        except OSError as e:
            how = e.strerror
        ended[(call, args)] = "%s, %.1f s" % (how, time.monotonic() - start)

    gw.signal(signal.SIGSTOP)
    try:
        calls = [(os.pread, fd, size, i * step) for i in range(60)]
        calls += [(os.stat, m.file("unknown-%d" % i)) for i in range(4)]
        threads = [threading.Thread(target=attempt, args=c, daemon=True)
                   for c in calls]
        for t in threads:
            t.start()
        for t in threads:
            t.join(max(0.1, start + 3 * DEADLINE - time.monotonic()))
        took = time.monotonic() - start
    finally:
        gw.signal(signal.SIGCONT)
    bad = ["%s%s: %s" % (c[0].__name__, c[1:], ended.get((c[0], c[1:]), "goes on"))
           for c in calls
           if not ended.get((c[0], c[1:]), "").startswith("Input/output")]
    assert not bad, "%d of %d: %s" % (len(bad), len(calls), bad[:5])
    wait_for("the server", lambda: not same(os.pread(fd, 4096, 0), COLD[1], 0))
    os.close(fd)
    return "all within %.1f s, the deadline is %d s" % (took, DEADLINE)


def main():
    need_fuse()
    gw = Gateway().start()
    populate(gw)
    for mode in MODES:
        # Small reads: the pool has room for all, so nothing has to make way.
        m = mount(gw, "s3://data", mode, cache_size="256MiB",
                  allow=["warning:"])
        case(mode + ", 200 small reads", stalled, gw, m, 4096, SLOT, True)
        case(mode + ", the pool afterwards", settled, m)
        case(mode + ", unmount", m.unmount)
        # Every slot waits: cached chunks may have had to make way.
        m = mount(gw, "s3://data", mode, cache_size="64MiB",
                  allow=["warning:"])
        case(mode + ", every slot waiting", stalled, gw, m, MIB, SLOT, False)
        case(mode + ", that pool afterwards", settled, m)
        case(mode + ", that unmount", m.unmount)
    with_limits = dict(request__deadline="%ds" % DEADLINE,
                       request__hedge_after="0",
                       allow=["warning:", "failed:", "transport:"])
    m = mount(gw, "s3://data", "http", request__connections="2", **with_limits)
    case("given up, 2 connections", given_up, gw, m, 4096, SLOT)
    case("given up, 2 connections, unmount", m.unmount)
    m = mount(gw, "s3://data", "http", **with_limits)
    case("given up, 14 slots", given_up, gw, m, MIB, SLOT)
    case("given up, 14 slots, unmount", m.unmount)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
