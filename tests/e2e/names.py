# SPDX-License-Identifier: Apache-2.0
"""What the tests of names share: large buckets made in a gateway's folder,
the tree that keys make, ways to walk a mount, and what a gateway was asked."""
import os
import re
import signal
import time
import urllib.parse

from files import is_mounted
from harness import DIR, Gateway, run, wait_for

# Answers that a directory of a damaged or changing bucket may give.
GONE = ("ESTALE", "ENOENT", "EIO")


# Buckets --------------------------------------------------------------------

def make_bucket(gw, name, keys):
    """Objects put into the gateway's folder by hand: keys is a mapping from
    key to size.  The files are sparse, so a million costs no space."""
    top = os.path.join(gw.root, name)
    os.makedirs(top, exist_ok=True)
    made = set()
    for key, size in keys.items():
        folder = key.rpartition("/")[0]
        if folder not in made:
            os.makedirs(os.path.join(top, folder), exist_ok=True)
            made.add(folder)
        path = os.path.join(top, key)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        if size:
            os.ftruncate(fd, size)
        os.close(fd)


def holdable(part):
    return part not in ("", ".", "..") and len(os.fsencode(part)) <= 255


def tree(keys):
    """The model of namespace.h: path -> size, None for a directory."""
    found = {}
    for key, size in keys.items():
        parts = key.split("/")
        for i in range(1, len(parts)):
            if not holdable(parts[i - 1]):
                break
            found["/".join(parts[:i])] = None
        else:
            if holdable(parts[-1]):
                found.setdefault(key, size)
    # A key that came first does not win against the directory beside it.
    return found


# Walks ----------------------------------------------------------------------

def find(top, *more):
    """The tree as find sees it: path -> size, None for a directory."""
    out = run(["find", top, "-mindepth", "1"] + list(more) +
              ["-printf", "%y %s %P\\0"]).stdout
    found = {}
    for line in out.split(b"\0")[:-1]:
        kind, size, path = os.fsdecode(line).split(" ", 2)
        assert path not in found, "twice: " + path
        found[path] = None if kind == "d" else int(size)
    return found


def compare(got, want, what=""):
    if got == want:
        return
    missing = sorted(set(want) - set(got))
    extra = sorted(set(got) - set(want))
    other = sorted(k for k in set(got) & set(want) if got[k] != want[k])
    raise AssertionError("%s: %d missing %s, %d extra %s, %d differing %s" % (
        what, len(missing), missing[:4], len(extra), extra[:4], len(other),
        [(k, got[k], want[k]) for k in other[:4]]))


def once(names):
    """A set of names, none of which may come twice."""
    seen = set()
    for n in names:
        assert n not in seen, "twice: %r" % n
        seen.add(n)
    return seen


# What a server was asked ------------------------------------------------------

class Logged(Gateway):
    """A gateway that tells what it was asked."""

    def __init__(self, **kw):
        self.access = os.path.join(DIR, "access-%d" % time.monotonic_ns())
        kw["args"] = list(kw.get("args", ())) + ["--access-log", self.access]
        super().__init__(**kw)

    def mark(self):
        """Where the log is now, with all that was asked until now in it."""
        what = "/mark-%d" % time.monotonic_ns()
        import http.client
        c = http.client.HTTPConnection(self.host, self.port, timeout=20)
        c.request("GET", what)
        c.getresponse().read()
        c.close()
        wait_for("the mark in the log",
                 lambda: what in open(self.access, errors="replace").read()
                 [-100000:])
        return os.path.getsize(self.access)

    def asked(self, since, until=None):
        """(kind, path, query) of each request of the log from a mark on."""
        until = until or self.mark()
        with open(self.access, "rb") as f:
            f.seek(since)
            text = f.read(until - since).decode(errors="replace")
        out = []
        for method, target in re.findall(r'"([A-Z]+) (\S+) HTTP', text):
            path, _, query = target.partition("?")
            if path.startswith("/mark-"):
                continue
            query = dict(urllib.parse.parse_qsl(query,
                                                keep_blank_values=True))
            kind = "LIST" if "list-type" in query else method
            out.append((kind, path, query))
        return out

    def lists(self, since):
        """Its listings but for the one that a mount begins with."""
        asked = [a for a in self.asked(since) if a[0] == "LIST"]
        probes = [a for a in asked if a[2].get("max-keys") == "1" and
                  not a[2].get("delimiter")]
        assert len(probes) <= 1, probes
        return [a for a in asked if a not in probes]


def kill9(m):
    """The daemon, without a chance to put anything in order."""
    m.proc.send_signal(signal.SIGKILL)
    m.proc.wait()
    m._detach()
    wait_for("the mount to be gone", lambda: not is_mounted(m.path))


def peak(m):
    """The most that the daemon was resident with, in bytes."""
    with open("/proc/%d/status" % m.proc.pid) as f:
        for l in f:
            if l.startswith("VmHWM:"):
                return int(l.split()[1]) * 1024


def store_of(folder):
    """The one store file in a metadata.path."""
    found = [f for f in os.listdir(folder) if f.endswith(".db")]
    assert len(found) == 1, found
    return os.path.join(folder, found[0])
