#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must not be done with the ioctls, and what happens at their limits:
the documented errno, no waiting where none is allowed, and nothing left."""
import ctypes
import errno
import os
import random
import signal
import socket
import threading
import time

import files
import harness
import mapio
from files import (KIB, MIB, SLOT, Bucket, error_name, finish, mount,
                   note_skip)
from harness import Gateway, need_fuse, run, wait_for
from mapio import (COMMANDS, CUDA, HINT, HINT_FILE, HOST, MAP, NOWAIT,
                   READ, REGISTER, UNMAP, UNREGISTER, Allocations, call,
                   check_pattern, fds_of, fork, info, map_range, nothing_left,
                   offer, redeem, say, unmap)

BIG = ("big", 3 << 40, 48 * MIB + 77)
SLOW = ("slow", 4 << 40, 8 * MIB)
DENIED = ("denied", 5 << 40, 8 * MIB)
DELAY = 2.0  # seconds that the server takes over each GET of "slow"
TOP = 1 << 63
DEADLINE = 2.0
HANDLES = 32768  # of one user


def populate(gw):
    bucket = Bucket(gw, "bkt")
    for o in (BIG, SLOW, DENIED):
        bucket.fill(*o)
    bucket.put("dir/file", b"x")


def opened(m, name="big"):
    return os.open(m.file(name), os.O_RDONLY)


def expect(want, fd, command, data=None, **values):
    got = error_name(call, fd, command, data, **values)
    assert got == want, "%s: %s, not %s" % (
        values or "struct", got if isinstance(got, str) else "success", want)


def case(text, check, *args):
    files.case(text, mapio.tidy(check), *args)


# The structs --------------------------------------------------------------

GOOD = {"INFO": {}, "MAP": dict(kind=HOST, length=4096), "UNMAP": {},
        "REGISTER": dict(kind=HOST, length=4096), "READ": dict(length=1),
        "UNREGISTER": {}, "HINT": dict(flags=HINT_FILE)}
FLAGS = {"MAP": NOWAIT, "HINT": HINT_FILE}


def headers(m):
    """size, flags and reserved of every command."""
    fd, n = opened(m), 0
    for name, c in COMMANDS.items():
        good = GOOD[name]
        for size in (0, 1, c.size - 1, c.size + 1, c.size + 8, 1 << 31,
                     (1 << 32) - 1):
            expect("EINVAL", fd, c, **{**good, "size": size})
            n += 1
        for bit in range(32):
            if FLAGS.get(name, 0) != 1 << bit:
                expect("EINVAL", fd, c,
                       **{**good, "flags": good.get("flags", 0) | 1 << bit})
                n += 1
        at, length = c.at["reserved"]
        for i in range(length):
            data = c.pack(**good)
            data[at + i] = 0x80
            expect("EINVAL", fd, c, data)
            n += 1
    os.close(fd)
    nothing_left(m)
    return "%d structs" % n


SUMS = [(TOP - 1, 2), (TOP, 1), (1, TOP), (2 * TOP - 1, 1), (2 * TOP - 1, 2),
        (2, 2 * TOP - 1), (TOP, TOP), (0, 2 * TOP - 1), (4096, TOP - 4095)]
MAPS = [
    ("EINVAL", dict(length=0)),
    ("EINVAL", dict(length=1, device=1)),
    ("EINVAL", dict(length=1, device=(1 << 32) - 1)),
    ("ENODEV", dict(length=1, kind=CUDA)),
    ("ENODEV", dict(length=1, kind=CUDA, device=7)),
    ("ENODEV", dict(length=1, kind=CUDA, device=(1 << 32) - 1)),
    ("ENXIO", dict(offset=BIG[2], length=1)),
    ("ENXIO", dict(offset=BIG[2], length=1, flags=NOWAIT)),
    ("ENXIO", dict(offset=TOP - 4096, length=4095)),
] + [("EINVAL", dict(offset=o, length=n)) for o, n in SUMS]


def map_errors(m):
    fd = opened(m)
    for want, values in MAPS:
        expect(want, fd, MAP, **{"kind": HOST, **values})
    os.close(fd)
    nothing_left(m)


def unknown_kinds(m):
    """ENODEV: no such kind here."""
    fd = opened(m)
    wrong = []
    for kind in (3, 4, 255, (1 << 32) - 1):
        for c in (MAP, REGISTER):
            got = error_name(call, fd, c, kind=kind, length=1)
            if got != "ENODEV":
                wrong.append("kind %d: %s" % (kind, got))
    os.close(fd)
    assert not wrong, wrong


def handle_errors(m):
    """Ids that are not, not any more, or another's."""
    fd, other = opened(m), opened(m)
    h = map_range(fd, 0, 4096)["handle"]
    for name, c in (("handle", UNMAP), ("buffer", UNREGISTER)):
        for id_ in (0, 1, 1 << 16, TOP, 2 * TOP - 1, h ^ 1 << 20, h ^ 1,
                    h + 65536):
            expect("ENOENT", fd, c, **{name: id_})
    expect("ENOENT", other, UNMAP, handle=h)
    assert m.stats()["maps"]["handles"] == 1
    unmap(fd, h)
    expect("ENOENT", fd, UNMAP, handle=h)
    again = map_range(fd, 0, 4096)["handle"]
    assert again != h, "the id of a handle is used again at once"
    expect("ENOENT", fd, UNMAP, handle=h)
    for id_ in (0, 1, h, 2 * TOP - 1):
        expect("ENOENT", fd, READ, buffer=id_, length=1)
        expect("ENOENT", fd, READ, buffer=id_, length=1, offset=BIG[2])
    os.close(fd)
    os.close(other)
    nothing_left(m)


