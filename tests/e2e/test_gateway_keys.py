#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: keys that no directory can hold, and no key leaves DIR.

S3's keys are strings of 1 to 1024 bytes in which `/` and `.` mean nothing.
Each odd one is put, read, listed, copied and deleted; then a model, a Python
dict, is held against a few thousand random operations.
"""
import os
import random
import stat
import tempfile
import unicodedata

import harness
from s3client import (Server, case, entries_of, etag, main, model_list, ok,
                      quote, refused, same)

NFC = unicodedata.normalize("NFC", "\u00e9\u00fc\u1e69")
NFD = unicodedata.normalize("NFD", NFC)

ODD = [
    # slashes
    "trail/", "trail//", "/lead", "//lead2", "/", "//", "///", "a//b",
    "a///b", "a/b//", "x/", "x//", "x",
    # dots
    ".", "..", "./", "../", "../../x", "../../../../etc/passwd", "/..",
    "/../x", "a/../b", "a/./b", "a/..", "a/.", "a/../../../../x", "...",
    "a/.../b", ".hidden", "a/.hidden/b", "..a", "a..", ". ", ".. /x",
    # names that a store might use for itself
    ".s3rdma", ".s3rdma/", ".s3rdma/x", ".s3rdma-tmp", ".s3rdmafs/tmp/x",
    ".tmp", ".uploads/1", ".multipart/x", "x.tmp", "x.meta", ".meta/x",
    "x.s3rdma", "%2E%2E/x", "lost+found", ".s3rdma.lock", "x.part.1",
    # characters
    "sp ace", " ", " lead space", "trail space ", "pl+us", "per%cent",
    "lit%2Fslash", "lit%00nul", "%", "%%", "%2", "%zz", "quo'te", 'quo"te',
    "back\\slash", "new\nline", "tab\there", "cr\rret", "crlf\r\n",
    "del\x7f", "ctl\x01\x1f", "\u0085", "\u2028", "star*?[x]", "a:b", "<&>",
    "|;`$(x)", "~", "~/x", "-", "-rf", "#hash", "?query", "?a=b&c=d", "=",
    "caf\u00e9", NFC, NFD, "\U0001f600/\U0001f4a9", "\ufeffbom", "\uffff",
    "\u202eltr", "A", "a", "\u0130i",
    # lengths
    "c" * 255, "d" * 256, "e" * 1024, "f" * 255 + "/g", "h" * 256 + "/i",
    "/".join("j" * 255 for _ in range(4)), "\u00e9" * 512, "k/" * 512,
    "/" * 1024, "." * 1024, "../" * 341 + "x", "%" * 1024,
    "\u00e9" * 127, "\u00e9" * 128, "l" * 254 + "/", "m" * 255 + "/",
    "n" * 700 + "/" + "o" * 323,
    # prefixes of others
    "deep", "deep/er", "deep/er/", "deep/er/est", "deep/", "deep/er//est",
]
assert len(set(ODD)) == len(ODD)
LONGEST = "p" * 1024


def body(key):
    return b"body of " + key.encode()


def tree(top):
    """Everything below top: name to kind, size, time, content."""
    out = {}
    for base, dirs, files in os.walk(top):
        for n in dirs + files:
            p = os.path.join(base, n)
            st = os.lstat(p)
            data = None
            if stat.S_ISREG(st.st_mode):
                with open(p, "rb") as f:
                    data = f.read()
            out[os.path.relpath(p, top)] = (st.st_mode, st.st_size, data)
    return out


class Fence:
    """A root inside a folder of its own, with bait around it: what a key
    that climbs out would find, and a look at whether it did."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="fence-", dir=harness.DIR)
        self.root = os.path.join(self.top, "a", "b", "root")
        os.makedirs(self.root)
        for p in ("x", "a/x", "a/b/x", "a/b/etc", "a/b/secret"):
            with open(os.path.join(self.top, p), "wb") as f:
                f.write(b"bait")
        self.before = self.look()

    def look(self):
        return {k: v for k, v in tree(self.top).items()
                if not k.startswith("a/b/root")}

    def check(self):
        same(self.look(), self.before, "the tree around the root")


FENCE = Fence()


