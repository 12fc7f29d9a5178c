#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The store of names after everything that can happen to a file: a daemon
that was killed while it wrote, bytes that changed, pages that are gone.  What
a later mount says is right, or is asked for again; never is it wrong."""
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time

import names
from files import FULL, case, finish, mount
from harness import DIR, SLOW, clean_env, need_fuse, wait_for
from names import compare, find

ROUNDS = 200 if FULL else 6
FLIPS = 200 if FULL else 12
# What a mount may say of a store, and nothing else.
DAMAGE = ["is damaged", "is not what was written", "built anew"]


def small_keys():
    """Directories and files whose names differ by a bit from others'."""
    keys = {"d%02d/e%d/f%02d" % (d, e, f): 100 * d + 10 * e + f
            for d in range(30) for e in range(3) for f in range(6)}
    keys.update({"top%03d" % i: i for i in range(200)})
    keys.update({"d%02d/g%03d" % (d, i): d + i for d in range(30)
                 for i in range(20)})
    return keys


def large_keys():
    keys = {"flat/%05d" % i: i % 500 for i in range(9000)}
    keys.update({"t%02d/%d/f%02d" % (t, u, f): t + f for t in range(40)
                 for u in range(4) for f in range(30)})
    return keys


def no_other_word(m):
    """Nothing of a sanitizer, nothing but the store's own warnings."""
    bad = [l for l in m.text().splitlines()
           if any(w in l for w in ("warning:", "error:", "Sanitizer",
                                   "Assertion"))
           and not any(d in l for d in DAMAGE)]
    assert not bad, "\n".join(bad[:10])


