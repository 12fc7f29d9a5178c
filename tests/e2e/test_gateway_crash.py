#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway killed at any moment: no half object, ever.

Writers put, overwrite, copy, complete and delete while the gateway is killed
and started again on the same root.  Every request that was answered must have
had its effect; every one that was cut must have had all of it or none.  Each
version carries its number as metadata, so that data, ETag and metadata can be
held against each other.
"""
import http.client
import os
import random
import signal
import socket
import threading
import time

import harness
from s3client import (Client, Server, case, checksum, etag, main, md5, mp_etag,
                      ok, same)

MIB = 1 << 20
SIZES = (0, 1, 100, 4096, 65537, 300000, MIB, 3 * MIB + 1, 8 * MIB + 5)
BLOBS = [harness.pattern(500 + i, 0, n) for i, n in enumerate(SIZES)]
MD5S = [md5(b) for b in BLOBS]
KILLS = max(6, int(60 / min(harness.SLOW, 10)))
SEED = int(os.environ.get("S3TEST_SEED", "1"))

# What a client sees when the server goes away in the middle.
CUT = (OSError, http.client.HTTPException)


def parts_of(blob):
    """A large blob in two parts, a small one in one."""
    return [blob[:5 * MIB], blob[5 * MIB:]] if len(blob) > 5 * MIB else [blob]


class Version:
    """One write: a number of its own, and one of the blobs."""
    lock = threading.Lock()
    all = {}

    def __init__(self, blob, multipart=False):
        self.blob = blob
        data = BLOBS[blob]
        self.etag = mp_etag(parts_of(data)) if multipart else etag(data)
        with Version.lock:
            self.v = str(len(Version.all))
            Version.all[self.v] = self

    def check(self, r):
        """A reply to GET holds this version and nothing else."""
        same(r["etag"], self.etag, "ETag of version " + self.v)
        same(len(r.body), SIZES[self.blob], "size of version " + self.v)
        same(md5(r.body), MD5S[self.blob], "bytes of version " + self.v)


def version_of(r):
    """The version that a reply to GET is, after a look at all of it."""
    v = Version.all.get(r["x-amz-meta-v"])
    assert v, "an object that nobody wrote: %r" % r
    v.check(r)
    return v


class Key:
    """A key of one writer: what it must be, or may have become."""

    def __init__(self, name):
        self.name = name
        self.now = None  # a Version; None: no such object
        self.maybe = []  # what a cut request may have made of it
        self.completing = None  # (upload, parts) of a cut completion

    def settle(self, t, b):
        """After a restart: the object must be one of the versions that it
        may be, and from now on it is that one."""
        self.retry_completion(t, b)
        r = ok(t.s3.get(b, self.name), 200, 404)
        got = version_of(r) if r.status == 200 else None
        assert got is self.now or got in self.maybe, (
            "%s is version %s, should be %s or one of %s" % (
                self.name, got and got.v, self.now and self.now.v,
                [m and m.v for m in self.maybe]))
        self.now, self.maybe, self.completing = got, [], None

    def retry_completion(self, t, b):
        """A client that saw no answer asks again; then either the upload is
        still there, or it was completed, never something between."""
        if not self.completing:
            return
        new = self.maybe[-1]
        before = t.s3.get(b, self.name)["x-amz-meta-v"] == new.v
        r = t.s3.complete(b, self.name, *self.completing)
        assert r.status == 200 or (before and r.status == 404), r
        self.now, self.maybe = new, []


class Writer:
    """A thread with keys of its own; ends when the gateway does."""

    def __init__(self, t, b, n, rnd):
        self.t, self.b, self.rnd = t, b, rnd
        self.s3 = Client(t.host, t.port, t.ak, t.sk)
        self.keys = [Key("w%d/%s" % (n, k))
                     for k in ("a", "a/b", "c//", "d..", "../e")]
        self.done = 0

    def run(self, stop):
        try:
            while not stop.is_set():
                key = self.rnd.choice(self.keys)
                self.rnd.choice([self.put, self.put, self.copy, self.delete,
                                 self.multipart])(key)
                self.done += 1
        except CUT:
            self.s3.close()

    def write(self, key, new, request):
        """Send a request that makes key `new`, and note how it ended."""
        key.maybe.append(new)
        r = ok(request(), 200, 204)
        key.now, key.maybe = new, []
        return r

    def put(self, key):
        v = Version(self.rnd.randrange(len(BLOBS)))
        self.write(key, v, lambda: self.s3.put(
            self.b, key.name, BLOBS[v.blob], x_amz_meta_v=v.v))

    def copy(self, key):
        v = Version(self.rnd.randrange(len(BLOBS)))
        h = {"x-amz-copy-source": "%s/src-%d" % (self.b, v.blob),
             "x-amz-metadata-directive": "REPLACE", "x-amz-meta-v": v.v}
        self.write(key, v, lambda: self.s3.call("PUT", self.b, key.name,
                                                h=h))

    def delete(self, key):
        self.write(key, None, lambda: self.s3.delete(self.b, key.name))

    def multipart(self, key):
        v = Version(self.rnd.randrange(len(BLOBS)), True)
        up = self.s3.start_upload(self.b, key.name, x_amz_meta_v=v.v)
        tags = [(n, self.s3.put_part(self.b, key.name, up, n, d))
                for n, d in enumerate(parts_of(BLOBS[v.blob]), 1)]
        key.completing = up, tags
        self.write(key, v, lambda: self.s3.complete(self.b, key.name, up,
                                                    tags))
        key.completing = None


class Reader:
    """A thread that reads the writers' keys and never sees a mixture."""

    def __init__(self, t, b, keys, rnd):
        self.b, self.keys, self.rnd = b, keys, rnd
        self.s3 = Client(t.host, t.port, t.ak, t.sk)
        self.seen = 0

    def run(self, stop):
        try:
            while not stop.is_set():
                self.rnd.choice([self.whole, self.whole, self.halves,
                                 self.listing])()
                self.seen += 1
        except CUT:
            self.s3.close()

    def whole(self):
        r = ok(self.s3.get(self.b, self.rnd.choice(self.keys)), 200, 404)
        if r.status == 200:
            version_of(r)

    def halves(self):
        """Two ranges bound to one ETag are halves of one version."""
        key = self.rnd.choice(self.keys)
        r = ok(self.s3.head(self.b, key), 200, 404)
        size = int(r["content-length"] or 0)
        if r.status == 404 or size < 2:
            return
        v, body = Version.all[r["x-amz-meta-v"]], b""
        for spec in ("0-%d" % (size // 2), "%d-" % (size // 2 + 1)):
            h = ok(self.s3.get(self.b, key, Range="bytes=" + spec,
                               If_Match=r["etag"]), 206, 404, 412)
            if h.status != 206:
                return
            body += h.body
        same(md5(body), MD5S[v.blob], "two halves of one ETag")

    def listing(self):
        p = self.s3.list(self.b)
        odd = set(p.keys) - set(self.keys)
        assert all(k.startswith("src-") for k in odd), odd
        tags = {v.etag for v in list(Version.all.values())}
        for e in p.reply.texts("Contents/ETag"):
            assert e in tags, "an ETag that nobody wrote: " + e


def work(jobs, during):
    """Run the jobs (each with run(stop)) while during() runs."""
    stop, failed = threading.Event(), []

    def guard(job):
        try:
            job.run(stop)
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=guard, args=(j,)) for j in jobs]
    for th in threads:
        th.start()
    try:
        during()
    finally:
        stop.set()
        for th in threads:
            th.join()
    if failed:
        raise failed[0]


