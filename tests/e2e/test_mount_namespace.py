#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tree that a mount shows over the flat keys of buckets, and what may be
asked of its entries: names, kinds, attributes, errors, users."""
import codecs
import os
import random
import re
import stat
import threading
import time

import harness
from files import (NOBODY, Bucket, UserMount, case, compile_c, error_name,
                   finish, is_mounted, mount, mounted, note_skip,
                   ordinary_fuse, randread, randread_result)
from harness import Gateway, Mount, need_fuse, run, wait_for

MANY = 3000
LONG = "/".join(["k" * 255] * 3 + ["m" * 254, "z"])  # a key of 1024 bytes
NAMES = ["new\nline", "t\u00e4b\t", "\u65e5\u672c/\u8a9e \U0001f9ca", "a b+c%d",
         "%41", "-x", "back\\slash", "qu\"o'te", "dot./..x/...", "\u00e9" * 127]

# Keys of the bucket `main`, and the tree they make: a name with its size, or
# None for a directory.  Where `a` and `a/...` both are, the directory is shown.
KEYS = {
    "a": 3, "a/b": 4, "a-": 1, "a.b": 2, "a0": 5, "plain": 11,
    "deep/er/still/x": 6, "marked/": 0, "marked/f": 7, "only/": 0,
    "fat/": 9, "fat/f": 1, "both": 1, "both/": 0, LONG: 8,
    "p/r/e/in": 21, "p/r/e/sub/in2": 22, "p/r/extra": 23,
    # Names that no directory can hold are not shown.
    "odd/good": 10, "odd//empty": 1, "odd/./dot": 1, "odd/../dotdot": 1,
    "odd/%s/f" % ("L" * 256): 1, "odd/" + "M" * 300: 1, "odd/sub//x": 1,
    "//": 1, "/lead": 1,
}
KEYS.update({"names/" + n: i for i, n in enumerate(NAMES)})


def holdable(part):
    return part not in ("", ".", "..") and len(part.encode()) <= 255


def tree(keys):
    """The model: path -> size, None for a directory."""
    found = {}
    for key, size in keys.items():
        folders, name = key.split("/")[:-1], key.split("/")[-1]
        for i in range(len(folders)):
            if not holdable(folders[i]):
                break
            found["/".join(folders[:i + 1])] = None
        else:
            if name and holdable(name):
                found.setdefault(key, size)
    return found


def walk(top):
    found = {}
    for folder, folders, names in os.walk(top, onerror=raise_it):
        for n in folders + names:
            path = os.path.join(folder, n)
            s = os.lstat(path)
            rel = os.path.relpath(path, top)
            assert rel not in found, "twice: " + rel
            found[rel] = None if stat.S_ISDIR(s.st_mode) else s.st_size
    return found


def raise_it(e):
    raise e


def compare(got, want):
    missing = sorted(set(want) - set(got))
    extra = sorted(set(got) - set(want))
    other = sorted(k for k in set(got) & set(want) if got[k] != want[k])
    assert got == want, "missing %s, extra %s, differing %s" % (
        missing[:5], extra[:5], [(k, got[k], want[k]) for k in other[:5]])


def populate(gw):
    bucket = Bucket(gw, "main")
    for key, size in KEYS.items():
        bucket.put(key, b"x" * size)
    other = Bucket(gw, "other")
    other.put("hello", b"hello")
    Bucket(gw, "empty")
    many = Bucket(gw, "many")
    for i in range(MANY):
        many.put("d/%05d%s" % (i, "/f" if i % 3 == 0 else ""), b"y" * (i % 9))


# Sources, kinds and rules -----------------------------------------------------

def all_buckets(gw):
    with mounted(gw, "s3://") as m:
        assert sorted(os.listdir(m.path)) == ["empty", "main", "many",
                                              "other"]
        assert all(os.path.isdir(m.file(b)) for b in os.listdir(m.path))
        with open(m.file("other/hello")) as f:
            assert f.read() == "hello"
        assert os.listdir(m.file("empty")) == []
        assert error_name(os.stat, m.file("nosuch")) == "ENOENT"
        compare(walk(m.file("main")), tree(KEYS))


def one_bucket(gw):
    with mounted(gw, "s3://main") as m:
        compare(walk(m.path), tree(KEYS))


def with_prefix(gw):
    for source in ("s3://main/p/r/e", "s3://main/p/r/e/"):
        with mounted(gw, source) as m:
            compare(walk(m.path), {"in": 21, "sub": None, "sub/in2": 22})


def by_name_only(gw):
    """Each entry by stat alone, in random order, on a mount that never
    listed anything."""
    model = list(tree(KEYS).items())
    random.Random(3).shuffle(model)
    with mounted(gw, "s3://main") as m:
        for name, size in model:
            s = os.lstat(m.file(name))
            assert stat.S_ISDIR(s.st_mode) == (size is None), name
            assert size is None or s.st_size == size, name
        for name in ("odd/" + "M" * 300, "odd/" + "L" * 256 + "/f"):
            got = error_name(os.stat, m.file(name))
            assert got in ("ENAMETOOLONG", "ENOENT"), got


def ask_stat(m):
    assert os.path.isdir(m.file("a")), "`a` is not the directory"


def ask_list(m):
    names = os.listdir(m.path)
    assert names.count("a") == 1, names
    kinds = {e.name: e.is_dir() for e in os.scandir(m.path)}
    assert kinds["a"] and kinds["both"] and not kinds["a-"]


def ask_inside(m):
    assert os.listdir(m.file("a")) == ["b"]
    with open(m.file("a/b")) as f:
        assert len(f.read()) == 4


def ask_open(m):
    got = error_name(lambda: open(m.file("a"), "rb"))
    assert got == "EISDIR", got


def beside(gw):
    """`a` beside `a/b`, whatever is asked first."""
    asks = [ask_stat, ask_list, ask_inside, ask_open]
    for first in range(4):
        with mounted(gw, "s3://main") as m:
            for ask in asks[first:] + asks[:first] + asks[::-1]:
                ask(m)


def inodes(gw):
    """stat and readdir agree on the number, and it stays."""
    with mounted(gw, "s3://main") as m:
        for _ in range(2):
            for e in os.scandir(m.path):
                assert e.inode() == os.lstat(e.path).st_ino, e.name
        numbers = [os.lstat(m.file(n)).st_ino for n in tree(KEYS)]
        assert len(set(numbers)) == len(numbers), "a number twice"


def times(gw):
    """The time of an object is its Last-Modified."""
    with mounted(gw, "s3://other") as m:
        when = gw.client().head_object(Bucket="other", Key="hello")
        s = os.stat(m.file("hello"))
        assert int(s.st_mtime) == int(when["LastModified"].timestamp())


def many_entries(gw):
    """More than two pages, as ls -lR tells them."""
    with mounted(gw, "s3://many") as m:
        names = os.listdir(m.file("d"))
        assert len(names) == len(set(names)) == MANY, "%d, %d of them unique" \
            % (len(names), len(set(names)))
        want = tree({"d/%05d%s" % (i, "/f" if i % 3 == 0 else ""): i % 9
                     for i in range(MANY)})
        compare(ls_lr(m.path), want)


def unquoted(text):
    """A name as ls -Q writes it."""
    return os.fsdecode(codecs.escape_decode(text.encode()[1:-1])[0])


def ls_lr(top):
    out = run(["ls", "-lRAQ", "--time-style=+T", top]).stdout.decode()
    found, folder = {}, ""
    for line in out.splitlines():
        if line.startswith('"'):
            folder = os.path.relpath(unquoted(line[:-1]), top)
        match = re.match(r'([-d])\S+\s+\d+ \S+ \S+\s+(\d+) T (".*")$', line)
        if match:
            name = os.path.normpath(os.path.join(
                folder, unquoted(match.group(3))))
            assert name not in found, "twice: " + name
            found[name] = int(match.group(2)) if line[0] == "-" else None
    return found


def names_by_ls(gw):
    with mounted(gw, "s3://main") as m:
        compare(ls_lr(m.path), tree(KEYS))


def seek_in_directory(gw):
    """A directory read in small steps by several at once, with rewinds."""
    with mounted(gw, "s3://many") as m:
        wrong = []

        def read():
            names = [e.name for e in os.scandir(m.file("d"))]
            if len(names) != MANY or len(set(names)) != MANY:
                wrong.append(len(names))
        threads = [threading.Thread(target=read) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong, wrong


def grows(gw):
    """Entries that were there are seen exactly once by each listing while
    others are being added before, between and after them."""
    bucket, stop, added = Bucket(gw, "grow"), threading.Event(), [0]
    old = {"m%04d" % i for i in range(1200)}
    for name in old:
        bucket.put("d/" + name)

    def add():
        while not stop.is_set() and added[0] < 2000:
            bucket.put("d/%s%04d" % ("amz"[added[0] % 3], 5000 + added[0]))
            added[0] += 1
    with mounted(gw, "s3://grow", metadata__ttl="1s") as m:
        t = threading.Thread(target=add)
        t.start()
        for _ in range(6):
            seen = [e.name for e in os.scandir(m.file("d"))]
            assert len(seen) == len(set(seen)), "an entry twice"
            assert old <= set(seen), "%d missing" % len(old - set(seen))
            time.sleep(0.25)
        stop.set()
        t.join()
        wait_for("all entries", lambda: len(os.listdir(m.file("d"))) ==
                 len(old) + added[0], 15)
    return "%d added meanwhile" % added[0]


def negative(gw):
    """A missing name costs a request now and then, not each time; and is
    found soon after it came to be."""
    bucket = Bucket(gw, "main", create=False)
    with mounted(gw, "s3://main", metadata__negative_ttl="2s") as m:
        before = m.stats()["requests"]
        for _ in range(200):
            assert error_name(os.stat, m.file("deep/missing")) == "ENOENT"
            assert error_name(os.stat, m.file("no/such/folder")) == "ENOENT"
        after = m.stats()["requests"]
        cost = sum(after[k] - before[k] for k in ("head", "list"))
        assert cost <= 30, "%d requests for 400 look-ups" % cost
        bucket.put("deep/missing", b"now")
        wait_for("the new object", lambda: os.path.exists(
            m.file("deep/missing")), 10)
        bucket.delete("deep/missing")
    return "%d requests for 400 look-ups" % cost


def not_a_directory(gw):
    with mounted(gw, "s3://main") as m:
        got = error_name(os.stat, m.file("plain/x"))
        assert got == "ENOTDIR", got
        assert error_name(os.listdir, m.file("plain")) == "ENOTDIR"
        assert error_name(os.readlink, m.file("plain")) == "EINVAL"
        got = error_name(os.stat, m.file("n" * 256))
        assert got == "ENAMETOOLONG", got
        deep = "/".join(["d" * 250] * 5)  # longer than any key can be
        got = error_name(os.stat, m.file(deep))
        assert got in ("ENAMETOOLONG", "ENOENT"), got


# Read-only --------------------------------------------------------------------

def writes(f, d, new):
    """Every way to write: to a file, a directory and a name not there."""
    yield "open to write", lambda: os.open(f, os.O_WRONLY)
    yield "open to read and write", lambda: os.open(f, os.O_RDWR)
    yield "open to append", lambda: os.open(f, os.O_WRONLY | os.O_APPEND)
    yield "open and truncate", lambda: os.open(f, os.O_RDONLY | os.O_TRUNC)
    yield "create", lambda: os.open(new, os.O_CREAT | os.O_WRONLY)
    yield "create, exclusive", lambda: os.open(new, os.O_CREAT | os.O_EXCL)
    yield "mkdir", lambda: os.mkdir(new)
    yield "rmdir", lambda: os.rmdir(d)
    yield "unlink", lambda: os.unlink(f)
    yield "rename", lambda: os.rename(f, new)
    yield "rename of a directory", lambda: os.rename(d, new)
    yield "chmod", lambda: os.chmod(f, 0o600)
    yield "chown", lambda: os.chown(f, 1, 1)
    yield "utime", lambda: os.utime(f)
    yield "truncate", lambda: os.truncate(f, 0)
    yield "symlink", lambda: os.symlink("x", new)
    yield "link", lambda: os.link(f, new)
    yield "mknod", lambda: os.mknod(new)
    yield "mkfifo", lambda: os.mkfifo(new)
    yield "setxattr", lambda: os.setxattr(f, "user.x", b"1")
    yield "removexattr", lambda: os.removexattr(f, "user.s3.etag")


def read_only(gw):
    with mounted(gw, "s3://main") as m:
        before = walk(m.path)
        for text, call in writes(m.file("plain"), m.file("only"),
                                 m.file("new")):
            got = error_name(call)
            assert got == "EROFS", "%s: %s" % (text, got)
        fd = os.open(m.file("plain"), os.O_RDONLY)
        assert error_name(os.write, fd, b"x") == "EBADF"
        os.close(fd)
        compare(walk(m.path), before)


# Attributes -------------------------------------------------------------------

def xattrs(gw):
    client = gw.client()
    client.put_object(Bucket="other", Key="tagged", Body=b"tagged",
                      ContentType="text/x-test; charset=utf-8",
                      Metadata={"colour": "blue", "Long-Name": "v" * 200})
    head = client.head_object(Bucket="other", Key="tagged")
    want = {"user.s3.etag": head["ETag"],
            "user.s3.storage-class": head.get("StorageClass", "STANDARD"),
            "user.s3.content-type": "text/x-test; charset=utf-8",
            "user.s3.meta.colour": "blue",
            "user.s3.meta.long-name": "v" * 200}
    with mounted(gw, "s3://other") as m:
        path = m.file("tagged")
        names = os.listxattr(path)
        assert set(want) <= set(names), names
        assert all(n.startswith("user.s3.") for n in names), names
        for name, value in want.items():
            got = os.getxattr(path, name).decode()
            assert got.strip('"') == value.strip('"'), "%s: %s" % (name, got)
        for name in ("user.s3.meta.none", "user.none"):
            got = error_name(os.getxattr, path, name)
            assert got == "ENODATA", "%s: %s" % (name, got)
        # What says that there are no labels: ls -l then asks no file more.
        got = error_name(os.getxattr, path, "trusted.x")
        assert got in ("ENOTSUP", "EOPNOTSUPP"), got
        assert error_name(os.getxattr, m.path, "user.s3.etag") == "ENODATA"


def statfs(gw):
    with mounted(gw, "s3://main") as m:
        s = os.statvfs(m.file("a"))
        assert s.f_namemax == 255 and s.f_bsize >= 4096, s
        assert s.f_flag & os.ST_RDONLY, "not mounted read-only"
        assert s.f_flag & os.ST_NOSUID and s.f_flag & os.ST_NODEV, s
        run(["df", m.path])


def modes(gw):
    def of(m, name):
        s = os.stat(m.file(name))
        return s.st_uid, s.st_gid, stat.S_IMODE(s.st_mode)
    with mounted(gw, "s3://main") as m:
        assert of(m, "plain")[2] == 0o444 and of(m, "a")[2] == 0o555
        assert of(m, "plain")[:2] == (os.getuid(), os.getgid())
    with mounted(gw, "s3://main", uid="123", gid="456", umask="0027") as m:
        assert of(m, "plain") == (123, 456, 0o440), of(m, "plain")
        assert of(m, "a") == (123, 456, 0o550), of(m, "a")
        assert of(m, "")[:2] == (123, 456), of(m, "")
    with mounted(gw, "s3://main", mount__file_mode="0400",
                 mount__dir_mode="0500", mount__uid="7") as m:
        assert of(m, "plain")[::2] == (7, 0o400), of(m, "plain")
        assert of(m, "a")[::2] == (7, 0o500), of(m, "a")


# Users and neighbours ---------------------------------------------------------

def ordinary_user(gw):
    m = UserMount("s3://main", gw.url).start()
    got = m.run("cat", m.file("a/b")).stdout
    assert got == b"xxxx", got
    listed = m.run("ls", m.path).stdout.decode().split("\n")
    assert "plain" in listed, listed
    assert "mode" in m.ctl("stats", "--json")
    # Without allow_other nobody else may look, not even root.
    assert error_name(os.stat, m.file("plain")) == "EACCES"
    m.unmount()


def unmounts_alone(gw):
    """An ordinary user can also unmount."""
    m = UserMount("s3://main", gw.url).start()
    run(NOBODY + ["fusermount3", "-u", m.path])
    assert m.proc.wait(30 * harness.SLOW) == 0
    m.check_log()


def allow_other_hint(gw):
    with open("/etc/fuse.conf") as f:
        if re.search("^user_allow_other", f.read(), re.M):
            note_skip("allow_other", "user_allow_other is set here")
            return
    m = UserMount("s3://main", gw.url, opts={"allow_other": True})
    r = run(m.prefix + [harness.S3RDMAFS, "-f", "-o",
                        "allow_other,endpoint=" + gw.url, m.source, m.path],
            env=m.env, check=False, timeout=20 * harness.SLOW)
    text = r.stderr.decode()
    assert r.returncode == 1, "exit %d: %s" % (r.returncode, text)
    assert text.count("\n") == 1 and "user_allow_other" in text and \
        "/etc/fuse.conf" in text, text
    assert not is_mounted(m.path)


def allow_other_root(gw):
    m = Mount("s3://main", gw.url, opts={"allow_other": True}).start()
    got = run(NOBODY + ["cat", m.file("a/b")]).stdout
    assert got == b"xxxx", got
    m.unmount()


def neighbours(program):
    """Two mounts of two gateways at once, of the same names with different
    bytes, by two users; then one gateway dies and the other has no part in
    it."""
    one, two = Gateway().start(), Gateway().start()
    size = 20 << 20
    for gw, seed in ((one, 1 << 40), (two, 2 << 40)):
        Bucket(gw, "same").fill("name", seed, size)
    a = mount(one, "s3://same")
    b = UserMount("s3://same", two.url, opts={"cache_size": "64MiB"}).start()
    pa = randread(program, [(a.file("name"), 1 << 40, size)], 1.5, threads=4)
    there = [(b.file("name"), 2 << 40, size)]
    pb = randread(program, there, 1.5, threads=4, before=NOBODY)
    for p in (pa, pb):
        r = randread_result(p, 2)
        assert not r["errors"] and r["reads"], r
    assert a.stats()["bytes"] and '"bytes"' in b.ctl("stats", "--json")
    one.kill()
    pb = randread(program, there, 0.3, threads=4, before=NOBODY)
    assert not randread_result(pb, 2)["errors"]
    a.allow.append("warning:")
    b.unmount()
    a.unmount()
    two.stop()


CASES = [all_buckets, one_bucket, with_prefix, by_name_only, beside, inodes,
         times, many_entries, names_by_ls, seek_in_directory, grows, negative,
         not_a_directory, read_only, xattrs, statfs, modes, ordinary_user,
         unmounts_alone, allow_other_hint, allow_other_root]


def main():
    need_fuse()
    ordinary_fuse()
    program = compile_c("randread.c")
    gw = Gateway().start()
    populate(gw)
    for check in CASES:
        case(check.__name__.replace("_", " "), check, gw)
    case("neighbours", neighbours, program)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