def killed(gw):
    """kill -9 while it lists, at as many points as there are rounds.  Each
    mount goes on with the store of the one before."""
    keys = large_keys()
    names.make_bucket(gw, "large", keys)
    want, rng = names.tree(keys), random.Random(1)
    folder = tempfile.mkdtemp(prefix="killed-", dir=DIR)
    most = 0
    for i in range(ROUNDS):
        if i % 4 == 0:  # from nothing, so that there is much to write
            shutil.rmtree(folder)
        keep = dict(metadata__path=folder, metadata__ttl="1h",
                    cache_size="32MiB")
        m = mount(gw, "s3://large", **keep)
        since = os.path.getsize(gw.access)
        readers = [subprocess.Popen(
            ["find", m.path, "-printf", ""], env=clean_env(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
            subprocess.Popen(
            ["ls", "-U", m.file("flat")], env=clean_env(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
        # So many bytes of the gateway's log later, or when all is read.
        point = since + rng.randrange(200, 15000)
        wait_for("the readers", lambda: os.path.getsize(gw.access) > point or
                 all(p.poll() is not None for p in readers), 60)
        most = max(most, os.path.getsize(gw.access) - since)
        names.kill9(m)
        for p in readers:
            p.kill()
            p.wait()
        no_other_word(m)
        m = mount(gw, "s3://large", **keep)
        compare(find(m.path), want, "after kill %d" % i)
        compare(find(m.path), want, "and again, %d" % i)
        if i % 2:
            names.kill9(m)
        else:
            m.unmount()
        no_other_word(m)
    assert most > 2000, "never killed while it listed"


# Flipped bytes ---------------------------------------------------------------

def make_store(gw, how):
    """The file of a mount that has seen all, or the topmost names only, and
    that ended well or was killed (then the newest pages stand in the log)."""
    folder = tempfile.mkdtemp(prefix="golden-", dir=DIR)
    m = mount(gw, "s3://small", metadata__path=folder, metadata__ttl="1h")
    if how == "top":
        os.listdir(m.path)
        os.listdir(m.file("d01"))
    elif how == "named":
        for d in range(30):
            os.stat(m.file("d%02d/e1/f03" % d))
            os.stat(m.file("d%02d/e2" % d))
    else:
        find(m.path)
    if how == "killed":
        names.kill9(m)
    else:
        m.unmount()
    return folder


def spoil(path, rng):
    """Changes a file at random; says how."""
    size = os.path.getsize(path)
    how = rng.choice(["bit", "bit", "bytes", "bytes", "many", "zero page",
                      "swap pages", "cut", "tail"])
    with open(path, "r+b") as f:
        def put(at, data):
            f.seek(at)
            f.write(data)

        def get(at, n):
            f.seek(at)
            return f.read(n)
        if how == "bit":
            at = rng.randrange(size)
            put(at, bytes([get(at, 1)[0] ^ (1 << rng.randrange(8))]))
        elif how in ("bytes", "many"):
            for _ in range(8 if how == "bytes" else size // 400):
                put(rng.randrange(size), bytes([rng.randrange(256)]))
        elif how == "zero page":
            put(rng.randrange(size // 8192) * 8192, bytes(8192))
        elif how == "swap pages":
            a, b = (rng.randrange(size // 8192) * 8192 for _ in range(2))
            pa, pb = get(a, 8192), get(b, 8192)
            put(a, pb)
            put(b, pa)
        elif how == "cut":
            f.truncate(rng.randrange(size))
        else:
            put(size, os.urandom(rng.randrange(1, 20000)))
    return how


def right_with(gw, folder, want, what):
    """A mount upon this store: the whole tree twice, then names one by one."""
    m = mount(gw, "s3://small", metadata__path=folder, metadata__ttl="1h",
              allow=DAMAGE)
    try:
        for turn in ("first", "second"):
            try:
                got = find(m.path)
            except AssertionError as e:  # an error at most, and not for long
                assert "twice" not in str(e), "%s: %s" % (what, e)
                assert turn == "first", "%s: still failing: %s" % (what, e)
                continue
            compare(got, want, "%s, %s" % (what, turn))
        for path in list(want)[::23]:
            s = os.lstat(m.file(path))
            assert (want[path] is None) == bool(s.st_mode & 0o040000), path
        assert m.alive(), "%s: the daemon has ended" % what
    finally:
        m.unmount()
    no_other_word(m)


def flipped(gw):
    want, rng, spoiled = names.tree(small_keys()), random.Random(2), {}
    golden = {how: make_store(gw, how)
              for how in ("all", "top", "named", "killed")}
    wrong = []
    for i in range(FLIPS):
        how = rng.choice(list(golden))
        folder = os.path.join(DIR, "flip-%d" % i)
        shutil.copytree(golden[how], folder)
        path = names.store_of(folder)
        if how == "killed" and os.path.exists(path + "-wal"):
            path = rng.choice([path, path + "-wal"])
        if os.path.getsize(path) < 8192:
            path = names.store_of(folder)
        what = "%s of %s #%d (%s)" % (spoil(path, rng), how, i,
                                      path[path.rindex("."):])
        spoiled[what.split()[0]] = spoiled.get(what.split()[0], 0) + 1
        try:
            right_with(gw, folder, want, what)
        except AssertionError as e:
            wrong.append(str(e))
        shutil.rmtree(folder)
    assert not wrong, "%d of %d: %s" % (len(wrong), FLIPS, wrong[:3])
    return "%d kinds" % len(spoiled)


def zeroed(gw):
    """Each page of the file in turn is lost.  A mount may have nothing to say
    once; then it asks anew, and the mount after it has nothing to complain
    of."""
    want, wrong = names.tree(small_keys()), []
    golden = make_store(gw, "top")
    pages = os.path.getsize(names.store_of(golden)) // 8192
    for page in range(pages):
        folder = os.path.join(DIR, "zero-%d" % page)
        shutil.copytree(golden, folder)
        with open(names.store_of(folder), "r+b") as f:
            f.seek(page * 8192)
            f.write(bytes(8192))
        for turn in ("first", "second"):
            try:
                right_with(gw, folder, want, "page %d, %s mount" % (
                    page + 1, turn))
            except AssertionError as e:
                wrong.append(str(e).split(": ['find'")[0])
        shutil.rmtree(folder)
    assert not wrong, "%d of %d: %s" % (len(wrong), 2 * pages, wrong)
    return "%d pages" % pages


def renamed(gw):
    """The flips that hurt most: one character of a directory's name, each
    time that it stands in the file, so that it is another's."""
    want, wrong, tried = names.tree(small_keys()), [], 0
    for how in ("top", "all", "named"):
        golden = make_store(gw, how)
        with open(names.store_of(golden), "rb") as f:
            data = f.read()
        for old, new in ((b"d07", b"d17"), (b"e1", b"e0"), (b"d02", b"d03")):
            places, at = [], data.find(old)
            while at >= 0:
                places.append(at)
                at = data.find(old, at + 1)
            for at in places if FULL else sorted(
                    set(places[:2] + places[-2:])):
                folder = os.path.join(DIR, "renamed-%d" % tried)
                tried += 1
                shutil.copytree(golden, folder)
                with open(names.store_of(folder), "r+b") as f:
                    f.seek(at)
                    f.write(new)
                try:
                    right_with(gw, folder, want, "%s for %s at %d of %s" % (
                        new, old, at, how))
                except AssertionError as e:
                    wrong.append(str(e))
                shutil.rmtree(folder)
    assert tried > 6, tried
    assert not wrong, "%d of %d: %s" % (len(wrong), tried, wrong[:3])
    return "%d names" % tried


def not_a_store(gw):
    """Other things where the file should be."""
    want = names.tree(small_keys())
    golden = make_store(gw, "all")
    name = os.path.basename(names.store_of(golden))

    def text(path):
        with open(path, "w") as f:
            f.write("hello\n" * 5000)

    def empty(path):
        open(path, "w").close()

    def foreign(path):
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE x(y)")
        db.execute("PRAGMA user_version=1")
        db.commit()
        db.close()

    def version(path):
        db = sqlite3.connect(os.path.join(golden, name))
        db.execute("PRAGMA user_version=77")
        db.commit()
        db.close()
        shutil.copy(os.path.join(golden, name), path)
    for make in (text, empty, foreign, version):
        folder = tempfile.mkdtemp(dir=DIR)
        make(os.path.join(folder, name))
        right_with(gw, folder, want, make.__name__)


def harmed(gw, harm, after):
    """The store of a mount that uses it is harmed, so long after it began."""
    want = names.tree(small_keys())
    folder = tempfile.mkdtemp(dir=DIR)
    with_ttl = dict(metadata__path=folder, metadata__ttl="1s")
    m = mount(gw, "s3://small", allow=DAMAGE, **with_ttl)
    try:
        compare(find(m.path), want)
        time.sleep(after)
        harm(names.store_of(folder))
        end = time.monotonic() + 3 * SLOW
        while time.monotonic() < end:
            try:
                got = find(m.path)
            except AssertionError as e:
                assert "twice" not in str(e), str(e)
                continue
            compare(got, want, harm.__name__)
        compare(find(m.path), want, harm.__name__)
    finally:
        m.unmount()
    no_other_word(m)


def delete(path):
    for end in ("", "-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)


def overwrite(path):
    rng = random.Random(3)
    with open(path, "r+b") as f:
        for _ in range(50):
            f.seek(rng.randrange(os.path.getsize(path)))
            f.write(bytes([rng.randrange(256)]))


def deleted_in_use(gw):
    harmed(gw, delete, 1.2)


def deleted_at_once(gw):
    """In the second in which it was made: the numbers of the new store must
    not be those of the old one, which the kernel still holds."""
    for _ in range(3):
        harmed(gw, delete, 0)


def overwritten_in_use(gw):
    harmed(gw, overwrite, 0)


def main():
    need_fuse()
    gw = names.Logged().start()
    names.make_bucket(gw, "small", small_keys())
    for check in (killed, flipped, zeroed, renamed, not_a_store,
                  deleted_in_use, deleted_at_once, overwritten_in_use):
        case(check.__name__.replace("_", " "), check, gw)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