def check_listings(t, b, writers):
    """The listing is what GET says, to the key, size and ETag."""
    want = {k.name: k.now for w in writers for k in w.keys if k.now}
    p = t.s3.list(b)
    got = [k for k in p.keys if not k.startswith("src-")]
    same(got, sorted(want), "listing after a restart")
    have = dict(zip(p.keys, zip(p.reply.texts("Contents/ETag"),
                                p.reply.texts("Contents/Size"))))
    for name, v in want.items():
        same(have[name], (v.etag, str(SIZES[v.blob])), name)
    for name in ok(t.s3.get(None)).texts("Buckets/Bucket/Name"):
        assert name.startswith(b[:8]), "a bucket that nobody made: " + name


def finish_uploads(t, b, writers):
    """Uploads that were cut before their completion can go on or be ended;
    none of any other key is listed."""
    names = {k.name for w in writers for k in w.keys}
    r = ok(t.s3.get(b, q=[("uploads", None)]))
    for key, up in zip(r.texts("Upload/Key"), r.texts("Upload/UploadId")):
        assert key in names, key
        parts = ok(t.s3.get(b, key, [("uploadId", up)]))
        for size, tag in zip(parts.texts("Part/Size"),
                             parts.texts("Part/ETag")):
            assert (int(size), tag) in PARTS, "a part that nobody sent"
        ok(t.s3.abort(b, key, up), 204)
    r = ok(t.s3.get(b, q=[("uploads", None)]))
    same(r.texts("Upload"), [])


