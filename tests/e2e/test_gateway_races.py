#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: many clients at once, and S3's promises to each of them.

Where a key is a file and a prefix a folder, the neighbours of a key make and
remove the folders it needs.  None of that may be seen: a client that is alone
with its key finds it as it left it, and what nobody touches is in every
listing.
"""
import itertools
import random
import threading

import harness
from s3client import (Client, Server, case, etag, in_threads, main, md5, ok,
                      quote, refused, same)

ROUNDS = max(10, int(150 / min(harness.SLOW, 10)))
SEEDS = itertools.count(7000)


def client(t):
    """A client for a thread that has no other."""
    return Client(t.host, t.port, t.ak, t.sk)


def live(c, b, key, n):
    """One key's life, by the only one who touches it."""
    data = b"%d of %s" % (n, key.encode())
    c.store(b, key, data)
    same(ok(c.get(b, key)).body, data, key)
    assert key in c.list(b, prefix=key).keys, "not listed: " + key
    if n % 3 == 0:
        src = "/%s/%s" % (b, quote(key, "/"))
        ok(c.call("PUT", b, key + ".copy", h={"x-amz-copy-source": src}))
        same(ok(c.get(b, key + ".copy")).body, data)
        ok(c.delete(b, key + ".copy"), 204)
    if n % 5 == 0:
        c.multipart(b, key, [data * 2])
        same(ok(c.get(b, key)).body, data * 2, key)
    ok(c.delete(b, key), 204)
    refused(c.get(b, key), 404, "NoSuchKey")
    assert key not in c.list(b, prefix=key).keys, "still listed: " + key


def lives(t, b, keys, rounds=ROUNDS):
    """A thread for each key."""
    def run(key):
        c = client(t)
        for n in range(rounds):
            live(c, b, key, n)

    in_threads([lambda k=k: run(k) for k in keys])
    same(t.s3.list(b).keys, [])
    ok(t.s3.delete(b), 204)


@case
def neighbours_in_one_folder(t):
    """The folder is made and removed all the time by eight threads."""
    lives(t, t.bucket("race"), ["p/q/r/k%d" % i for i in range(8)])


@case
def keys_that_are_prefixes(t):
    """Each in the way of the others."""
    lives(t, t.bucket("race"), ["a", "a/", "a/b", "a/b/c", "a/b/c/d", "a//",
                                "a/b/", "a/b/c/e"])


@case
def odd_keys(t):
    lives(t, t.bucket("race"), ["..", "../x", "x//", "/", "y" * 300,
                                "z" * 1000, ".s3rdma/x", "x"])


@case
def listings_keep_what_stays(t):
    """Whoever pages through a bucket in which others come and go sees each
    key that stays, once."""
    b, stop = t.bucket("race"), threading.Event()
    stay = sorted("d%d/%s" % (i % 5, k) for i in range(10)
                  for k in ("a%d" % i, "b/%d" % i, "b/c/%d" % i))
    for k in stay:
        t.s3.store(b, k, b"x")

    def churn(i):
        c, rnd = client(t), random.Random(i)
        while not stop.is_set():
            key = "d%d/%s/%d" % (rnd.randrange(5), rnd.choice(
                ("b", "b/c", "t", "b/t/u")), 100 + i)
            c.store(b, key, b"y")
            ok(c.delete(b, key), 204)

    def look(v, size):
        c = client(t)
        try:
            for _ in range(ROUNDS):
                keys, _ = c.list_all(b, v, max_keys=size)
                same([k for k in keys if k in stay], stay)
                same(len(keys), len(set(keys)), "keys twice")
                keys, dirs = c.list_all(b, v, max_keys=2, delimiter="/")
                same(dirs, ["d%d/" % i for i in range(5)])
                keys, dirs = c.list_all(b, v, prefix="d1/", delimiter="/")
                assert "d1/b/" in dirs, dirs
        finally:
            stop.set()

    in_threads([lambda i=i: churn(i) for i in range(4)]
               + [lambda: look(1, 7), lambda: look(2, 7),
                  lambda: look(2, 1000)])


