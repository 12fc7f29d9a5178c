#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other clients write while a mount lists: a key that none of them touches is
shown once by every listing, and what they changed is believed no longer than
the ttl says."""
import errno
import itertools
import os
import random
import tempfile
import threading
import time

import names
from files import (FULL, Bucket, case, compile_c, error_name, finish, mounted)
from harness import DIR, SLOW, need_fuse, pattern, run, wait_for
from names import GONE, compare, find

COUNT = 20000
SECONDS = 60 if FULL else 8


# Listings while others write --------------------------------------------------

class Mutators:
    """Threads that add, delete, rename and turn keys of a bucket around, on
    all sides of the untouched ones."""

    def __init__(self, gw, bucket, places, threads=3):
        self.stop, self.done, self.errors = threading.Event(), 0, []
        self.args = gw, bucket, places
        self.threads = [threading.Thread(target=self._run, args=(i,))
                        for i in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *args):
        self.stop.set()
        for t in self.threads:
            t.join()

    def _run(self, number):
        gw, name, places = self.args
        bucket, rng = Bucket(gw, name, create=False), random.Random(number)
        mine = []
        try:
            while not self.stop.is_set():
                how = rng.randrange(4)
                if how == 0 or len(mine) < 20:
                    key = "%s~%d-%d" % (rng.choice(places), number, self.done)
                    if rng.random() < 0.2:
                        key += "/sub"
                    bucket.put(key)
                    mine.append(key)
                else:
                    old = mine.pop(rng.randrange(len(mine)))
                    if how == 1:    # deleted
                        bucket.delete(old)
                    elif how == 2:  # renamed, to any other place
                        key = "%s~%d-%d" % (rng.choice(places), number,
                                            self.done)
                        bucket.put(key)
                        bucket.delete(old)
                        mine.append(key)
                    else:           # a file becomes a directory, or back
                        key = old[:-4] if old.endswith("/sub") \
                            else old + "/sub"
                        bucket.delete(old)
                        bucket.put(key)
                        mine.append(key)
                self.done += 1
        except Exception as e:
            self.errors.append(repr(e))


def check_names(got, want, what):
    got = [n for n in got if n not in (".", "..")]
    seen = set(got)
    missing = want - seen
    assert not missing, "%s: %d untouched names missing, as %s" % (
        what, len(missing), sorted(missing)[:3])
    if len(got) != len(seen):
        twice = sorted({n for n in got if got.count(n) > 1} if len(got) < 100
                       else {a for a, b in itertools.pairwise(sorted(got))
                             if a == b})
        raise AssertionError("%s: twice: %s" % (what, twice[:4]))


def by_scandir(path):
    return [e.name for e in os.scandir(path)]


def by_ls(path):
    return run(["ls", "-f", path]).stdout.decode().split("\n")[:-1]


def flat_while_written(gw):
    """One large directory, whose listing is cut into ranges."""
    program = compile_c("seekdir.c")
    rng = random.Random(7)
    stems = ["%02x%05d" % (i * 7 % 256, i) for i in range(COUNT)]
    names.make_bucket(gw, "flat", {"d/" + n: 1 for n in stems})
    want, seed = set(stems), itertools.count()

    def by_seek(path):
        r = run([program, path, str(next(seed)), "30"], check=False)
        assert r.returncode == 0, "seekdir: %s" % r.stderr.decode()[:500]
        return [os.fsdecode(n) for n in r.stdout.split(b"\0")[:-1]]
    wrong, passes = [], [0, 0, 0]
    places = ["d/" + rng.choice(stems) for _ in range(200)] + \
        ["d/" + p for p in ("!", "0", "7f", "80", "a", "f", "zz")]
    with mounted(gw, "s3://flat", metadata__ttl="300ms") as m, \
            Mutators(gw, "flat", places) as others:
        end = time.monotonic() + SECONDS

        def read(how, number):
            while time.monotonic() < end and not wrong:
                try:
                    check_names(how(m.file("d")), want, how.__name__)
                    passes[number] += 1
                except Exception as e:
                    wrong.append(str(e))
        threads = [threading.Thread(target=read, args=a) for a in (
            (by_scandir, 0), (by_ls, 1), (by_seek, 2), (by_scandir, 0))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not others.errors, others.errors
    assert not wrong, wrong[0]
    assert min(passes) >= 2 and others.done > 100, (passes, others.done)
    return "%s listings, %d changes" % (passes, others.done)


def tree_while_written(gw):
    """A walk, which lists many directories at a time ahead of itself."""
    keys = {"t/%03d/%02d/f%d" % (a, b, c): 2
            for a in range(40) for b in range(6) for c in range(5)}
    names.make_bucket(gw, "walk", keys)
    want = set(names.tree(keys))
    rng = random.Random(9)
    places = [rng.choice(list(keys)) for _ in range(60)] + \
        ["t/%03d/%02d" % (rng.randrange(40), b) for b in range(6)] + \
        ["t/%03d" % rng.randrange(50) for _ in range(30)] + ["s", "u"]
    passes, wrong = 0, None
    with mounted(gw, "s3://walk", metadata__ttl="300ms") as m, \
            Mutators(gw, "walk", places) as others:
        end = time.monotonic() + SECONDS / 2
        while time.monotonic() < end and not wrong:
            # What was deleted meanwhile is said by find, and is no harm.
            out = run(["find", m.path, "-mindepth", "1", "-printf",
                       "%P\\0"], check=False).stdout.split(b"\0")[:-1]
            try:
                check_names([os.fsdecode(n) for n in out], want, "find")
                passes += 1
            except AssertionError as e:
                wrong = str(e)
    assert not others.errors, others.errors
    assert not wrong, wrong
    assert passes and others.done > 100, (passes, others.done)
    return "%d walks, %d changes" % (passes, others.done)


def beside_keys():
    """`b` beside `b/in`, with thousands of names between the two, which lie
    in other pages and ranges; and some that are neighbours."""
    keys = {"d/b": 5, "d/b/in": 6}
    for c in "-.!":
        keys.update({"d/b%s%05d" % (c, i): 1 for i in range(2500)})
    keys.update({"d/%s%04d" % (c, i): 1 for i in range(300) for c in "acz"})
    for i in range(0, 300, 50):
        keys.update({"d/c%04d/x" % i: 1, "d/c%04d" % i: 4})
    return keys


def beside_over_ranges(gw):
    """`x` beside `x/y` is one directory, in each kind of listing, cold and
    warm."""
    keys = beside_keys()
    bucket = Bucket(gw, "beside")
    for key, size in keys.items():
        bucket.put(key, b"x" * size)
    want = names.tree({k[2:]: v for k, v in keys.items()})
    top = {k: v is None for k, v in want.items() if "/" not in k}
    wrong = []
    with mounted(gw, "s3://beside") as m:
        for what in ("cold", "warm"):
            got = [(e.name, e.is_dir()) for e in os.scandir(m.file("d"))]
            seen = dict(got)
            bad = sorted(k for k in top if seen.get(k) != top[k])
            if len(got) != len(seen) or set(seen) != set(top) or bad:
                wrong.append("%s: %d twice, wrong kind %s, %d of %d" % (
                    what, len(got) - len(seen), bad, len(seen), len(top)))
    for cmd in (["find"], ["du", "-a"]):
        with mounted(gw, "s3://beside") as m:
            for what in ("cold", "warm"):
                r = run(cmd + [m.file("d")], check=False)
                lines = r.stdout.count(b"\n")
                if r.returncode or lines != len(want) + 1:
                    wrong.append("%s %s: exit %d, %d lines of %d" % (
                        what, cmd[0], r.returncode, lines, len(want) + 1))
    assert not wrong, "; ".join(wrong)


def gains_a_directory(gw):
    """A file that stays, beside which a directory comes to be."""
    bucket = Bucket(gw, "gains")
    for i in range(10):
        bucket.put("g/f%d" % i, b"abc")
    with mounted(gw, "s3://gains", metadata__ttl="1s") as m:
        assert len([e for e in os.scandir(m.file("g")) if e.is_file()]) == 10
        for i in range(0, 10, 2):
            bucket.put("g/f%d/in" % i, b"x")
        time.sleep(1.1)
        for _ in range(3):
            kinds = {e.name: e.is_dir() for e in os.scandir(m.file("g"))}
            bad = [n for n in kinds if kinds[n] != (int(n[1:]) % 2 == 0)]
            assert not bad and len(kinds) == 10, "wrong kind: %s" % bad
            for i in range(0, 10, 2):
                assert os.listdir(m.file("g/f%d" % i)) == ["in"]
            time.sleep(0.6)


# Wrong entries ------------------------------------------------------------------

KINDS = {"gone": 3000, "replaced": 4000, "grown": 100, "todir": 7,
         "fromdir/in": 9, "fromdir/deep/in": 9, "stays": 5000,
         "dirgone/a": 1, "dirgone/b/c": 1}
AFTER = {"replaced": 4000, "grown": 70000, "todir/x": 1, "fromdir": 11, "stays": 5000, "new": 12,
         "newdir/x": 13}


def seed_of(key, version):
    return (sum(map(ord, key)) + version * 7919) << 32


def put(bucket, top, keys, version):
    for key, size in keys.items():
        if key != "stays" or version == 0:
            bucket.fill(top + key, seed_of(key, version), size)


def change(bucket, top):
    """Another client has other ideas."""
    for key in KINDS:
        if key != "stays" and key not in AFTER:
            bucket.delete(top + key)
    put(bucket, top, AFTER, 1)


def look(top, want):
    """The tree by listing and by names; then every file's bytes."""
    got = find(top)
    compare(got, want, "listed")
    for name in want:
        s = os.lstat(os.path.join(top, name))
        assert (want[name] is None) == bool(s.st_mode & 0o040000), name
        assert want[name] is None or s.st_size == want[name], name


