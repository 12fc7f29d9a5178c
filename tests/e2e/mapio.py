# SPDX-License-Identifier: Apache-2.0
"""The ioctls of <s3rdmafs/ioctl.h> with nothing but struct and ioctl(2): what
a program sees that does not use the project's library."""
import array
import contextlib
import ctypes
import gc
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import traceback

from files import same
from harness import wait_for

HOST, CUDA = 1, 2
NOWAIT = 1
HINT_FILE, HINT_RANGES = 1, 64
EXPORT, TICKET = 64, 16
TRANSPORTS = ("http", "shm", "rc", "dc")

_READ, _WRITE = 2, 1


class Command:
    """A command: its number, and its struct as names and formats."""

    def __init__(self, number, direction, *fields):
        self.names = [f.split(":")[0] for f in fields]
        self.format = "=" + "".join(f.split(":")[1] for f in fields)
        self.size = struct.calcsize(self.format)
        self.code = direction << 30 | self.size << 16 | 0xB3 << 8 | number
        self.at, at = {}, 0
        for name, part in zip(self.names, (f.split(":")[1] for f in fields)):
            self.at[name] = (at, struct.calcsize("=" + part))
            at += struct.calcsize("=" + part)

    def pack(self, **values):
        values = {"size": self.size, **values}
        full = [values.pop(n, None) for n in self.names]
        assert not values, values
        out = bytearray(self.size)
        for n, v in zip(self.names, full):
            at, size = self.at[n]
            if isinstance(v, int):
                v = (v & (1 << 8 * size) - 1).to_bytes(size, "little")
            if v is not None:
                out[at:at + len(v)] = v
        return out

    def unpack(self, data):
        out = {}
        for n, v in zip(self.names, self.split(data)):
            out[n] = v
        return out

    def split(self, data):
        for n in self.names:
            at, size = self.at[n]
            raw = bytes(data[at:at + size])
            yield int.from_bytes(raw, "little") if size in (4, 8) else raw


INFO = Command(0, _READ | _WRITE, "size:I", "flags:I", "abi_version:I",
               "kinds:I", "transport:I", "ndevices:I", "slot_size:Q",
               "host_pool:Q", "map_max:Q", "devices:128s", "socket:108s",
               "reserved:20s")
MAP = Command(1, _READ | _WRITE, "size:I", "flags:I", "kind:I", "device:I",
              "offset:Q", "length:Q", "handle:Q", "valid:Q",
              "alloc_offset:Q", "alloc_size:Q", "allocation:Q",
              "generation:Q", "export:64s", "reserved:32s")
UNMAP = Command(2, _WRITE, "size:I", "flags:I", "handle:Q", "reserved:16s")
REGISTER = Command(3, _READ | _WRITE, "size:I", "flags:I", "kind:I",
                   "device:I", "length:Q", "export:64s", "buffer:Q",
                   "reserved:32s")
READ = Command(4, _READ | _WRITE, "size:I", "flags:I", "buffer:Q",
               "buffer_offset:Q", "offset:Q", "length:Q", "placed:Q",
               "reserved:16s")
UNREGISTER = Command(5, _WRITE, "size:I", "flags:I", "buffer:Q",
                     "reserved:16s")
HINT = Command(6, _WRITE, "size:I", "flags:I", "count:I", "reserved:I",
               "ranges:1024s")
COMMANDS = {"INFO": INFO, "MAP": MAP, "UNMAP": UNMAP, "REGISTER": REGISTER,
            "READ": READ, "UNREGISTER": UNREGISTER, "HINT": HINT}
assert [c.size for c in COMMANDS.values()] == [
    304, 176, 32, 128, 64, 32, 1040], [c.size for c in COMMANDS.values()]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]


def call(fd, command, data=None, **values):
    """The struct as it came back."""
    data = command.pack(**values) if data is None else bytearray(data)
    raw(fd, command.code, data)
    return command.unpack(data)


def raw(fd, code, data):
    """ioctl(2) itself: unlike fcntl.ioctl it lets other threads run, and is
    not limited to 1024 bytes."""
    buf = (ctypes.c_char * len(data)).from_buffer(data)
    if _libc.ioctl(fd, code, ctypes.addressof(buf)) < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def info(fd):
    out = call(fd, INFO)
    out["socket"] = out["socket"].split(b"\0")[0].decode()
    out["devices"] = [struct.unpack_from("=IIQ", out["devices"], 16 * i)
                      for i in range(out["ndevices"])]
    return out


def map_range(fd, off, length, kind=HOST, device=0, flags=0):
    return call(fd, MAP, offset=off, length=length, kind=kind, device=device,
                flags=flags)


def unmap(fd, handle):
    call(fd, UNMAP, handle=handle)


# The socket ---------------------------------------------------------------

MESSAGE = "=IIiI16s"
MAGIC, REDEEM, OFFER = 0x33424652, 1, 2


@contextlib.contextmanager
def connection(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(20)
        s.connect(path)
        yield s


def send(sock, data, fds=()):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                array.array("i", fds))] if fds else []
    return sock.sendmsg([data], control)


def message(type_, ticket=b"", magic=MAGIC, reserved=0):
    return struct.pack(MESSAGE, magic, type_, 0, reserved, ticket)