PARTS = {(len(p), etag(p)) for blob in BLOBS for p in parts_of(blob)}


def files_below(top):
    return [os.path.join(d, f) for d, _, fs in os.walk(top) for f in fs]


def stocked(t):
    """A bucket with what the writers copy from."""
    b = t.bucket("crash")
    for i, data in enumerate(BLOBS):
        v = Version(i)
        t.s3.store(b, "src-%d" % i, data, x_amz_meta_v=v.v)
    return b


@case
def killed_at_any_moment(t):
    t.must_be_ours()
    b, rnd = stocked(t), random.Random(SEED)
    writers = [Writer(t, b, n, random.Random(SEED + n)) for n in range(4)]
    names = [k.name for w in writers for k in w.keys]
    readers = [Reader(t, b, names, random.Random(SEED + 9 + n))
               for n in range(2)]
    cut = 0
    for _ in range(KILLS):
        delay = rnd.uniform(0, 0.25) * harness.SLOW
        work(writers + readers, lambda: (time.sleep(delay), t.gw.kill()))
        t.gw.start()
        t.s3.close()
        for w in writers:
            for key in w.keys:
                cut += bool(key.maybe)
                key.settle(t, b)
        finish_uploads(t, b, writers)
        check_listings(t, b, writers)
    done = sum(w.done for w in writers)
    print("        %d kills, %d writes, %d cut, %d reads" % (
        KILLS, done, cut, sum(r.seen for r in readers)))
    assert cut and done, "nothing was cut: the test tests nothing"
    leaves_nothing(t, b)


def leaves_nothing(t, b):
    """All deleted and started once more, the root is as good as empty: what
    a kill left half done was cleared away, not only hidden."""
    t.s3.empty_bucket(b)
    ok(t.s3.delete(b), 204)
    t.gw.kill()
    t.gw.start()
    t.s3.close()
    files = files_below(t.gw.root)
    size = sum(os.lstat(f).st_size for f in files)
    assert size < 65536 and len(files) < 10, (
        "%d files with %d bytes are left in the root: %s" % (
            len(files), size, files[:10]))