def check_bytes(top, keys, version):
    for key, size in keys.items():
        v = 0 if key == "stays" else version
        with open(os.path.join(top, key), "rb") as f:
            data = f.read()
        assert data == pattern(seed_of(key, v), 0, size), \
            "WRONG BYTES in " + key


def corrected_within_ttl(gw):
    """All that was known of a bucket is wrong: as soon as the ttl is over no
    trace of it is left, whether it stood in memory, in the kernel or in the
    store."""
    ttl = 3.0 * SLOW
    bucket = Bucket(gw, "stale")
    keep = dict(metadata__ttl="%dms" % (ttl * 1000),
                metadata__negative_ttl="500ms",
                metadata__path=tempfile.mkdtemp(dir=DIR))
    for top in ("mem/", "store/"):
        put(bucket, top, KINDS, 0)
    with mounted(gw, "s3://stale", **keep) as m:
        for top in ("mem/", "store/"):
            look(m.file(top), names.tree(KINDS))
            check_bytes(m.file(top), KINDS, 0)
    with mounted(gw, "s3://stale", **keep) as m:
        look(m.file("mem/"), names.tree(KINDS))
        for name in ("new", "newdir"):
            assert error_name(os.stat, m.file("mem/" + name)) == "ENOENT"
        for top in ("mem/", "store/"):
            change(bucket, top)
        changed = time.monotonic()
        time.sleep(max(0, changed + ttl + 0.1 - time.monotonic()))
        for top in ("mem/", "store/"):
            look(m.file(top), names.tree(AFTER))
            check_bytes(m.file(top), AFTER, 1)


