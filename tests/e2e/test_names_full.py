#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The disk with the store of names is full: names are forgotten, and the mount
goes on."""
import contextlib
import errno
import os
import random
import subprocess
import tempfile

import names
from files import MIB, case, finish, mount
from harness import DIR, need_fuse, run, skip

DIRS, FILES = 16, 1000
# What the daemon may say of it, once.
NO_ROOM = ["no room for"]


def keys():
    """Long names, so that few fill a small disk."""
    rng = random.Random(4)
    return {"d%02d/%04d-%s" % (d, i, rng.randbytes(120).hex()): 1
            for d in range(DIRS) for i in range(FILES)}


@contextlib.contextmanager
def small_disk(size):
    path = tempfile.mkdtemp(prefix="disk-", dir=DIR)
    run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=0700" % size, "tmpfs",
         path])
    try:
        yield path
    finally:
        run(["umount", "-l", path])


def fill(path):
    """Takes all that is left of a disk."""
    with open(os.path.join(path, "others"), "wb", buffering=0) as f:
        with contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))


def said_once(m):
    text = m.text()
    assert text.count("no room for") <= 1, text[-2000:]
    assert "damaged" not in text, text[-2000:]


def once_more(f, path):
    """When the store is begun anew directories have other numbers, which is
    seen once.  That there is no room is never seen."""
    try:
        return f(path)
    except OSError as e:
        assert e.errno == errno.ESTALE, "%s: %s" % (path, e)
    return f(path)


def check(m, want, what):
    """The bucket by directories, with what lies in them."""
    for d in once_more(os.listdir, m.path):
        here = set(once_more(os.listdir, m.file(d)))
        assert here == want[d], "%s: %s: %d of %d names" % (
            what, d, len(here), len(want[d]))
        for name in sorted(here)[::500]:
            s = once_more(os.stat, m.file(d + "/" + name))
            assert s.st_size == 1, "%s: %s/%s" % (what, d, name)


def larger_than_the_disk(gw, want):
    """All names do not fit."""
    with small_disk(4 * MIB) as disk:
        m = mount(gw, "s3://full", metadata__path=disk, metadata__ttl="1h",
                  allow=NO_ROOM)
        try:
            for turn in range(3):
                check(m, want, "turn %d" % turn)
        finally:
            m.unmount()
        said_once(m)
        assert "no room for" in m.text(), "never full"


def filled_by_others(gw, want):
    """The room is taken while the mount has names there."""
    with small_disk(16 * MIB) as disk:
        m = mount(gw, "s3://full", metadata__path=disk, metadata__ttl="1h",
                  allow=NO_ROOM)
        try:
            for d in range(8):
                os.listdir(m.file("d%02d" % d))
            fill(disk)
            check(m, want, "filled")
            check(m, want, "filled, again")
            os.unlink(os.path.join(disk, "others"))
            check(m, want, "room again")
            since = gw.mark()
            check(m, want, "kept")
            assert len(gw.lists(since)) < 3, gw.lists(since)
        finally:
            m.unmount()
        said_once(m)


def can_mount():
    path = tempfile.mkdtemp(dir=DIR)
    r = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path],
                       capture_output=True)
    if r.returncode == 0:
        run(["umount", path])
    return r.returncode == 0


def main():
    need_fuse()
    if os.geteuid() or not can_mount():
        skip("only root can make a small disk")
    gw = names.Logged().start()
    names.make_bucket(gw, "full", keys())
    want = {}
    for key in keys():
        folder, _, name = key.partition("/")
        want.setdefault(folder, set()).add(name)
    for how in (larger_than_the_disk, filled_by_others):
        case(how.__name__.replace("_", " "), how, gw, want)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