def sums_of_read_and_hint(m):
    fd = opened(m)
    for o, n in SUMS:
        expect("EINVAL", fd, READ, buffer=1, offset=o, length=n)
        expect("EINVAL", fd, READ, buffer=1, buffer_offset=o, length=n)
        expect("EINVAL", fd, HINT, count=1,
               ranges=mapio.struct.pack("=QQ", o, n))
    expect("EINVAL", fd, READ, buffer=1, length=0)
    expect("EINVAL", fd, REGISTER, kind=HOST, length=0)
    expect("EINVAL", fd, REGISTER, kind=HOST, length=TOP)
    expect("EINVAL", fd, REGISTER, kind=HOST, length=4096, device=1)
    expect("ENODEV", fd, REGISTER, kind=CUDA, length=4096)
    expect("ENODEV", fd, REGISTER, kind=CUDA, length=4096, device=9)
    one = mapio.struct.pack("=QQ", 0, 4096)
    expect("EINVAL", fd, HINT, flags=HINT_FILE, count=1, ranges=one)
    expect("EINVAL", fd, HINT, count=65, ranges=one * 64)
    expect("EINVAL", fd, HINT, count=(1 << 32) - 1, ranges=one * 64)
    expect("EINVAL", fd, HINT, count=2, ranges=one)  # a length of 0
    expect("EINVAL", fd, HINT, count=1, ranges=one * 2)  # an unused range
    call(fd, HINT, count=64, ranges=one * 64)
    os.close(fd)
    nothing_left(m)


def code(direction, number, size, type_=0xB3):
    return direction << 30 | size << 16 | type_ << 8 | number


def no_commands(m):
    """ENOTTY: unknown numbers, known ones with another size or direction,
    directories."""
    fd, folder = opened(m), os.open(m.file("dir"), os.O_RDONLY)
    root = os.open(m.path, os.O_RDONLY)
    buf, n = bytearray(16384), 0
    codes = {code(d, i, s) for d in range(4) for i in (*range(10), 128, 255)
             for s in (0, 4, 16, 32, 64, 128, 176, 304, 1040, 4096)}
    codes |= {code(3, i, 176, t) for i in range(7) for t in (0xB2, 0xB4, 1)}
    for c in codes - {c.code for c in COMMANDS.values()}:
        got = error_name(mapio.raw, fd, c, buf)
        assert got == "ENOTTY", "%#x: %s" % (c, got)
        n += 1
    for c in COMMANDS.values():
        for d in (folder, root):
            got = error_name(mapio.raw, d, c.code, c.pack())
            assert got == "ENOTTY", "%#x on a directory: %s" % (c.code, got)
    for d in (fd, folder, root):
        os.close(d)
    return "%d codes" % n