def known_by_name_alone(gw):
    """The same of names that no listing has told."""
    ttl = 2.0 * SLOW
    bucket = Bucket(gw, "named")
    put(bucket, "n/", KINDS, 0)
    with mounted(gw, "s3://named", metadata__ttl="%dms" % (ttl * 1000),
                 metadata__negative_ttl="500ms") as m:
        for name, size in names.tree(KINDS).items():
            s = os.stat(m.file("n/" + name))
            assert size is None or s.st_size == size, name
        change(bucket, "n/")
        time.sleep(ttl + 0.1)
        want = names.tree(AFTER)
        for name in sorted(set(want) | set(names.tree(KINDS))):
            got = error_name(os.stat, m.file("n/" + name))
            if name in want:
                assert not isinstance(got, str), (name, got)
                assert bool(got.st_mode & 0o040000) == \
                    (want[name] is None), name
                assert want[name] in (None, got.st_size), name
            else:
                assert got in ("ENOENT", "ENOTDIR"), (name, got)
        check_bytes(m.file("n"), AFTER, 1)


def for_ever(gw):
    """What is believed for ever stays, right or wrong; but bytes are those of
    the version that is shown, or an error."""
    bucket = Bucket(gw, "ever")
    for top in ("datasets/", "live/"):
        put(bucket, top, KINDS, 0)
    keep = dict(metadata__ttl="500ms", metadata__negative_ttl="500ms",
                metadata__path=tempfile.mkdtemp(dir=DIR),
                metadata__rules="datasets:forever")
    with mounted(gw, "s3://ever", **keep) as m:
        for top in ("datasets/", "live/"):
            look(m.file(top), names.tree(KINDS))
    for top in ("datasets/", "live/"):
        change(bucket, top)
    for _ in range(2):
        with mounted(gw, "s3://ever", allow=["changed", "412", "404"],
                     **keep) as m:
            time.sleep(0.6)
            look(m.file("live/"), names.tree(AFTER))
            look(m.file("datasets/"), names.tree(KINDS))
            for key, size in KINDS.items():
                try:
                    with open(m.file("datasets/" + key), "rb") as f:
                        data = f.read()
                except OSError as e:
                    got = errno.errorcode[e.errno]
                    assert got in GONE, (key, got)
                    assert key != "stays", got
                else:
                    assert data == pattern(seed_of(key, 0), 0, size), \
                        "WRONG BYTES in " + key
            look(m.file("datasets/"), names.tree(KINDS))


