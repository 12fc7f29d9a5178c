#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trees of odd shapes as every tool sees them, over http; mounts that share
their store; and users who do not."""
import os
import random
import stat
import tempfile
import threading
import time

import names
from files import (FULL, NOBODY, Bucket, UserMount, case, finish, mount,
                   mounted, ordinary_fuse)
from harness import DIR, need_fuse, run
from names import compare, find
from test_names_change import Mutators, check_names

DEEP = 200
MANY = 3000


def by_walk(top):
    found = {}

    def raise_it(e):
        raise e
    for folder, folders, files in os.walk(top, onerror=raise_it):
        for n in folders + files:
            path = os.path.join(folder, n)
            s = os.lstat(path)
            rel = path[len(top) + 1:]
            assert rel not in found, "twice: " + rel
            found[rel] = None if stat.S_ISDIR(s.st_mode) else s.st_size
    return found


def by_plain_find(top):
    """find without stat: kinds as the listing tells them."""
    out = run(["find", top, "-mindepth", "1", "(", "-type", "d", "-printf",
               "d%P\\0", ")", "-o", "-printf", "f%P\\0"]).stdout
    return [os.fsdecode(n) for n in out.split(b"\0")[:-1]]


def by_du(top):
    out = run(["du", "-a", "-0", "--apparent-size", "-b", top]).stdout
    rows = [os.fsdecode(l).split("\t", 1) for l in out.split(b"\0")[:-1]]
    return {p[len(top) + 1:]: int(n) for n, p in rows if p != top}


def by_ls_lr(top):
    out = os.fsdecode(run(["ls", "-lRA", "--time-style=+T", top]).stdout)
    found, folder = {}, None
    for line in out.split("\n"):
        if line.startswith(top) and line.endswith(":"):
            folder = line[len(top) + 1:-1]
        elif line[:1] in ("-", "d"):
            fields = line.split(None, 6)
            name = (folder + "/" if folder else "") + fields[6]
            assert name not in found, "twice: " + name
            found[name] = None if line[0] == "d" else int(fields[4])
    return found


def by_rsync(top):
    out = run(["rsync", "-rn", "--out-format=%l %n", top + "/",
               tempfile.mkdtemp(dir=DIR)]).stdout
    found = {}
    for line in os.fsdecode(out).split("\n")[:-1]:
        size, name = line.split(" ", 1)
        if name != "./":
            found[name.rstrip("/")] = None if name.endswith("/") else \
                int(size)
    return found


def all_tools(m, want, bad, what):
    """Each tool on this mount; what they disagree about is noted."""
    for tool in (find, by_walk, by_ls_lr, by_rsync):
        try:
            compare(tool(m.path), want, "%s, %s" % (what, tool.__name__))
        except AssertionError as e:
            bad.append(str(e)[:300])
    try:
        got = by_plain_find(m.path)
        assert sorted(got) == sorted(
            ("d" if v is None else "f") + k for k, v in want.items()), \
            "%s, find: %d names of %d" % (what, len(got), len(want))
    except AssertionError as e:
        bad.append(str(e)[:300])
    try:
        got = by_du(m.path)
        assert set(got) == set(want), "%s, du: %d of %d" % (
            what, len(got), len(want))
        wrong = [k for k, v in want.items() if v is not None and got[k] != v]
        assert not wrong, "%s, du: %s" % (what, wrong[:3])
    except AssertionError as e:
        bad.append(str(e)[:300])


def check_shape(gw, name, keys, put=False):
    if put:
        bucket = Bucket(gw, name)
        for key, size in keys.items():
            bucket.put(key, b"x" * size)
    else:
        names.make_bucket(gw, name, keys)
    want, bad = names.tree(keys), []
    with mounted(gw, "s3://" + name, mode="http") as m:
        all_tools(m, want, bad, "one mount")
    # Each tool as the first one, too.
    for tool in (by_du, by_plain_find, by_walk) if FULL or put else (by_du,):
        with mounted(gw, "s3://" + name, mode="http") as m:
            try:
                got = tool(m.path)
                if isinstance(got, dict):
                    got = list(got)
                else:
                    got = [n[1:] for n in got]
                assert sorted(got) == sorted(want), "%d of %d" % (
                    len(got), len(want))
            except AssertionError as e:
                bad.append("cold %s: %s" % (tool.__name__, str(e)[:200]))
    assert not bad, "%d: %s" % (len(bad), bad[:4])


def deep(gw):
    keys = {"/".join("%d" % (i % 10) for i in range(n)) + "/file": n
            for n in range(1, DEEP)}
    check_shape(gw, "deep", keys)


def thin(gw):
    check_shape(gw, "thin", {"d%05d/only" % i: i % 99 for i in range(MANY)})


def thin_below(gw):
    check_shape(gw, "below", {"p/%03d/q/r/%d" % (i, j): i + j
                              for i in range(300) for j in range(3)})


def markers(gw):
    keys = {"empty%02d/" % i: 0 for i in range(40)}
    keys.update({"full%02d/" % i: 0 for i in range(20)})
    keys.update({"full%02d/x" % i: 3 for i in range(20)})
    keys.update({"in/a/": 0, "in/a/b/": 0, "in/c": 1, "zz/": 0})
    check_shape(gw, "markers", keys, put=True)


def beside(gw):
    keys = {"a": 3, "a/b": 4, "a-": 1, "a.b": 2, "a0": 5, "b": 1, "b/": 0,
            "c/d": 1, "c/d/e": 2, "c/d/e/f": 3, "c/d-": 4, "plain": 11}
    check_shape(gw, "beside", keys, put=True)


def uneven(gw):
    """Some large directories among many small ones, which a walk lists
    ahead in batches."""
    rng = random.Random(5)
    keys = {}
    for d in range(150):
        n = 1 if rng.random() < 0.8 else rng.randrange(300)
        keys.update({"w/%03d/%05d" % (d, i): (d + i) % 50 for i in range(n)})
        if d % 7 == 0:
            keys.update({"w/%03d/sub%d/s%d/t" % (d, i, i): i
                         for i in range(5)})
    keys.update({"w/070-/%05d" % i: 1 for i in range(2500)})
    keys.update({"w/file%04d" % i: 2 for i in range(1200)})
    check_shape(gw, "uneven", keys)


# Sharing ----------------------------------------------------------------------

def shared_store(gw):
    """Two mounts with one store, both listing and walking, while somebody
    writes to the bucket."""
    keys = {"t/%02d/%d/f%02d" % (a, b, c): 1 for a in range(12)
            for b in range(4) for c in range(6)}
    keys.update({"flat/%04d" % i: 2 for i in range(2500)})
    names.make_bucket(gw, "shared", keys)
    tree = names.tree(keys)
    want = set(tree)
    folder = tempfile.mkdtemp(prefix="shared-", dir=DIR)
    keep = dict(metadata__path=folder, metadata__ttl="400ms")
    places = ["flat/%04d" % i for i in range(0, 2500, 50)] + \
        ["t/%02d" % i for i in range(15)] + ["t/05/2", "t/07/f", "x"]
    a, b = (mount(gw, "s3://shared", **keep) for _ in range(2))
    wrong, passes = [], [0, 0, 0, 0]
    with Mutators(gw, "shared", places, threads=2) as others:
        end = time.monotonic() + (60 if FULL else 6)

        def read(m, number):
            while time.monotonic() < end and not wrong:
                try:
                    if number < 2:
                        out = run(["find", m.path, "-mindepth", "1",
                                   "-printf", "%P\\0"], check=False).stdout
                        got = [os.fsdecode(n)
                               for n in out.split(b"\0")[:-1]]
                        check_names(got, want, "find, mount %d" % number)
                    else:
                        got = [e.name for e in os.scandir(m.file("flat"))]
                        check_names(got, {n[5:] for n in want
                                          if n.startswith("flat/")},
                                    "scandir, mount %d" % (number - 2))
                    passes[number] += 1
                except Exception as e:
                    wrong.append(str(e))
        threads = [threading.Thread(target=read, args=t) for t in (
            (a, 0), (b, 1), (a, 2), (b, 3))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    if wrong:
        a.unmount()
        b.unmount()
    assert not wrong and not others.errors, (wrong, others.errors)
    assert min(passes) >= 1, passes
    # Still, and of what is there now.
    now = {}
    top = os.path.join(gw.root, "shared")
    client = gw.client().get_paginator("list_objects_v2")
    for p in client.paginate(Bucket="shared"):
        now.update({o["Key"]: o["Size"] for o in p.get("Contents", ())})
    time.sleep(0.5)
    for m in (a, b, a):
        got = find(m.path)
        compare(got, names.tree(now), "at rest")
    assert top
    a.unmount()
    compare(find(b.path), names.tree(now), "alone")
    b.unmount()
    names.store_of(folder)
    return "%s passes, %d changes" % (passes, others.done)


def users(gw):
    """A store is its owner's alone, whoever made the folder."""
    names.make_bucket(gw, "secret", {"a/top-secret-name": 1, "b": 2})
    home = tempfile.mkdtemp(prefix="home-", dir=DIR)
    mine = os.path.join(home, "made", "by", "mount")
    with mounted(gw, "s3://secret", metadata__path=mine) as m:
        find(m.path)
        files = [os.path.join(mine, f) for f in os.listdir(mine)]
        assert len(files) >= 1
        assert stat.S_IMODE(os.stat(mine).st_mode) == 0o700, \
            oct(os.stat(mine).st_mode)
        for f in files:
            assert stat.S_IMODE(os.stat(f).st_mode) == 0o600, (
                f, oct(os.stat(f).st_mode))
        for cmd in (["ls", mine], ["cat", files[0]]):
            assert run(NOBODY + cmd, check=False).returncode, cmd
    # Another user, told to use root's folder, may not and does without.
    u = UserMount("s3://secret", gw.url, opts={"metadata.path": mine})
    u.allow += ["cannot keep names"]
    u.start()
    assert "b" in u.run("ls", u.path).stdout.decode().split()
    u.unmount()
    assert "cannot keep names" in u.text(), u.text()
    # His own, at the default place, below his home.
    his = tempfile.mkdtemp(prefix="his-", dir=DIR)
    os.chown(his, 65534, 65534)
    u = UserMount("s3://secret", gw.url, opts={"metadata.path": "auto"},
                  env={"HOME": his, "XDG_CACHE_HOME": ""})
    del u.env["XDG_CACHE_HOME"]
    u.start()
    assert u.run("find", u.path).stdout.count(b"\n") == 4
    folder = os.path.join(his, ".cache", "s3rdmafs")
    s = os.stat(folder)
    assert stat.S_IMODE(s.st_mode) == 0o700 and s.st_uid == 65534, s
    for f in os.listdir(folder):
        s = os.stat(os.path.join(folder, f))
        assert stat.S_IMODE(s.st_mode) == 0o600 and s.st_uid == 65534, (f, s)
    u.unmount()
    # A folder that others may write to is not trusted.
    loose = tempfile.mkdtemp(dir=DIR)
    os.chmod(loose, 0o777)
    m = mount(gw, "s3://secret", allow=["cannot keep names"],
              metadata__path=loose)
    find(m.path)
    m.unmount()
    assert not os.listdir(loose), os.listdir(loose)
    # A link in its place is not followed.
    trap = tempfile.mkdtemp(dir=DIR)
    target = os.path.join(DIR, "target")
    with open(target, "w") as f:
        f.write("precious")
    os.symlink(target, os.path.join(trap, os.path.basename(
        names.store_of(mine))))
    m = mount(gw, "s3://secret", allow=["metadata:"], metadata__path=trap)
    find(m.path)
    m.unmount()
    assert open(target).read() == "precious"


def main():
    need_fuse()
    ordinary_fuse()
    gw = names.Logged().start()
    for check in (deep, thin, thin_below, markers, beside, uneven,
                  shared_store, users):
        case(check.__name__.replace("_", " "), check, gw)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