@case
def ended_uploads_leave_nothing(t):
    """Killed while uploads of many parts are aborted and completed: each is
    there or not, and no parts stay that no upload owns."""
    t.must_be_ours()
    b, rnd = t.bucket("ends"), random.Random(SEED)
    for _ in range(max(2, KILLS // 6)):
        ups = [("k%d" % i, t.s3.start_upload(b, "k%d" % i)) for i in range(6)]
        for key, up in ups:
            for n in range(1, 41):
                t.s3.put_part(b, key, up, n, b"%d" % n)
        jobs = [Ender(t, b, key, up, i % 2) for i, (key, up) in
                enumerate(ups)]
        delay = rnd.uniform(0, 0.01) * harness.SLOW
        work(jobs, lambda: (time.sleep(delay), t.gw.kill()))
        t.gw.start()
        t.s3.close()
        r = ok(t.s3.get(b, q=[("uploads", None)]))
        for key, up in zip(r.texts("Upload/Key"),
                           r.texts("Upload/UploadId")):
            assert (key, up) in ups, "an upload that nobody made"
            ok(t.s3.abort(b, key, up), 204)
    leaves_nothing(t, b)


class Ender:
    """Ends one upload: completes it with its first part, or aborts it."""

    def __init__(self, t, b, key, up, complete):
        self.s3 = Client(t.host, t.port, t.ak, t.sk)
        self.what = (b, key, up)
        self.complete = complete

    def run(self, _):
        try:
            if self.complete:
                ok(self.s3.complete(*self.what, [(1, etag(b"1"))]))
            else:
                ok(self.s3.abort(*self.what), 204)
        except CUT:
            pass


@case
def readers_see_whole_versions(t):
    """No kill here, but many overwrites under many readers."""
    b = stocked(t)
    rnd = random.Random(SEED)
    writers = [Writer(t, b, n, random.Random(SEED + n)) for n in range(3)]
    names = [k.name for w in writers for k in w.keys]
    readers = [Reader(t, b, names, rnd) for _ in range(5)]

    def enough():
        harness.wait_for("300 writes and reads", lambda: min(
            sum(w.done for w in writers), sum(r.seen for r in readers))
            > 300 / min(harness.SLOW, 10), 120)

    work(writers + readers, enough)
    for w in writers:
        for key in w.keys:
            assert not key.maybe, "a request was cut though nobody killed"
            key.settle(t, b)
    check_listing_only(t, b, writers)


def check_listing_only(t, b, writers):
    want = sorted(k.name for w in writers for k in w.keys if k.now)
    got = [k for k in t.s3.list(b).keys if not k.startswith("src-")]
    same(got, want)


def slow_get(t, b, key):
    """A GET whose answer is read only as far as its head."""
    h, _ = t.s3.signed("GET", "/%s/%s" % (b, key), [], [],
                       "UNSIGNED-PAYLOAD")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.settimeout(60 * harness.SLOW)
    s.connect((t.host, t.port))
    s.sendall(("GET /%s/%s HTTP/1.1\r\n" % (b, key) + "".join(
        "%s: %s\r\n" % p for p in h) + "\r\n").encode())
    r = http.client.HTTPResponse(s)
    r.begin()
    return s, r


@case
def slow_reader_keeps_its_version(t):
    """An object is overwritten and then deleted while it is being read: the
    reader gets the old bytes to the end, or fewer, never others."""
    b, size = t.bucket("slow"), 32 * MIB
    old, new = harness.pattern(1, 0, size), harness.pattern(2, 0, size)

    def overwrite():
        t.s3.store(b, "k", new)

    def in_parts():
        t.s3.multipart(b, "k", [new[:6 * MIB], new[6 * MIB:]])

    def copy():
        t.s3.store(b, "other", new)
        ok(t.s3.call("PUT", b, "k", h={"x-amz-copy-source": b + "/other"}))

    def remove():
        ok(t.s3.delete(b, "k"), 204)

    for change in (overwrite, in_parts, copy, remove):
        t.s3.store(b, "k", old)
        sock, r = slow_get(t, b, "k")
        same(r.getheader("etag"), etag(old))
        body = r.read(100000)
        change()
        try:
            body += r.read()
        except http.client.IncompleteRead as e:
            body += e.partial
        sock.close()
        assert body == old[:len(body)], change.__name__
        if len(body) < size:
            print("        cut after %d bytes by %s" % (
                len(body), change.__name__))


@case
def uploads_survive_a_kill(t):
    """An upload and the parts that were answered are there afterwards."""
    t.must_be_ours()
    b = t.bucket("parts")
    up = t.s3.start_upload(b, "k", x_amz_meta_color="red")
    datas = [harness.pattern(i, 0, 5 * MIB) for i in range(3)]
    tags = []
    for n, d in enumerate(datas, 1):
        tags.append((n, t.s3.put_part(b, "k", up, n, d)))
        t.gw.kill()
        t.gw.start()
        t.s3.close()
        r = ok(t.s3.get(b, "k", [("uploadId", up)]))
        same(r.texts("Part/ETag"), [e for _, e in tags])
        same(t.s3.list(b).keys, [])
    ok(t.s3.complete(b, "k", up, tags))
    t.gw.kill()
    t.gw.start()
    t.s3.close()
    r = ok(t.s3.get(b, "k"))
    same((md5(r.body), r["etag"], r["x-amz-meta-color"]),
         (md5(b"".join(datas)), mp_etag(datas), "red"))


@case
def everything_survives_a_kill(t):
    """Content, headers, metadata and checksums of an answered PUT."""
    t.must_be_ours()
    b = t.bucket("keep")
    h = {"Content-Type": "text/x", "Cache-Control": "no-store",
         "x-amz-meta-color": "red",
         "x-amz-checksum-crc32": checksum("crc32", BLOBS[4])}
    ok(t.s3.call("PUT", b, "k", h=h, body=BLOBS[4]))
    before = ok(t.s3.head(b, "k"))
    t.gw.kill()
    t.gw.start()
    t.s3.close()
    r = ok(t.s3.get(b, "k", x_amz_checksum_mode="ENABLED"))
    same(r.body, BLOBS[4])
    for k, v in h.items():
        same(r[k], v, k)
    for k in ("etag", "last-modified"):
        same(r[k], before[k], k)


def half_upload(t, b, key, size):
    """A connection on which half of a PUT's body was sent."""
    h, _ = t.s3.signed("PUT", "/%s/%s" % (b, key), [], [],
                       "UNSIGNED-PAYLOAD")
    h.append(("Content-Length", str(size)))
    s = socket.create_connection((t.host, t.port), 60 * harness.SLOW)
    s.sendall(("PUT /%s/%s HTTP/1.1\r\n" % (b, key) + "".join(
        "%s: %s\r\n" % p for p in h) + "\r\n").encode()
        + harness.pattern(1, 0, size // 2))
    return s


@case
def asked_to_end_during_uploads(t):
    """SIGTERM with stalled clients: it ends in good time and with status 0,
    and stores no half."""
    t.must_be_ours()
    b = t.bucket("term")
    t.s3.store(b, "old", b"old")
    socks = [half_upload(t, b, k, 2 * MIB) for k in ("old", "new")]
    socks.append(socket.create_connection((t.host, t.port)))  # an idle one
    start = time.monotonic()
    t.gw.stop()
    assert time.monotonic() - start < 20 * harness.SLOW
    for s in socks:
        s.close()
    t.gw.start()
    t.s3.close()
    same(t.s3.list(b).keys, ["old"])
    same(ok(t.s3.get(b, "old")).body, b"old")


@case
def second_gateway_is_refused(t):
    """Two on one root would not know of each other's locks."""
    t.must_be_ours()
    b = t.bucket("second")
    t.s3.store(b, "k", b"x")
    up = t.s3.start_upload(b, "k")
    cmd = [harness.GATEWAY, "--root", t.gw.root, "--listen",
           "127.0.0.1:%d" % harness.free_port()]
    for root in (t.gw.root, t.gw.root + "/", linked(t.gw.root)):
        cmd[2] = root
        r = harness.run(cmd, harness.clean_env(
            AWS_ACCESS_KEY_ID=t.ak, AWS_SECRET_ACCESS_KEY=t.sk),
            check=False, timeout=30 * harness.SLOW)
        out = (r.stdout + r.stderr).decode()
        same(r.returncode, 1, out)
        assert len(out.strip().splitlines()) == 1, out
        assert t.gw.root in out or root in out, "no root named: " + out
        assert any(w in out for w in ("another", "in use", "locked",
                                      "already")), out
    # And what it did before it gave up has harmed nothing.
    same(ok(t.s3.get(b, "k")).body, b"x")
    e = t.s3.put_part(b, "k", up, 1, b"y")
    ok(t.s3.complete(b, "k", up, [(1, e)]))
    same(ok(t.s3.get(b, "k")).body, b"y")


def linked(root):
    path = root + "-link"
    os.symlink(root, path)
    return path


@case
def the_port_is_free_at_once(t):
    """A restart within the same second, with clients connected."""
    t.must_be_ours()
    for _ in range(5):
        ok(t.s3.get(None))
        t.gw.signal(signal.SIGTERM)
        same(t.gw.proc.wait(30 * harness.SLOW), 0)
        t.gw.start()
        t.s3.close()


main(Server(), ceph={"readers_see_whole_versions": "409 now and then"})
