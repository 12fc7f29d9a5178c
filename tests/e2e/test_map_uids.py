#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two users of one mount: each can read all of every allocation that he gets,
and finds nothing there but zeros and what he mapped himself."""
import errno
import os
import random

import numpy

import files
import mapio
from files import MIB, MODES, SLOT, Bucket, error_name, finish, mount
from harness import Gateway, need_fuse, pattern, skip, wait_for
from mapio import (HOST, Allocations, check_pattern, fork, info, listen,
                   map_range, nothing_left, redeem, say, unmap)

A, B = 1001, 1002
SHARED = ("shared", 3 << 40, 6 * MIB + 99)
PRIVATE = {A: [("a%d" % i, (10 + i) << 40, 8 * MIB - 13 * i)
               for i in range(3)],
           B: [("b%d" % i, (20 + i) << 40, 8 * MIB - 17 * i)
               for i in range(3)]}
PAGE = 4096


def case(text, check, *args):
    files.case(text, mapio.tidy(check), *args)


def populate(gw):
    bucket = Bucket(gw, "bkt")
    for o in [SHARED] + PRIVATE[A] + PRIVATE[B]:
        bucket.fill(*o)


def words_of(objects):
    """All 8-byte words of these objects, sorted."""
    return numpy.unique(numpy.concatenate([
        numpy.frombuffer(pattern(o[1], 0, o[2] // 8 * 8), "<u8")
        for o in objects]))


def strange(seen, own):
    """Every aligned word of the memory is 0 or of an object that this user
    mapped.  The last word of an object is cut, with whatever the same user
    had behind it, so some words may be unknown, but only a few."""
    at = numpy.minimum(numpy.searchsorted(own, seen), len(own) - 1)
    return seen[own[at] != seen]


def check_all(have, own, foreign):
    """Nothing of the other's in any allocation; returns the bytes read."""
    total = 0
    for name, memory in have.items():
        data = bytes(memory)
        total += len(data)
        seen = numpy.frombuffer(data, "<u8")
        seen = numpy.unique(seen[seen != 0])
        hit = numpy.intersect1d(seen, foreign, assume_unique=True)
        assert not len(hit), "ANOTHER USER'S BYTES: %d words in %s" % (
            len(hit), name)
        more = strange(seen, own)
        assert len(more) <= 64, "%d words of nobody in %s" % (
            len(more), name)
    return total