def check_read(t, b, key):
    want = body(key)
    r = ok(t.s3.get(b, key))
    assert r.body == want, (key[:80], r)
    same(r["etag"], etag(want))
    same(r["x-amz-meta-n"], str(len(key)))
    r = ok(t.s3.head(b, key))
    same((r["content-length"], r.body), (str(len(want)), b""))


def store(t, b, key):
    r = ok(t.s3.put(b, key, body(key), x_amz_meta_n=str(len(key))))
    same(r["etag"], etag(body(key)))


def by_bytes(keys):
    return sorted(keys, key=lambda k: k.encode())


def check_listed(t, b, keys):
    for v in (1, 2):
        for size in (1000, 13):
            got, _ = t.s3.list_all(b, v, encoding_type="url", max_keys=size)
            same(got, by_bytes(keys), (v, size))


@case
def odd_keys_alone(t):
    """Each by itself: put, read, listed, copied, deleted, and gone."""
    b = t.bucket("alone")
    for key in ODD:
        store(t, b, key)
        check_read(t, b, key)
        p = t.s3.list(b, encoding_type="url")
        same(p.keys, [key])
        ok(t.s3.delete(b, key), 204)
        refused(t.s3.get(b, key), 404, "NoSuchKey")
        same(t.s3.list(b, encoding_type="url").keys, [], key)
    ok(t.s3.delete(b), 204)


@case
def odd_keys_together(t):
    """All at once, in an order that is nobody's; each deletion takes one."""
    b = t.bucket("together")
    rnd = random.Random(1)
    keys = list(ODD)
    rnd.shuffle(keys)
    for key in keys:
        store(t, b, key)
    for key in keys:
        check_read(t, b, key)
    check_listed(t, b, keys)
    rnd.shuffle(keys)
    for i in range(len(keys)):
        ok(t.s3.delete(b, keys[i]), 204)
        if i % 30 == 0:
            left = keys[i + 1:]
            check_listed(t, b, left)
            for key in left:
                check_read(t, b, key)
    same(t.s3.list(b).keys, [])
    ok(t.s3.delete(b), 204)


@case
def odd_keys_by_delimiter(t):
    b = t.bucket("delim")
    for key in ODD:
        store(t, b, key)
    prefixes = {""}
    for key in ODD:
        prefixes |= {key[:i + 1] for i in range(min(len(key), 40))
                     if key[i] == "/"}
    for prefix in sorted(prefixes):
        want = model_list(ODD, prefix, "/")
        for v in (1, 2):
            p = t.s3.list(b, v, prefix=prefix, delimiter="/",
                          encoding_type="url")
            same(entries_of(p), want, (v, prefix))


@case
def odd_keys_copied(t):
    a, b = t.bucket("from"), t.bucket("to")
    for key in ODD:
        store(t, a, key)
        src = "/%s/%s" % (a, quote(key, "/"))
        ok(t.s3.call("PUT", b, key, h={"x-amz-copy-source": src}))
        check_read(t, b, key)
    check_listed(t, b, ODD)
    for i in range(0, len(ODD), 50):
        r = ok(t.s3.delete_many(a, [
            k for k in ODD[i:i + 50] if not is_no_xml(k)]))
        same(r.texts("Error"), [])
    same(by_bytes(t.s3.list(a, encoding_type="url").keys),
         by_bytes(k for k in ODD if is_no_xml(k)))
    check_listed(t, b, ODD)


def is_no_xml(key):
    """XML 1.0 has no way to write these, escaped or not."""
    return any(ord(c) < 32 and c not in "\t\r\n" or c in "\ufffe\uffff"
               for c in key)


@case
def odd_keys_in_parts(t):
    b = t.bucket("parts")
    for key in ODD:
        up = t.s3.start_upload(b, key, x_amz_meta_n=str(len(key)))
        e = t.s3.put_part(b, key, up, 1, body(key))
        if not is_no_xml(key):
            r = ok(t.s3.get(b, q=[("uploads", None)]))
            same(r.texts("Upload/Key"), [key])
        r = ok(t.s3.complete(b, key, up, [(1, e)]))
        same(ok(t.s3.get(b, key)).body, body(key))
    check_listed(t, b, ODD)