def bad_addresses(m):
    fd = opened(m)
    libc = ctypes.CDLL(None, use_errno=True)
    for c in COMMANDS.values():
        for addr in (0, 8, 2 * TOP - 4096):
            r = libc.ioctl(fd, ctypes.c_ulong(c.code),
                           ctypes.c_void_p(addr))
            assert r == -1 and ctypes.get_errno() == errno.EFAULT, \
                (hex(c.code), addr, r)
    os.close(fd)
    nothing_left(m)


# Limits -------------------------------------------------------------------

def ten_thousand(m):
    fd = opened(m)
    m.ctl("drop")  # small ranges that are there would be in the way
    whole = [map_range(fd, off, SLOT)["handle"] for off in (0, SLOT)]
    held = [map_range(fd, i * 4096 % (8 * MIB), 4096)["handle"]
            for i in range(10000)]
    assert len(set(held)) == 10000
    s = m.stats()["maps"]
    assert s["handles"] == 10002, s
    assert s["mapped_bytes"] == 40960000 + 2 * SLOT, s
    held += whole
    random.Random(2).shuffle(held)
    for h in held:
        unmap(fd, h)
    s = m.stats()["maps"]
    assert s["handles"] == 0 and s["mapped_bytes"] == 0, s
    os.close(fd)
    nothing_left(m)


def too_many(m):
    """EMFILE for the one who has them all; others still get some."""
    fd, n = opened(m), 0
    try:
        while n <= 70000:
            map_range(fd, 0, 1)
            n += 1
    except OSError as e:
        assert e.errno == errno.EMFILE, e
    assert HANDLES <= n <= 65536, "%d handles" % n
    if os.geteuid() == 0:
        def child(pipe):
            fd = opened(m)
            map_range(fd, 0, 1)
        fork(child, uid=1234).end()
    os.close(fd)
    nothing_left(m)
    fd = opened(m)
    map_range(fd, 0, 1)
    os.close(fd)
    nothing_left(m)
    return "%d" % n


def fill_up(fd):
    """All the room that there is: handles."""
    held = []
    for off in range(0, BIG[2], SLOT):
        try:
            held.append((map_range(fd, off, SLOT, flags=NOWAIT), off))
        except OSError as e:
            assert e.errno == errno.EAGAIN, e
            break
    else:
        raise AssertionError("the pool has no end")
    assert held, "no room at all"
    return held


def exhausted(m):
    fd = opened(m)
    have = Allocations(info(fd)["socket"])
    held = fill_up(fd)
    free = held[-1][1] + SLOT
    start = time.monotonic()
    for _ in range(20):
        expect("EAGAIN", fd, MAP, kind=HOST, flags=NOWAIT, offset=free,
               length=SLOT)
    took = time.monotonic() - start
    assert took < 1 * harness.SLOW, "20 with NOWAIT took %.1f s" % took
    # What is there needs no room, and read(2) has its own.
    unmap(fd, map_range(fd, held[0][1], SLOT, flags=NOWAIT)["handle"])
    for off in range(0, BIG[2], 8 * MIB):
        check_pattern(os.pread(fd, 64 * KIB, off), BIG[1], off)
    # Not at once, but when another thread lets go.
    out = []
    t = threading.Thread(target=lambda: out.append(
        error_name(have.map, fd, free, SLOT)), daemon=True)
    t.start()
    wait_for("a MAP to wait", lambda: out or
             m.stats()["maps"]["waiting_for_room"] == 1)
    assert not out, "it did not wait: %s" % out
    gone, _ = held.pop(0)
    unmap(fd, gone["handle"])
    t.join(20)
    assert out and not isinstance(out[0], str), "after UNMAP: %s" % out
    check_pattern(have.bytes_of(out[0]), BIG[1], free)
    held.append((out[0], free))
    # Nobody lets go.
    start = time.monotonic()
    expect("ENOMEM", fd, MAP, kind=HOST, offset=free + SLOT, length=SLOT)
    took = time.monotonic() - start
    assert DEADLINE - 0.1 <= took < (DEADLINE + 3) * harness.SLOW, \
        "ENOMEM after %.2f s" % took
    for h, off in held:
        check_pattern(have.bytes_of(h), BIG[1], off)
    os.close(fd)
    have.close()
    nothing_left(m)
    return "%d of 4 MiB, ENOMEM after %.2f s" % (len(held), took)