class User:
    """One of the two, in his process: how he gets at his memory."""

    def __init__(self, m, uid):
        self.m, self.uid = m, uid
        fd = os.open(m.file("shared"), os.O_RDONLY)
        self.host = Allocations(info(fd)["socket"])
        os.close(fd)
        self.mine = [SHARED] + PRIVATE[uid]
        other = B if uid == A else A
        self.own, self.foreign = words_of(self.mine), words_of(PRIVATE[other])

    def all(self):
        return self.host.maps

    def rounds(self, seed, n):
        rng = random.Random(seed)
        held, total = [], 0
        fds = {o[0]: os.open(self.m.file(o[0]), os.O_RDONLY)
               for o in self.mine}
        for i in range(n):
            name, key, size = rng.choice(self.mine)
            off = rng.randrange(size // PAGE) * PAGE
            try:
                h = map_range(fds[name], off, rng.randrange(1, 2 * MIB))
            except OSError as e:
                # Both want much: one may have to wait, but not for ever.
                raise AssertionError("MAP: %s" % e)
            check_pattern(self.host.bytes_of(h), key, off)
            held.append((name, key, off, h))
            while len(held) > 4:
                name, key, off, h = held.pop(rng.randrange(len(held)))
                check_pattern(self.host.bytes_of(h), key, off)
                unmap(fds[name], h["handle"])
            if i % 20 == 19:
                total += check_all(self.all(), self.own, self.foreign)
        for name, key, off, h in held:
            check_pattern(self.host.bytes_of(h), key, off)
        for fd in fds.values():
            os.close(fd)
        return total + check_all(self.all(), self.own, self.foreign)


def both(m, child):
    """child(uid, pipe) as each of the two at once."""
    users = [fork(lambda p, uid=uid: child(uid, p), uid=uid)
             for uid in (A, B)]
    for u in users:
        u.expect("ready")
    for u in users:
        u.tell("go")
    notes = [u.hear() for u in users]
    for u in users:
        u.end()
    nothing_left(m)
    return notes


def side_by_side(m):
    """Random ranges of common and own objects; all the memory is read."""
    def child(uid, pipe):
        user = User(m, uid)
        say(pipe, "ready")
        listen(pipe)
        total = user.rounds(uid, 60)
        say(pipe, "%d MiB" % (total // MIB))
    return "read " + " and ".join(both(m, child))


def never_the_same(m):
    """The same range of the same object: two allocations."""
    def child(uid, pipe):
        fd = os.open(m.file("shared"), os.O_RDONLY)
        have = Allocations(info(fd)["socket"])
        say(pipe, "ready")
        listen(pipe)
        seen, inodes = set(), set()
        for off in range(0, SHARED[2], MIB):
            h = map_range(fd, off, MIB)
            seen.add(h["allocation"])
            check_pattern(have.bytes_of(h), SHARED[1], off)
            shared = redeem(info(fd)["socket"],
                            map_range(fd, off, MIB)["export"])
            inodes.add(os.fstat(shared).st_ino)
            os.close(shared)
        say(pipe, "%s %s" % (",".join(map(str, seen)),
                             ",".join(map(str, inodes))))
    a, b = [[set(w.split(",")) for w in n.split()] for n in both(m, child)]
    assert not a[0] & b[0], "both have allocations %s" % (a[0] & b[0])
    assert not a[1] & b[1], "both have the files %s" % (a[1] & b[1])


def tickets(m):
    """Not for the other, whose attempt does not spend it; once."""
    def other(pipe):
        say(pipe, "ready")
        ticket = bytes.fromhex(listen(pipe))
        fd = os.open(m.file("shared"), os.O_RDONLY)
        got = error_name(redeem, info(fd)["socket"], ticket)
        os.close(fd)
        say(pipe, str(got))

    def owner(pipe):
        fd = os.open(m.file("shared"), os.O_RDONLY)
        h = map_range(fd, 0, MIB)
        say(pipe, h["export"][:16].hex())
        assert listen(pipe) == "go"
        path = info(fd)["socket"]
        os.close(redeem(path, h["export"]))
        say(pipe, str(error_name(redeem, path, h["export"])))
        os.close(fd)
    for thief in (B, 0):
        a, b = fork(owner, uid=A), fork(other, uid=thief)
        b.expect("ready")
        b.tell(a.hear())
        got = b.hear()
        assert got == "EPERM", "uid %d redeemed a ticket: %s" % (thief, got)
        a.tell("go")
        got = a.hear()
        assert got == "EPERM", "a used ticket: %s" % got
        a.end()
        b.end()
    nothing_left(m)


def foreign_offer(m):
    """A buffer that one user left is not another's."""
    def giver(pipe):
        fd = os.open(m.file("shared"), os.O_RDONLY)
        mine = mapio.memfd(PAGE)
        say(pipe, mapio.offer(info(fd)["socket"], mine).hex())
        listen(pipe)
        os.close(fd)

    def taker(pipe):
        fd = os.open(m.file("shared"), os.O_RDONLY)
        say(pipe, "ready")
        ticket = bytes.fromhex(listen(pipe))
        say(pipe, str(error_name(mapio.call, fd, mapio.REGISTER, kind=HOST,
                                 length=PAGE, export=ticket)))
        os.close(fd)
    a, b = fork(giver, uid=A), fork(taker, uid=B)
    b.expect("ready")
    b.tell(a.hear())
    b.expect("EPERM")
    a.tell("go")
    a.end()
    b.end()
    nothing_left(m)


def kept_mapping(m):
    """A maps all it can get, unmaps and closes, but keeps its mmaps:
    whatever B maps then does not appear there.  When A has let go, B gets
    all the room."""
    def keeper(pipe):
        user = User(m, A)
        fds = []
        say(pipe, "ready")
        listen(pipe)
        for name, key, size in user.mine:
            fd = os.open(m.file(name), os.O_RDONLY)
            fds.append(fd)
            for off in range(0, size, SLOT):
                try:
                    h = map_range(fd, off, SLOT, flags=mapio.NOWAIT)
                except OSError:
                    break
                check_pattern(user.host.bytes_of(h), key, off)
        assert user.host.maps, "no room at all"
        for fd in fds:
            os.close(fd)
        say(pipe, "kept %d" % len(user.host.maps))
        while listen(pipe) == "look":
            check_all(user.all(), user.own, user.foreign)
            say(pipe, "fine")
        user.host.close()
        say(pipe, "gone")
        assert listen(pipe) == "end"

    def other(pipe):
        user = User(m, B)
        fds = {o[0]: os.open(m.file(o[0]), os.O_RDONLY) for o in user.mine}
        say(pipe, "ready")
        while True:
            word = listen(pipe)
            if word == "end":
                break
            done, full = 0, 0
            for name, key, size in user.mine * 2:
                for off in range(0, size, MIB):
                    try:
                        h = map_range(fds[name], off, MIB,
                                      flags=mapio.NOWAIT)
                    except OSError as e:
                        assert e.errno == errno.EAGAIN, e
                        full += 1
                        continue
                    check_pattern(user.host.bytes_of(h), key, off)
                    unmap(fds[name], h["handle"])
                    done += 1
                # New memory each time, as far as possible.
                user.host.close()
            check_all(user.all(), user.own, user.foreign)
            say(pipe, "%d %d" % (done, full))
        for fd in fds.values():
            os.close(fd)
    a, b = fork(keeper, uid=A), fork(other, uid=B)
    a.expect("ready")
    b.expect("ready")
    a.tell("go")
    kept = a.hear()
    for _ in range(2):
        b.tell("map")
        first = b.hear()
        a.tell("look")
        a.expect("fine")
        m.ctl("drop")  # what nobody holds goes home now, the rest does not
    a.tell("let go")
    a.expect("gone")
    b.tell("map again")
    done, full = b.hear().split()
    a.tell("end")
    a.end()
    assert full == "0", "no room for B %s times after A let go" % full
    b.tell("end")
    b.end()
    nothing_left(m)
    return "A %s, B mapped/not %s meanwhile, %s after" % (kept, first, done)


def room_at_last(m):
    """B waits for room that only A's munmap can give: B has it then."""
    def keeper(pipe):
        user = User(m, A)
        fd = os.open(m.file("a0"), os.O_RDONLY)
        say(pipe, "ready")
        listen(pipe)
        for off in range(0, PRIVATE[A][0][2], SLOT):
            user.host.take(map_range(fd, off, SLOT))
        say(pipe, "kept")
        listen(pipe)
        os.close(fd)
        say(pipe, "closed")
        listen(pipe)
        user.host.close()
        say(pipe, "gone")

    def other(pipe):
        fds = [os.open(m.file(o[0]), os.O_RDONLY) for o in PRIVATE[B]]
        say(pipe, "ready")
        listen(pipe)
        full = False
        for fd, o in zip(fds, PRIVATE[B]):
            for off in range(0, o[2], SLOT):
                if full:
                    continue
                try:
                    map_range(fd, off, SLOT, flags=mapio.NOWAIT)
                except OSError:
                    full = True
                    say(pipe, "full")
                    listen(pipe)
                    h = map_range(fd, off, SLOT)
                    with_it = Allocations(info(fd)["socket"])
                    check_pattern(with_it.bytes_of(h), o[1], off)
                    say(pipe, "mapped")
                    with_it.close()
        if not full:
            say(pipe, "never full")
        for fd in fds:
            os.close(fd)
    a, b = fork(keeper, uid=A), fork(other, uid=B)
    a.expect("ready")
    b.expect("ready")
    a.tell("go")
    a.expect("kept")
    b.tell("go")
    b.expect("full")
    b.tell("go")
    wait_for("B to wait", lambda: m.stats()["maps"]["waiting_for_room"] == 1)
    a.tell("close")
    a.expect("closed")
    # Closed, but mapped: it must still wait.
    wait_for("A's handles to end",
             lambda: m.stats()["maps"]["waiting_for_room"] == 1)
    a.tell("munmap")
    a.expect("gone")
    b.expect("mapped")
    a.end()
    b.end()
    nothing_left(m)


def something_for_others(m):
    """One user who takes what he can get leaves some for the others."""
    def greedy(pipe):
        held = []
        for name, _, size in PRIVATE[A] + [SHARED]:
            fd = os.open(m.file(name), os.O_RDONLY)
            for off in range(0, size, SLOT):
                try:
                    held.append(map_range(fd, off, SLOT,
                                          flags=mapio.NOWAIT))
                except OSError as e:
                    assert e.errno == errno.EAGAIN, e
        say(pipe, "%d" % len(held))
        listen(pipe)

    def other(pipe):
        fd = os.open(m.file("shared"), os.O_RDONLY)
        say(pipe, "no" if isinstance(error_name(
            map_range, fd, 0, PAGE, flags=mapio.NOWAIT), str) else "yes")
    a = fork(greedy, uid=A)
    n = a.hear()
    b = fork(other, uid=B)
    got = b.hear()
    b.end()
    a.tell("end")
    a.end()
    nothing_left(m)
    assert got == "yes", "A has %s of 4 MiB, and not a page is B's" % n


def shared_open_file(m):
    """A descriptor that A opened and B inherited: the memory is the caller's,
    so B cannot see A's, nor redeem A's tickets."""
    fd = os.open(m.file("shared"), os.O_RDONLY)
    seen = []
    for uid in (A, B):
        def child(pipe, uid=uid):
            path = info(fd)["socket"]
            h = map_range(fd, 0, MIB)
            have = Allocations(path)
            check_pattern(have.bytes_of(h), SHARED[1], 0)
            say(pipe, "%d" % h["allocation"])
            have.close()
        c = fork(child, uid=uid)
        seen.append(c.hear())
        c.end()
    assert m.stats()["maps"]["handles"] == 2
    assert seen[0] != seen[1] and "" not in seen, seen
    os.close(fd)
    nothing_left(m)


def only_the_owner(gw):
    """Without allow_other, no other user comes to the socket."""
    m = mount(gw, "s3://bkt", "shm")
    fd = os.open(m.file("shared"), os.O_RDONLY)
    path = info(fd)["socket"]
    os.close(fd)

    def child(pipe):
        got = error_name(redeem, path, bytes(16))
        assert got in ("EACCES", "EPERM"), got
    fork(child, uid=B).end()
    m.unmount()


def main():
    need_fuse()
    if os.geteuid():
        skip("needs root to become two other users")
    gw = Gateway().start()
    populate(gw)
    for mode in MODES:
        m = mount(gw, "s3://bkt", mode, allow_other="true")
        case(mode + ", side by side", side_by_side, m)
        case(mode + ", never the same memory", never_the_same, m)
        case(mode + ", tickets", tickets, m)
        case(mode + ", a foreign offer", foreign_offer, m)
        case(mode + ", one open file", shared_open_file, m)
        case(mode + ", unmount", m.unmount)
        m = mount(gw, "s3://bkt", mode, cache_size="48MiB",
                  allow_other="true")
        case(mode + ", small pool, kept mappings", kept_mapping, m)
        m.ctl("drop")
        case(mode + ", small pool, room at last", room_at_last, m)
        m.ctl("drop")
        case(mode + ", small pool, something for others",
             something_for_others, m)
        m.ctl("drop")
        case(mode + ", small pool, side by side", side_by_side, m)
        case(mode + ", small pool, unmount", m.unmount)
    case("only the owner", only_the_owner, gw)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