@case
def odd_keys_by_boto3(t):
    """As an SDK sends them; but urllib3 or botocore may change a few."""
    b, c = t.bucket("boto"), t.boto()
    keys = [k for k in ODD if not is_no_xml(k)]
    for key in keys:
        c.put_object(Bucket=b, Key=key, Body=body(key))
        same(ok(t.s3.get(b, key)).body, body(key), key)
        r = c.get_object(Bucket=b, Key=key)
        same(r["Body"].read(), body(key), key)
    for op in ("list_objects", "list_objects_v2"):
        got = []
        for p in c.get_paginator(op).paginate(
                Bucket=b, PaginationConfig={"PageSize": 17}):
            got += [o["Key"] for o in p["Contents"]]
        same(got, by_bytes(keys), op)
    r = c.delete_objects(Bucket=b, Delete={
        "Objects": [{"Key": k} for k in keys]})
    same(len(r["Deleted"]), len(keys))
    same(t.s3.list(b).keys, [])


@case
def key_and_prefix(t):
    """A key beside keys below it, in both orders, and either deleted."""
    for first, second in (("k", "k/x"), ("k/x", "k"), ("k/", "k/x"),
                          ("k/x", "k/"), ("k", "k/"), ("k/", "k"),
                          ("k", "k//"), ("k/x", "k/x/y/z"),
                          ("k/x/y/z", "k/x"), ("k/x/y/z", "k")):
        for gone, kept in ((first, second), (second, first)):
            b = t.bucket("kp")
            store(t, b, first)
            store(t, b, second)
            for k in (first, second):
                check_read(t, b, k)
            check_listed(t, b, [first, second])
            ok(t.s3.delete(b, gone), 204)
            refused(t.s3.get(b, gone), 404, "NoSuchKey")
            check_read(t, b, kept)
            check_listed(t, b, [kept])
            store(t, b, gone)
            check_read(t, b, kept)
            check_read(t, b, gone)
            for k in (first, second):
                ok(t.s3.delete(b, k), 204)
            ok(t.s3.delete(b), 204)


@case
def too_long(t):
    b = t.bucket("long")
    store(t, b, LONGEST)
    for key in (LONGEST + "p", "x" * 5000, "\u00e9" * 513, "a/" * 512 + "b"):
        for m in ("PUT", "GET", "DELETE"):
            refused(t.s3.call(m, b, key, body=b"x" if m == "PUT" else b""),
                    400, "KeyTooLongError")
        same(t.s3.head(b, key).status, 400)
        refused(t.s3.call("POST", b, key, [("uploads", None)]), 400,
                "KeyTooLongError")
        refused(t.s3.call("PUT", b, key, h={
            "x-amz-copy-source": "/%s/%s" % (b, LONGEST)}), 400,
            "KeyTooLongError")
    check_listed(t, b, [LONGEST])


@case
def no_such_odd_keys(t):
    """Reading what was never written finds nothing, near or far."""
    b = t.bucket("none")
    t.s3.store(b, "dir/file", b"x")
    for key in ODD + ["dir", "dir/", "dir/file/", "dir//file", "dir/./file",
                      "dir/../dir/file", "/dir/file", "../%s/dir/file" % b,
                      "../../secret", "../" * 10 + "etc/passwd"]:
        refused(t.s3.get(b, key), 404, "NoSuchKey")
        same(t.s3.head(b, key).status, 404, key)
        ok(t.s3.delete(b, key), 204)
        refused(t.s3.call("PUT", b, "copy", h={
            "x-amz-copy-source": "/%s/%s" % (b, quote(key, "/"))}),
            404, "NoSuchKey")
    same(t.s3.list(b).keys, ["dir/file"])


@case
def other_buckets_are_out_of_reach(t):
    """`..` in a key is a name, not a way into the next bucket."""
    a, b = t.bucket("one"), t.bucket("two")
    t.s3.store(b, "k", b"of the other bucket")
    for key in ("../%s/k" % b, "../../%s/k" % b, "/../%s/k" % b):
        refused(t.s3.get(a, key), 404, "NoSuchKey")
        ok(t.s3.delete(a, key), 204)
        t.s3.store(a, key, b"mine")
        same(ok(t.s3.get(b, "k")).body, b"of the other bucket")
    same(t.s3.list(b).keys, ["k"])