def receive(sock):
    """The answer, and the descriptors that came with it."""
    data, control, _, _ = sock.recvmsg(256, 256)
    fds = array.array("i")
    for level, kind, part in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(part[:len(part) // 4 * 4])
    if not data:
        raise EOFError("the daemon closed the connection")
    _, _, status, _, ticket = struct.unpack(MESSAGE, data)
    return status, ticket, list(fds)


def ask(path, type_, ticket=b"", fds=()):
    """One request; raises its errno."""
    with connection(path) as s:
        send(s, message(type_, ticket), fds)
        status, ticket, got = receive(s)
    if status:
        for fd in got:
            os.close(fd)
        raise OSError(status, os.strerror(status))
    return ticket, got


def redeem(path, ticket):
    """The descriptor of the allocation; the caller's."""
    _, fds = ask(path, REDEEM, ticket[:TICKET])
    assert len(fds) == 1, fds
    return fds[0]


def offer(path, fd):
    """The ticket for REGISTER."""
    return ask(path, OFFER, fds=[fd])[0]


def memfd(size, name="test"):
    fd = os.memfd_create(name)
    os.ftruncate(fd, size)
    return fd


# Allocations --------------------------------------------------------------

class Allocations:
    """What an application keeps: each allocation mapped once."""

    def __init__(self, path):
        self.path, self.maps = path, {}
        self.lock = threading.Lock()

    def take(self, m):
        """The mapping of the allocation of m, an answer of MAP."""
        if m["allocation"] not in self.maps:
            fd = redeem(self.path, m["export"])
            try:
                self.maps[m["allocation"]] = mmap.mmap(
                    fd, m["alloc_size"], mmap.MAP_SHARED, mmap.PROT_READ)
            finally:
                os.close(fd)
        return self.maps[m["allocation"]]

    def bytes_of(self, m):
        at = m["alloc_offset"]
        return self.take(m)[at:at + m["valid"]]

    def map(self, fd, off, length, **kw):
        """MAP, and the allocation is at hand: for threads."""
        m = map_range(fd, off, length, **kw)
        with self.lock:
            self.take(m)
        return m

    def close(self):
        for m in self.maps.values():
            m.close()
        self.maps.clear()


def gpu_bytes(m, at=0, length=None):
    """Of a fake GPU, for root: the export names the memory."""
    fd = os.open(m["export"].split(b"\0")[0], os.O_RDONLY)
    try:
        return os.pread(fd, m["valid"] if length is None else length,
                        m["alloc_offset"] + at)
    finally:
        os.close(fd)


def check_answer(m, off, length, size):
    """What every answer of MAP for this range of an object promises."""
    assert 0 < m["valid"] <= min(length, size - off), m
    assert m["alloc_offset"] + m["valid"] <= m["alloc_size"], m
    assert off % 4096 or m["alloc_offset"] % 4096 == 0, m
    assert m["handle"] and m["allocation"] and m["generation"], m
    assert m["reserved"] == bytes(32), m


def map_all(fd, off, length, kind=HOST, device=0):
    """Answers of MAP that cover the range together."""
    out = []
    while length > 0:
        m = map_range(fd, off, length, kind, device)
        out.append(m)
        off += m["valid"]
        length -= m["valid"]
    return out


def check_pattern(data, seed, off):
    bad = same(data, seed, off)
    assert not bad, "WRONG BYTES: " + bad


# Nothing stays ------------------------------------------------------------

NOTHING = ("handles", "buffers", "mapped_bytes", "waiting_for_room", "busy")


def nothing_left(m, seconds=20):
    """No handle, buffer or transfer; every slot has come back.  A close is
    told to the daemon after close(2), so it is waited for."""
    last = {}

    def check():
        last.update(m.stats())
        return not any(last["maps"][k] for k in NOTHING) and \
            not last["pool"]["armed"] and not last["pool"]["quarantined"]
    try:
        wait_for("nothing left", check, seconds)
    except AssertionError:
        raise AssertionError("left over: %s" % {
            **{k: last["maps"][k] for k in NOTHING},
            **{k: last["pool"][k] for k in ("armed", "quarantined")}})
    assert last["pool"]["lost"] == 0, last["pool"]


def fds_of(daemon):
    return len(os.listdir("/proc/%d/fd" % daemon.proc.pid))


def _open_files():
    folder = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        return {int(f) for f in os.listdir(folder)} - {folder}
    finally:
        os.close(folder)


def tidy(check):
    """A case that leaves no descriptor of this process, also when it fails:
    the handles of a failed one would fail the others."""
    def run(*args):
        gc.collect()
        before = _open_files()
        try:
            return check(*args)
        finally:
            gc.collect()
            for fd in _open_files() - before:
                # Sockets belong to objects, which close them.
                with contextlib.suppress(OSError):
                    link = os.readlink("/proc/self/fd/%d" % fd)
                    if link.startswith("/"):
                        os.close(fd)
    return run


# Other processes ----------------------------------------------------------

def fork(child, uid=None):
    """Runs child(pipe) in a process, as another user if asked to: a pid and
    the socket to it.  What it raises is printed and makes it exit 1."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        ours.settimeout(100)
        return Child(pid, ours)
    code = 1
    try:
        ours.close()
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, signal.SIG_DFL)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        child(theirs)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Child:
    def __init__(self, pid, sock):
        self.pid, self.sock, self.code = pid, sock, None

    def tell(self, text):
        self.sock.sendall(text.encode() + b"\n")

    def hear(self):
        """A line of it; "" when it has ended."""
        line = b""
        while not line.endswith(b"\n"):
            more = self.sock.recv(1)
            if not more:
                return ""
            line += more
        return line.decode().rstrip("\n")

    def expect(self, text):
        line = self.hear()
        assert line == text, "the process said %r, not %r" % (line, text)

    def wait(self):
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
            self.sock.close()
        return self.code

    def end(self):
        """It must end well."""
        assert self.wait() == 0, "the process ended with %d" % self.code

    def kill(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)


def say(pipe, text):
    pipe.sendall(text.encode() + b"\n")


def listen(pipe):
    return Child(0, pipe).hear()
