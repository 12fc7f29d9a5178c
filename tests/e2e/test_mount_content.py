#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Objects of awkward sizes and names, put by awscli and boto3, are the same
bytes through the mount, whatever ordinary tool reads them, over http and shm.

S3RDMAFS_TEST_FULL=1: 2,000 objects, the largest 3 GiB."""
import mmap
import os
import random
import shutil

import numpy

from files import (DIR, FULL, GIB, KIB, MIB, MODES, SLOT, SMALL_SLOT, case,
                   finish, mounted, share, write_file)
from harness import Gateway, aws_env, need_fuse, run

OBJECTS = 2000 if FULL else 200
LARGEST = 3 * GIB if FULL else 64 * MIB
SOURCE = os.path.join(DIR, "source")

# Edges of pages and of both slots; each also with its neighbours.
SIZES = [0, 1, 2, 7, MIB, 3 * SLOT + 12345, 2 * SLOT + SMALL_SLOT + 1] + [
    n + d for n in (4096, SMALL_SLOT, SLOT, 2 * SLOT) for d in (-1, 0, 1)]

NAMES = [
    "two  spaces", " leading and trailing ", "a+b", "100%", "%41%2F%00",
    "it's", 'say "hello"', "new\nline", "tab\there", "back\\slash",
    "semi;colon&and=is?query#hash", "-rf", ".hidden", "...", "dot.", "*",
    "[a-z]?", "$HOME `id` $(id)", "~", "<xml>&amp;</xml>", "comma,colon:at@",
    "umlaut \u00e4 \u00df", "combining a\u0308", "\u65e5\u672c\u8a9e",
    "emoji \U0001f9ca\U0001f469\u200d\U0001f680", "right\u202eleft",
    "n" * 255, "\u00e9" * 127 + "x", "bell\x07", "carriage\rreturn",
    "line\u2028separator", "{curly}|pipe^caret", "UPPER", "upper",
]


def make_source():
    """The same tree on a local disk: what every reader is compared with."""
    rng = random.Random(1)
    todo = [("big.bin", LARGEST)]
    todo += [("size/%d" % n, n) for n in SIZES]
    todo += [("names/" + n, rng.randrange(1, 300)) for n in NAMES]
    todo += [("in/%s/%s" % (n, n), 10) for n in NAMES[:12]]
    i = 0
    while len(todo) < OBJECTS * 9 // 10:
        todo.append(("many/%d/%d" % (i % 7, i), rng.randrange(0, 40 * KIB)))
        i += 1
    for i, (name, size) in enumerate(todo):
        # Every other one goes by awscli; big and the sizes by both.
        for side in (("aws", "boto") if name.startswith("size/") and i % 5 == 0
                     else ("aws", "boto")[i % 2:][:1]):
            write_file(os.path.join(SOURCE, side, name), i * 1000003, size)
    for i in range(OBJECTS // 10):
        make_text(os.path.join(SOURCE, ("aws", "boto")[i % 2],
                               "text", "t%d" % i), i)


def make_text(path, i):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        for line in range(200):
            f.write("line %d of text %d%s\n" % (
                line, i, " needle" if (line * 7 + i) % 97 == 0 else ""))


def every_file(top):
    for folder, _, names in sorted(os.walk(top)):
        for n in sorted(names):
            yield os.path.relpath(os.path.join(folder, n), top)


def upload(gw):
    client = gw.client()
    client.create_bucket(Bucket="data")
    run(["aws", "s3", "cp", "--recursive", "--quiet", "--endpoint-url",
         gw.url, os.path.join(SOURCE, "aws"), "s3://data/aws"],
        env=aws_env(gw))
    top = os.path.join(SOURCE, "boto")
    for name in every_file(top):
        client.upload_file(os.path.join(top, name), "data", "boto/" + name)


# What reads -----------------------------------------------------------------

def with_sha256sum(mnt):
    cmd = ["sh", "-c", "find . -type f -print0 | sort -z |"
           " xargs -0 -n 100 sha256sum -z"]
    want = run(cmd, cwd=SOURCE).stdout
    got = run(cmd, cwd=mnt).stdout
    pairs = zip(want.split(b"\0"), got.split(b"\0"))
    assert want == got, "first difference: %r" % (
        next((p for p in pairs if p[0] != p[1]), "number of files"),)
    return "%d files" % want.count(b"\0")


def with_cmp(mnt):
    for name in every_file(SOURCE):
        run(["cmp", os.path.join(SOURCE, name), os.path.join(mnt, name)])


def with_cp(mnt):
    out = os.path.join(DIR, "copied")
    run(["cp", "-r", mnt, out])
    run(["diff", "-r", SOURCE, out])
    shutil.rmtree(out)


def with_tar(mnt):
    out = os.path.join(DIR, "untarred")
    os.mkdir(out)
    r = run(["sh", "-c", 'tar -C "$0" -cf - . | tar -C "$1" -xf -',
             mnt, out])
    assert not r.stderr, r.stderr  # "file changed as we read it" and such
    run(["diff", "-r", SOURCE, out])
    shutil.rmtree(out)


def with_rsync(mnt):
    r = run(["rsync", "-rcni", "--delete", mnt + "/", SOURCE + "/"])
    assert not r.stdout, "rsync -c finds: %s" % r.stdout[:500]


def with_grep(mnt):
    cmd = ["sh", "-c", "grep -rn needle . | LC_ALL=C sort"]
    want, got = run(cmd, cwd=SOURCE).stdout, run(cmd, cwd=mnt).stdout
    assert b"needle" in want and want == got, "grep -r differs"


def chunks(size, step=8 * MIB):
    return ((o, min(step, size - o)) for o in range(0, size, step))


def with_mmap(mnt):
    """Shared, and private with a write that nobody else may see."""
    for name in every_file(SOURCE):
        path = os.path.join(mnt, name)
        size = os.path.getsize(path)
        if not size:
            continue  # nothing can be mapped
        fd = os.open(path, os.O_RDONLY)
        with open(os.path.join(SOURCE, name), "rb") as want, \
                mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as a, \
                mmap.mmap(fd, size, mmap.MAP_PRIVATE,
                          mmap.PROT_READ | mmap.PROT_WRITE) as b:
            b[size // 2] ^= 0xff
            for off, n in chunks(size):
                data = want.read(n)
                assert a[off:off + n] == data, "%s: shared mmap" % name
                if off <= size // 2 < off + n:
                    b[size // 2] ^= 0xff
                assert b[off:off + n] == data, "%s: private mmap" % name
        os.close(fd)


def with_memmap(mnt):
    """numpy.memmap, whole files in order and large ones here and there."""
    rng = random.Random(2)
    for name in every_file(SOURCE):
        path = os.path.join(mnt, name)
        if not os.path.getsize(path):
            continue
        want = numpy.memmap(os.path.join(SOURCE, name), mode="r")
        for mode in ("r", "c"):
            got = numpy.memmap(path, mode=mode)
            assert got.shape == want.shape, name
            places = rng.sample(range(len(got)), min(50, len(got)))
            assert all(got[i] == want[i] for i in places), name
            for off, n in chunks(len(got)):
                assert numpy.array_equal(got[off:off + n],
                                         want[off:off + n]), name
            del got


READERS = [with_sha256sum, with_cmp, with_cp, with_tar, with_rsync,
           with_grep, with_mmap, with_memmap]


def right_path(m, mode):
    by_path = m.stats()["bytes"]
    if mode == "http":
        assert by_path["http"] and not by_path["shm"], by_path
    else:
        # Some small objects may go by http whatever the mode.
        assert share(by_path, "shm") > 0.99, by_path
    return "%s %.2f %%" % (mode, 100 * share(by_path, mode))


def main():
    need_fuse()
    make_source()
    gw = Gateway().start()
    upload(gw)
    for mode in MODES:
        with mounted(gw, "s3://data", mode) as m:
            for reader in READERS:
                case("%s, %s" % (mode, reader.__name__[5:]), reader, m.path)
            case("%s, bytes by path" % mode, right_path, m, mode)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