def queue_for_room(m):
    """Sixteen threads for less room than that: all get it in the end."""
    fd, results = opened(m), []
    have = Allocations(info(fd)["socket"])
    held = fill_up(fd)

    def work(i):
        off = i % 11 * SLOT + 100
        try:
            h = have.map(fd, off, SLOT // 2)
            check_pattern(have.bytes_of(h), BIG[1], off)
            unmap(fd, h["handle"])
            results.append("")
        except Exception as e:
            results.append("%d: %s" % (i, e))
    threads = [threading.Thread(target=work, args=(i,), daemon=True)
               for i in range(16)]
    for t in threads:
        t.start()
    wait_for("maps to wait",
             lambda: m.stats()["maps"]["waiting_for_room"] > 0)
    for h, _ in held:
        unmap(fd, h["handle"])
    for t in threads:
        t.join(30)
    assert results == [""] * 16, results
    os.close(fd)
    have.close()
    nothing_left(m)


def tickets(m):
    """Good for the first of many, not for a fork, not twice, not long."""
    fd = opened(m)
    path = info(fd)["socket"]
    late, taken = map_range(fd, 0, 10), time.monotonic()
    memory = os.memfd_create("late")
    late_offer = offer(path, memory)
    os.close(memory)
    # Only memory is taken: to close another's file may last.
    assert error_name(offer, path, fd) == "EBADF"
    h = map_range(fd, 0, 10)

    def child(pipe):
        got = error_name(redeem, path, h["export"])
        assert got == "EPERM", got
    fork(child).end()
    h = map_range(fd, 0, 10)
    os.close(redeem(path, h["export"]))
    for t in (h["export"], bytes(16), b"\xff" * 16):
        got = error_name(redeem, path, t)
        assert got == "EPERM", got
    h = map_range(fd, 0, 10)
    os.close(fd)  # the handle has ended, the ticket may have
    got = error_name(redeem, path, h["export"])
    if isinstance(got, int):
        os.close(got)
    wait_for("ten seconds", lambda: time.monotonic() - taken > 10.5, 30)
    got = error_name(redeem, path, late["export"])
    assert got == "EPERM", "a ticket of 10.5 s ago: %s" % got
    fd = opened(m)
    expect("EPERM", fd, REGISTER, kind=HOST, length=1, export=late_offer)
    os.close(fd)
    nothing_left(m)


def many_tickets(m):
    """Every ticket of the last ten seconds is good, however many others were
    given since."""
    fd = opened(m)
    path = info(fd)["socket"]
    first = map_range(fd, 0, 10)
    for _ in range(600):
        unmap(fd, map_range(fd, 0, 10)["handle"])
    try:
        os.close(redeem(path, first["export"]))
    finally:
        os.close(fd)
    nothing_left(m)


def thread_redeems(m):
    """The ticket is for the process, not for the thread that called MAP."""
    fd, out = opened(m), []
    t = threading.Thread(target=lambda: out.append(map_range(fd, 0, 10)))
    t.start()
    t.join()
    os.close(redeem(info(fd)["socket"], out[0]["export"]))
    os.close(fd)


# The socket ---------------------------------------------------------------

def socket_errors(m):
    fd = opened(m)
    path = info(fd)["socket"]
    os.close(fd)
    with mapio.connection(path) as s:  # one connection for many
        for _ in range(3):
            mapio.send(s, mapio.message(mapio.REDEEM, bytes(16)))
            assert mapio.receive(s)[0] == errno.EPERM
        mapio.send(s, mapio.message(mapio.OFFER))
        assert mapio.receive(s)[0] == errno.EBADF
        for type_ in (0, 3, 1 << 31):
            mapio.send(s, mapio.message(type_))
            assert mapio.receive(s)[0] == errno.EINVAL
    for wrong in (b"x", mapio.message(1)[:-1], mapio.message(1) + b"x",
                  mapio.message(1, magic=0), b"x" * 4096):
        with mapio.connection(path) as s:
            mapio.send(s, wrong)
            try:
                assert mapio.receive(s)[0] != 0
            except (EOFError, OSError):
                pass
    return redeem_works(m)


def redeem_works(m):
    fd = opened(m)
    os.close(redeem(info(fd)["socket"], map_range(fd, 0, 1)["export"]))
    os.close(fd)


def descriptors_kept(m, what, packet, count):
    """Whatever a peer sends, no descriptor stays behind."""
    fd = opened(m)
    path = info(fd)["socket"]
    os.close(fd)
    mine = mapio.memfd(4096)

    def once():
        with mapio.connection(path) as s:
            mapio.send(s, packet, [mine] * count)
            try:
                mapio.receive(s)
            except (EOFError, OSError):
                pass
    once()
    redeem_works(m)  # the socket's thread has done with it
    before = fds_of(m)
    for _ in range(20):
        once()
    redeem_works(m)
    grown = fds_of(m) - before
    os.close(mine)
    assert grown < 10, "%s: %d descriptors of the daemon after 20 times" % (
        what, grown)


def descriptors(m):
    message = mapio.message
    bad = []
    for what, packet, count in (
            ("no such type", message(9), 1),
            ("wrong magic", message(mapio.OFFER, magic=1), 1),
            ("REDEEM with one", message(mapio.REDEEM), 1),
            ("a short packet", b"x", 1),
            ("an empty packet", b"", 1),
            ("wrong type, two", message(9), 2),
            ("wrong type, three", message(9), 3),
            ("wrong type, 200", message(9), 200)):
        try:
            descriptors_kept(m, what, packet, count)
        except AssertionError as e:
            bad.append(str(e))
    assert not bad, "; ".join(bad)


def offers_run_out(m):
    """Offers that nobody takes: EMFILE, and gone after their time."""
    fd = opened(m)
    path = info(fd)["socket"]
    os.close(fd)
    mine, n = mapio.memfd(4096), 0
    got = b""
    while n <= 1000 and not isinstance(got, str):
        got = error_name(offer, path, mine)
        n += 1
    os.close(mine)
    assert got == "EMFILE", got  # the fuzz has left some already


def crowded(m):
    """A hundred silent connections keep nobody out."""
    fd = opened(m)
    path = info(fd)["socket"]
    os.close(fd)
    crowd = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(10)
        s.connect(path)
        crowd.append(s)
    redeem_works(m)
    for s in crowd:
        s.close()


# Ends ---------------------------------------------------------------------

def close_with_maps(m):
    fd = opened(m)
    two = os.dup(fd)
    handles = [map_range(fd, i * 4096, 4096) for i in range(100)]
    os.close(fd)
    assert m.stats()["maps"]["handles"] == 100, "close(2) was not the last"
    unmap(two, handles[0]["handle"])
    os.close(two)
    nothing_left(m)

    def child(pipe):
        fd = opened(m)
        for i in range(100):
            map_range(fd, i * 4096, 4096)
        say(pipe, "mapped")
        mapio.listen(pipe)
    c = fork(child)
    c.expect("mapped")
    assert m.stats()["maps"]["handles"] == 100
    c.kill()
    c.wait()
    nothing_left(m)


def waiter(m, name, length, flags=0):
    """A process inside a MAP that the slow server keeps waiting."""
    def child(pipe):
        fd = opened(m, name)
        say(pipe, "go")
        say(pipe, str(error_name(map_range, fd, 0, length, flags=flags)))
    c = fork(child)
    c.expect("go")
    wait_for("the MAP to be under way",
             lambda: m.stats()["maps"]["busy"] > 0)
    return c


def killed(m):
    """SIGKILL while the server thinks; another's MAP of the same range goes
    on."""
    c = waiter(m, "slow", SLOW[2])
    fd, out = opened(m, "slow"), []
    have = Allocations(info(fd)["socket"])
    t = threading.Thread(target=lambda: out.append(
        error_name(have.map, fd, 4096, SLOW[2])), daemon=True)
    t.start()
    c.kill()
    assert c.wait() == -signal.SIGKILL
    t.join(30)
    assert out and not isinstance(out[0], str), out
    check_pattern(have.bytes_of(out[0]), SLOW[1], 4096)
    os.close(fd)
    have.close()
    nothing_left(m)
    m.ctl("drop")
    many = [waiter(m, "slow", SLOW[2]) for _ in range(4)]
    for c in many:
        c.kill()
    for c in many:
        c.wait()
    nothing_left(m)


def server_says_no(m):
    """The errno of read(2) is that of MAP."""
    fd = opened(m, "denied")
    of_read = error_name(os.pread, fd, 4096, 0)
    of_map = error_name(map_range, fd, 4 * MIB, 4096)
    assert of_read == of_map == "EACCES", (of_read, of_map)
    os.close(fd)
    nothing_left(m)


def ended_while_waiting(gw, how):
    """The daemon ends while one MAP waits for room and one for bytes: both
    end, and so does the daemon, at once and well."""
    m = mount(gw, "s3://bkt", "shm", cache_size="32MiB",
              request__deadline="60s", allow=["warning:"])

    def child(pipe):
        fd = opened(m)
        held = fill_up(fd)
        say(pipe, "full")
        mapio.listen(pipe)
        out = error_name(map_range, fd, held[-1][1] + SLOT, SLOT)
        say(pipe, "ended %s" % out)
    c = fork(child)
    c.expect("full")
    c.tell("go")
    wait_for("the MAP to wait",
             lambda: m.stats()["maps"]["waiting_for_room"] == 1)
    start = time.monotonic()
    if how == "SIGTERM":
        m.signal(signal.SIGTERM)
    else:
        run(["umount", "-f", m.path], check=False)
    try:
        line = c.hear()
        rc = m.proc.wait(30 * harness.SLOW)
    finally:
        c.kill()
        c.wait()
    assert line in ("ended EIO", "ended ENOTCONN", "ended ECONNABORTED",
                    "ended EINTR"), line
    assert rc == 0, "exit %d: %s" % (rc, m.text()[-2000:])
    took = time.monotonic() - start
    assert took < 20 * harness.SLOW, "%.1f s" % took
    run(["umount", "-l", m.path], check=False)
    return "%s, %.1f s" % (line, took)


def ended_while_fetching(gw):
    """The same with a transfer under way: nothing is freed under it."""
    m = mount(gw, "s3://bkt", "shm", allow=["warning:"])
    c = waiter(m, "slow", SLOW[2])
    m.signal(signal.SIGTERM)
    try:
        line = c.hear()
        rc = m.proc.wait(60 * harness.SLOW)
    finally:
        c.kill()
        c.wait()
    run(["umount", "-l", m.path], check=False)
    assert rc == 0, "exit %d: %s" % (rc, m.text()[-2000:])
    return line[:20]


# Fuzz ---------------------------------------------------------------------

def value(rng, size, ids):
    top = 1 << 8 * size
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randrange(top)
    if kind == 1:
        return rng.choice((0, 1, 2, top - 1, top >> 1, (top >> 1) - 1))
    if kind == 2 and ids:
        return rng.choice(ids)
    if kind == 3:
        return rng.randrange(1 << 26)
    return rng.choice((0, 1, 2, 4096, 65536))


def random_struct(rng, name, ids):
    c = COMMANDS[name]
    if rng.random() < 0.1:
        data = bytearray(rng.randbytes(c.size))
        if rng.random() < 0.7:
            data[0:4] = c.size.to_bytes(4, "little")
        return data
    data = c.pack(**GOOD[name])
    for field, (at, size) in c.at.items():
        if field in ("size", "flags", "reserved", "kind", "device") and \
                rng.random() < 0.93 or rng.random() < 0.4:
            continue
        if size in (4, 8):
            v = value(rng, size, ids) & (1 << 8 * size) - 1
            data[at:at + size] = v.to_bytes(size, "little")
        else:
            data[at:at + size] = rng.randbytes(size)
    return data


def fuzz(m, seed, count):
    rng = random.Random(seed)
    ids, fds, fine = [], [opened(m), opened(m)], 0
    path = info(fds[0])["socket"]
    mine = mapio.memfd(MIB)
    for i in range(count):
        name = rng.choice(list(COMMANDS))
        data = random_struct(rng, name, ids)
        fd = rng.choice(fds)
        if name == "MAP":
            # What succeeds must not wait for room for seconds.
            flags = int.from_bytes(data[4:8], "little")
            data[4:8] = (flags | NOWAIT).to_bytes(4, "little")
        elif name == "REGISTER" and rng.random() < 0.5:
            try:
                at = REGISTER.at["export"][0]
                data[at:at + 16] = offer(path, mine)
            except OSError:
                pass
        try:
            out = call(fd, COMMANDS[name], data)
            ids += [out[k] for k in ("handle", "buffer") if k in out]
            fine += 1
        except OSError as e:
            assert e.errno in (
                errno.EINVAL, errno.ENOENT, errno.ENXIO, errno.ENODEV,
                errno.EAGAIN, errno.EPERM, errno.ERANGE, errno.EMFILE), \
                "%s: %s: %s" % (name, e, bytes(data).hex())
        if i % 64 == 63:
            os.close(fds.pop(0))
            fds.append(opened(m))
            del ids[:-20]
    os.close(mine)
    for fd in fds:
        os.close(fd)
    nothing_left(m)
    assert m.alive()
    return "%d of %d succeeded" % (fine, count)


def fuzz_socket(m, seed, count):
    """Packets of any kind; the daemon stays, and its descriptors are few."""
    rng = random.Random(seed)
    fd = opened(m)
    path = info(fd)["socket"]
    os.close(fd)
    for _ in range(count):
        try:
            with mapio.connection(path) as s:
                s.settimeout(0.5)
                for _ in range(rng.randrange(1, 4)):
                    data = bytearray(rng.randbytes(rng.choice(
                        (0, 1, 31, 32, 32, 32, 33, 200))))
                    if len(data) >= 8 and rng.random() < 0.7:
                        data[:4] = mapio.MAGIC.to_bytes(4, "little")
                        data[4:8] = rng.randrange(4).to_bytes(4, "little")
                    s.send(data)
        except OSError:
            pass
    redeem_works(m)
    assert m.alive()


# All ----------------------------------------------------------------------

def main():
    need_fuse()
    gw = Gateway(faults=["get:delay=%d:key=slow" % (DELAY * 1000),
                         "get:status=403:key=denied"]).start()
    populate(gw)
    m = mount(gw, "s3://bkt", "shm", cache_size="64MiB", allow_other="true",
              allow=["warning:", "injected"])
    case("the head of every struct", headers, m)
    case("MAP", map_errors, m)
    case("unknown kinds", unknown_kinds, m)
    case("ids", handle_errors, m)
    case("READ, REGISTER, HINT", sums_of_read_and_hint, m)
    case("no such commands", no_commands, m)
    case("bad addresses", bad_addresses, m)
    case("10,000 maps", ten_thousand, m)
    case("too many maps", too_many, m)
    case("a thread redeems", thread_redeems, m)
    case("tickets", tickets, m)
    case("many tickets", many_tickets, m)
    case("the socket", socket_errors, m)
    case("descriptors at the socket", descriptors, m)
    case("a crowd at the socket", crowded, m)
    case("close with maps", close_with_maps, m)
    case("killed", killed, m)
    case("the server says no", server_says_no, m)
    for seed in (1, 2):
        case("fuzz %d" % seed, fuzz, m, seed, 2500)
    case("fuzz of the socket", fuzz_socket, m, 3, 200)
    case("offers that nobody takes", offers_run_out, m)
    case("unmount", m.unmount)
    for mode in ("shm", "http"):
        m = mount(gw, "s3://bkt", mode, cache_size="32MiB",
                  request__deadline="%ds" % DEADLINE, allow=["warning:"])
        case(mode + ", exhausted", exhausted, m)
        case(mode + ", queue for room", queue_for_room, m)
        case(mode + ", unmount after that", m.unmount)
    for how in ("SIGTERM", "umount -f"):
        if how != "SIGTERM" and os.geteuid():
            note_skip(how, "needs root")
            continue
        case(how + " while a MAP waits", ended_while_waiting, gw, how)
    case("SIGTERM while a MAP fetches", ended_while_fetching, gw)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