def refreshed_under_a_snapshot(gw):
    """What `refresh` of one path has put right stays so when what is known of
    single names is over: by listing and by name, replaced, gone and new."""
    ttl = 1.0 * SLOW
    bucket = Bucket(gw, "frozen")
    put(bucket, "d/", KINDS, 0)
    with mounted(gw, "s3://frozen", metadata__ttl="%dms" % (ttl * 1000),
                 metadata__negative_ttl="200ms") as m:
        m.ctl("snapshot", "d")
        look(m.file("d"), names.tree(KINDS))
        change(bucket, "d/")
        look(m.file("d"), names.tree(KINDS))
        for name in sorted({k.partition("/")[0] for k in [*KINDS, *AFTER]}):
            try:
                m.ctl("refresh", "d/" + name)
            except Exception as e:
                assert name in ("gone", "dirgone"), (name, e)
        for _ in range(2):
            look(m.file("d"), names.tree(AFTER))
            for name in ("gone", "dirgone"):
                assert error_name(os.stat, m.file("d/" + name)) == "ENOENT"
            check_bytes(m.file("d"), AFTER, 1)
            time.sleep(ttl + 0.3)


def open_file_is_replaced(gw):
    """Who has a file open reads the version that he opened, or an error;
    who opens it anew reads the new one or, within the ttl, an error."""
    bucket = Bucket(gw, "opened")
    size = 9 << 20
    bucket.fill("f", seed_of("f", 0), size)
    with mounted(gw, "s3://opened", metadata__ttl="1s",
                 allow=["changed", "412"]) as m:
        fd = os.open(m.file("f"), os.O_RDONLY)
        assert os.pread(fd, 4096, 0) == pattern(seed_of("f", 0), 0, 4096)
        bucket.fill("f", seed_of("f", 1), size)
        for off in range(0, size, 1 << 20):
            try:
                data = os.pread(fd, 4096, off)
            except OSError as e:
                got = errno.errorcode[e.errno]
                assert got in GONE, got
            else:
                assert data == pattern(seed_of("f", 0), off, 4096), \
                    "WRONG BYTES at %d" % off
        os.close(fd)

        def new():
            try:
                with open(m.file("f"), "rb") as f:
                    data = f.read()
            except OSError:
                return False
            assert data == pattern(seed_of("f", 1), 0, size), "WRONG BYTES"
            return True
        wait_for("the new version", new, 10)


CASES = [flat_while_written, tree_while_written, beside_over_ranges,
         gains_a_directory,          corrected_within_ttl, known_by_name_alone, for_ever,
         refreshed_under_a_snapshot, open_file_is_replaced]


def main():
    need_fuse()
    slow = names.Logged(faults=["list:delay=5"]).start()
    for check in CASES:
        case(check.__name__.replace("_", " "), check, slow)
    slow.stop()
    finish()


if __name__ == "__main__":
    main()