@case
def root_holds_only_buckets(t):
    """Whatever was stored, ListBuckets names buckets and nothing else."""
    b = t.bucket("lb")
    before = ok(t.s3.get(None)).texts("Buckets/Bucket/Name")
    for key in ODD:
        store(t, b, key)
    same(ok(t.s3.get(None)).texts("Buckets/Bucket/Name"), before)
    for n in (".s3rdma", ".tmp", ".uploads", ".multipart"):
        assert t.s3.get(n).status in (400, 404), n
        assert t.s3.put(n, "x", b"x").status in (400, 404), n


# --- the model ---------------------------------------------------------------

ALPHABET = "aab//.-"
OPS = int(3000 / min(harness.SLOW, 10))


def random_key(rnd, longest=6):
    return "".join(rnd.choice(ALPHABET)
                   for _ in range(rnd.randint(1, longest)))


def check_page(t, b, model, rnd):
    """One listing with random arguments against the model."""
    v = rnd.choice((1, 2))
    prefix = random_key(rnd, 3) if rnd.random() < .5 else ""
    delim = rnd.choice(("", "/", "/", "a", "//", ".-"))
    after = random_key(rnd, 4) if rnd.random() < .5 else ""
    size = rnd.choice((1, 2, 5, 17, 1000))
    args = {"prefix": prefix, "delimiter": delim, "max_keys": size,
            "start_after" if v == 2 else "marker": after}
    p = t.s3.list(b, v, **args)
    # AWS does not say whether a common prefix comes that start-after is in.
    wants = [model_list(model, prefix, delim, after, s)
             for s in (True, False)]
    got = entries_of(p)
    assert any(got == w[:size] and p.truncated == (len(w) > size)
               for w in wants), (v, args, p.reply, wants[0][:size])
    if rnd.random() < .2:
        args.pop("start_after", args.pop("marker", None))
        keys, prefixes = t.s3.list_all(b, v, **args)
        want = model_list(model, prefix, delim)
        same(keys, [n for k, n in want if k == "key"], (v, args))
        same(prefixes, [n for k, n in want if k == "prefix"], (v, args))


def random_op(t, b, model, rnd, n):
    key = random_key(rnd)
    what = rnd.random()
    if what < .35:
        model[key] = b"%d" % n
        ok(t.s3.put(b, key, model[key]))
    elif what < .55:
        if model and rnd.random() < .7:
            key = rnd.choice(sorted(model))
        model.pop(key, None)
        ok(t.s3.delete(b, key), 204)
    elif what < .65 and model:
        src = rnd.choice(sorted(model))
        if src != key:
            ok(t.s3.call("PUT", b, key, h={
                "x-amz-copy-source": "/%s/%s" % (b, quote(src, "/"))}))
            model[key] = model[src]
    elif what < .8:
        r = t.s3.get(b, key)
        same(r.body if r.status == 200 else None, model.get(key), key)
    else:
        check_page(t, b, model, rnd)


@case
def random_operations(t):
    seed = int(os.environ.get("S3TEST_SEED", "20260101"))
    for run in range(3):
        b, model = t.bucket("model"), {}
        rnd = random.Random(seed + run)
        for n in range(OPS // 3):
            try:
                random_op(t, b, model, rnd, n)
            except Exception as e:
                raise AssertionError("seed %d, operation %d: %s" % (
                    seed + run, n, e))
        same(t.s3.list_all(b)[0], by_bytes(model))
        for k in sorted(model):
            same(ok(t.s3.get(b, k)).body, model[k], k)
        # And down to nothing, which only works if nothing is left over.
        for k in sorted(model):
            ok(t.s3.delete(b, k), 204)
        ok(t.s3.delete(b), 204)


@case
def nothing_left_the_root(t):
    """Last: after all of it, the world around the root is as it was."""
    FENCE.check()


main(Server(root=FENCE.root), ceph={
    "odd_keys_together": "V1 Marker is not encoded",
    "odd_keys_copied": "V1 Marker is not encoded",
    "odd_keys_in_parts": "V1 Marker is not encoded",
    "too_long": "InvalidObjectName",
})