@case
def a_bucket_with_objects_stays(t):
    """One deletes and makes the bucket, others put into it: what was stored
    is there in the end, for a bucket that holds something cannot go."""
    for n in range(max(2, ROUNDS // 15)):
        b, kept = t.bucket("race"), []

        def put(i):
            c = client(t)
            for j in range(10):
                key = "p%d/%d" % (i, j)
                r = c.put(b, key, key.encode())
                if r.status == 200:
                    kept.append(key)
                else:
                    refused(r, r.status, "NoSuchBucket", "OperationAborted")

        def remove():
            c = client(t)
            for _ in range(20):
                r = c.delete(b)
                if r.status != 204:
                    refused(r, r.status, "BucketNotEmpty", "NoSuchBucket",
                            "OperationAborted")
                ok(c.call("PUT", b))

        in_threads([lambda i=i: put(i) for i in range(3)] + [remove])
        same(t.s3.list(b).keys, sorted(kept), "round %d" % n)
        for key in kept:
            same(ok(t.s3.get(b, key)).body, key.encode())
        t.s3.empty_bucket(b)
        ok(t.s3.delete(b), 204)


@case
def one_bucket_for_many(t):
    """Eight create the same bucket at once: all are told that it is there."""
    for _ in range(ROUNDS // 10):
        b = t.name("race")
        in_threads([lambda: ok(client(t).call("PUT", b)) for _ in range(8)])
        rs = in_threads([lambda: client(t).delete(b) for _ in range(8)])
        got = sorted(r.status for r in rs)
        assert got[0] == 204 and set(got) <= {204, 404}, got
        same(t.s3.head(b).status, 404)


@case
def many_writers_of_one_key(t):
    """The last one wins, whole: data, ETag, size and metadata are of one."""
    b, sums = t.bucket("race"), {}

    def write(i):
        c, rnd = client(t), random.Random(i)
        for _ in range(ROUNDS // 3):
            seed = next(SEEDS)
            data = harness.pattern(seed, 0, rnd.choice((0, 10, 70000, 10**6)))
            sums[str(seed)] = md5(data)
            if rnd.random() < .2:
                ok(c.delete(b, "k"), 204)
            elif rnd.random() < .3:
                ok(c.call("PUT", b, "k", h={
                    "x-amz-copy-source": b + "/src",
                    "x-amz-metadata-directive": "COPY"}), 200, 404)
            else:
                ok(c.put(b, "k", data, x_amz_meta_seed=str(seed)))
                ok(c.put(b, "src", data, x_amz_meta_seed=str(seed)))

    def read():
        c = client(t)
        for n in range(ROUNDS):
            r = ok(c.get(b, "k" if n % 2 else "src"), 200, 404)
            if r.status == 200:
                same(md5(r.body), sums[r["x-amz-meta-seed"]], "body")
                same(r["etag"], '"%s"' % md5(r.body), "ETag")

    in_threads([lambda i=i: write(i) for i in range(4)] + [read] * 3)
    r = ok(t.s3.get(b, "k"), 200, 404)
    p = t.s3.list(b)
    same("k" in p.keys, r.status == 200)
    if r.status == 200:
        at = p.keys.index("k")
        same(p.reply.texts("Contents/ETag")[at], r["etag"])
        same(p.reply.texts("Contents/Size")[at], str(len(r.body)))


@case
def conditions_under_fire(t):
    """A counter that sixteen threads raise by If-Match loses no step."""
    b = t.bucket("race")
    t.s3.store(b, "n", b"0")

    def raise_it():
        c, done = client(t), 0
        while done < 5:
            r = ok(c.get(b, "n"))
            w = c.put(b, "n", b"%d" % (int(r.body) + 1), If_Match=r["etag"])
            ok(w, 200, 412, 409)
            done += w.status == 200

    in_threads([raise_it] * 16)
    same(t.s3.get(b, "n").body, b"80")


@case
def deleted_under_condition(t):
    """Of many who delete and create one key under a condition, the number
    of winners fits."""
    b = t.bucket("race")
    for n in range(ROUNDS // 5):
        made = in_threads([lambda: client(t).put(
            b, "lock", b"x", If_None_Match="*").status] * 8)
        same(sorted(made)[0], 200)
        same(made.count(200), 1, "owners of a lock")
        same(ok(t.s3.head(b, "lock"))["etag"], etag(b"x"))
        ok(t.s3.delete(b, "lock"), 204)


main(Server(), ceph={"many_writers_of_one_key": "409 now and then"})
