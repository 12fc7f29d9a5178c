#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: uploads in one piece, in every form of the body.

A refused upload must leave nothing: a missing key stays missing, and an
object that was there before stays what it was.
"""
import hashlib
import itertools
import re
import socket

import harness
from s3client import (CHECKSUMS, STREAM, STREAM_TRAILER, UNSIGNED,
                      UNSIGNED_TRAILER, Client, Server, b64, case, checksum,
                      content_md5, each, etag, in_threads, main, md5, ok,
                      refused, same)

DATA = harness.pattern(7, 0, 200000)
OLD = b"the version before"


def no_effect(t, b, status, codes, put):
    """put(key) must be refused, both on a new key and over an old one."""
    refused(put("new"), status, *codes)
    refused(t.s3.get(b, "new"), 404, "NoSuchKey")
    t.s3.store(b, "old", OLD)
    refused(put("old"), status, *codes)
    same(ok(t.s3.get(b, "old")).body, OLD)
    same(t.s3.list(b).keys, ["old"])
    ok(t.s3.delete(b, "old"), 204)


@case
def sizes(t):
    b = t.bucket("size")
    for n in (0, 1, 2, 4095, 4096, 4097, 65535, 65536, 65537, 1048575,
              1048576, 1048577, 3000001):
        data = harness.pattern(n, 0, n)
        r = ok(t.s3.put(b, "k", data))
        same(r["etag"], etag(data), n)
        r = ok(t.s3.get(b, "k"))
        assert r.body == data, n
        same((r["etag"], r["content-length"]), (etag(data), str(n)))


@case
def unsigned_payload(t):
    b = t.bucket("uns")
    r = ok(t.s3.call("PUT", b, "k", body=DATA, payload=UNSIGNED))
    same(r["etag"], etag(DATA))
    same(t.s3.get(b, "k").body, DATA)


@case
def payload_hash(t):
    b = t.bucket("hash")
    no_effect(t, b, 400, ("XAmzContentSHA256Mismatch",),
              lambda k: t.s3.call("PUT", b, k, body=DATA, payload="0" * 64))
    no_effect(t, b, 400, ("InvalidArgument", "InvalidRequest",
                          "XAmzContentSHA256Mismatch"),
              lambda k: t.s3.call("PUT", b, k, body=DATA, payload="bogus"))
    no_effect(t, b, 400, ("InvalidRequest",), lambda k: t.s3.call(
        "PUT", b, k, body=DATA, payload=None))


@case
def payload_hash_in_capitals(t):
    """A hash is a number; but a signature covers its text as sent."""
    b = t.bucket("caps")
    up = hashlib.sha256(DATA).hexdigest().upper()
    r = t.s3.call("PUT", b, "k", body=DATA, payload=up)
    assert r.status in (200, 400), r


@case
def length_is_required(t):
    b = t.bucket("len")
    s = t.s3.call("PUT", b, "k", payload=UNSIGNED, length=None)
    refused(s, 411, "MissingContentLength")
    h, _ = t.s3.signed("PUT", "/%s/k" % b, [], [], UNSIGNED)
    h.append(("Transfer-Encoding", "chunked"))
    r = t.s3.send("PUT", "/%s/k" % b, h, b"3\r\nabc\r\n0\r\n\r\n")
    refused(r, 411, "MissingContentLength")
    t.s3.close()
    same(t.s3.list(b).keys, [])


def read_head(s):
    """Bytes up to the end of the first head on the wire."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(1)
        if not more:
            break
        got += more
    return got


def put_head(t, b, length, sk=None):
    """The head of a PUT that asks before it sends its body."""
    h, _ = t.s3.signed("PUT", "/%s/k" % b, [], [("Expect", "100-continue")],
                       UNSIGNED, sk=sk, unsigned=("expect",))
    h.append(("Content-Length", str(length)))
    return ("PUT /%s/k HTTP/1.1\r\n" % b + "".join(
        "%s: %s\r\n" % p for p in h) + "\r\n").encode()


def first_status(t, data):
    """What the server says to the head alone."""
    with socket.create_connection((t.host, t.port), 30) as s:
        s.sendall(data)
        return read_head(s).split()[1].decode()


@case
def too_large(t):
    """More than 5 GiB in one request is refused before it is sent."""
    b = t.bucket("huge")
    same(first_status(t, put_head(t, b, 5 << 30)), "100")
    same(first_status(t, put_head(t, b, (5 << 30) + 1)), "400")
    same(t.s3.list(b).keys, [])


@case
def expect_continue(t):
    """100 for what will be read; the refusal at once for what will not."""
    b = t.bucket("exp")
    same(first_status(t, put_head(t, b, len(DATA), "wrong")), "403")
    with socket.create_connection((t.host, t.port), 30) as s:
        s.sendall(put_head(t, b, len(DATA)))
        same(read_head(s).split()[1], b"100")
        s.sendall(DATA)
        same(read_head(s).split()[1], b"200")
    same(t.s3.get(b, "k").body, DATA)


# --- Content-MD5 and checksums -----------------------------------------------

@case
def content_md5_header(t):
    b = t.bucket("md5")
    ok(t.s3.put(b, "k", DATA, Content_MD5=content_md5(DATA)))
    ok(t.s3.delete(b, "k"), 204)
    no_effect(t, b, 400, ("BadDigest",), lambda k: t.s3.put(
        b, k, DATA, Content_MD5=content_md5(b"other")))
    for bad in ("short", "", b64(b"x" * 15), b64(b"x" * 17), "=" * 24,
                md5(DATA)):
        no_effect(t, b, 400, ("InvalidDigest",), lambda k, v=bad: t.s3.put(
            b, k, DATA, Content_MD5=v))


@case
def checksum_headers(t):
    """Right ones are stored and told back, when asked for."""
    b = t.bucket("sum")
    for name in CHECKSUMS:
        h, v = "x-amz-checksum-" + name, checksum(name, DATA)
        r = ok(t.s3.put(b, name, DATA, **{h: v}))
        same(r[h], v, h)
        for m in ("GET", "HEAD"):
            r = ok(t.s3.call(m, b, name,
                             h={"x-amz-checksum-mode": "ENABLED"}))
            same(r[h], v, h)
            same(ok(t.s3.call(m, b, name))[h], None, "when not asked for")
        r = ok(t.s3.get(b, name, x_amz_checksum_mode="ENABLED",
                        Range="bytes=0-9"), 206)
        assert r[h] in (None, v), r


@case
def checksum_headers_wrong(t):
    b = t.bucket("sumw")
    for name in CHECKSUMS:
        h = "x-amz-checksum-" + name
        no_effect(t, b, 400, ("BadDigest",), lambda k, h=h, n=name: t.s3.put(
            b, k, DATA, **{h: checksum(n, b"other")}))
        no_effect(t, b, 400, ("InvalidRequest", "InvalidDigest"),
                  lambda k, h=h: t.s3.put(b, k, DATA, **{h: "bm8="}))


@case
def two_checksum_headers(t):
    b = t.bucket("sum2")
    no_effect(t, b, 400, ("InvalidRequest",), lambda k: t.s3.put(
        b, k, DATA, x_amz_checksum_crc32=checksum("crc32", DATA),
        x_amz_checksum_sha1=checksum("sha1", DATA)))


# --- aws-chunked -------------------------------------------------------------

@case
def chunked_signed(t):
    b = t.bucket("chs")
    for data in (b"", b"x", DATA):
        for sizes_ in ((65536,), (8192, 16384), (200000,), (131072, 8192)):
            r = ok(t.s3.put_chunked(b, "k", data, sizes=sizes_))
            same(r["etag"], etag(data))
            r = ok(t.s3.get(b, "k"))
            assert r.body == data
            same(r["content-encoding"], None, "aws-chunked is no encoding")


@case
def chunked_keeps_encoding(t):
    b = t.bucket("che")

    def check(enc):
        ok(t.s3.put_chunked(b, "k", DATA, encoding=enc))
        same(t.s3.head(b, "k")["content-encoding"], "gzip", enc)

    # The second is how botocore puts it.
    each(["aws-chunked,gzip", "gzip,aws-chunked", "gzip, aws-chunked"], check)
    # Some SDKs leave the header out: the payload's form says it all.
    ok(t.s3.put_chunked(b, "k", DATA, encoding=None))
    same(t.s3.get(b, "k").body, DATA)


def swap(pieces, i, old, new):
    assert old in pieces[i], pieces[i][:100]
    pieces[i] = pieces[i].replace(old, new, 1)


def flip_signature(i):
    """Change one digit of the signature of piece i."""
    def spoil(pieces):
        at = re.search(rb"signature[=:]", pieces[i]).end()
        d = b"0" if pieces[i][at:at + 1] != b"0" else b"1"
        pieces[i] = pieces[i][:at] + d + pieces[i][at + 1:]
    return spoil


def flip_data(i):
    def spoil(pieces):
        p = bytearray(pieces[i])
        p[-3] ^= 1
        pieces[i] = bytes(p)
    return spoil


@case
def chunk_signature_wrong(t):
    """In the first, a middle, and the closing chunk; and wrong data."""
    b = t.bucket("chw")
    for spoil in (flip_signature(0), flip_signature(2), flip_signature(-2),
                  flip_data(0), flip_data(1), flip_data(-3)):
        no_effect(t, b, 403, ("SignatureDoesNotMatch",),
                  lambda k, s=spoil: t.s3.put_chunked(b, k, DATA, spoil=s))


@case
def chunk_order_is_signed(t):
    """Chunks that are swapped or repeated break the chain of signatures."""
    b = t.bucket("cho")

    def swapped(p):
        p[0], p[1] = p[1], p[0]

    def repeated(p):
        p[1] = p[0]

    def unsigned(p):
        p[1] = b"10000\r\n" + p[1].split(b"\r\n", 1)[1]

    for spoil in (swapped, repeated):
        no_effect(t, b, 403, ("SignatureDoesNotMatch",),
                  lambda k, s=spoil: t.s3.put_chunked(b, k, DATA, spoil=s))
    r = t.s3.put_chunked(b, "k", DATA, spoil=unsigned)
    assert r.status in (400, 403), r
    same(t.s3.list(b).keys, [])


@case
def chunked_length_wrong(t):
    b = t.bucket("chl")
    for n in (len(DATA) - 1, len(DATA) + 1, 0, 5):
        for kind in (STREAM, UNSIGNED_TRAILER):
            no_effect(t, b, 400, ("IncompleteBody", "InvalidRequest"),
                      lambda k, n=n, m=kind: t.s3.put_chunked(
                          b, k, DATA, kind=m, decoded=n))
    for n in ("-1", "x", "99999999999999999999999"):
        r = t.s3.put_chunked(b, "k", DATA, decoded=n)
        assert r.status == 400, r
    no_effect(t, b, 411, ("MissingContentLength",),
              lambda k: t.s3.put_chunked(b, k, DATA, decoded=""))


@case
def chunked_without_its_end(t):
    """The closing chunk is what tells a whole body from a cut one."""
    b = t.bucket("chc")
    for kind in (STREAM, UNSIGNED_TRAILER, STREAM_TRAILER):
        no_effect(t, b, 400, ("IncompleteBody", "MalformedTrailerError",
                              "InvalidRequest"),
                  lambda k, m=kind: t.s3.put_chunked(
                      b, k, DATA, kind=m, spoil=lambda p: p[:-2]))


@case
def chunked_framing_broken(t):
    b = t.bucket("chf")

    def with_head(head):
        def spoil(p):
            p[:4] = [head + b"\r\n" + DATA + b"\r\n"]
        return spoil

    def check(head):
        r = t.s3.put_chunked(b, "k", DATA, kind=UNSIGNED_TRAILER,
                             spoil=with_head(head))
        same(r.status, 400)

    each([b"zz", b"", b"-1", b"0x30d40", b"fffffffffffffffff", b" 30d40",
          b"ffffffffffffffff", b"7fffffffffffffff", b"8" * 5000, b"+30d40",
          b"30d40x", b"30d40 x"], check)
    ok(t.s3.delete(b, "k"), 204)
    same(t.s3.list(b).keys, [])


@case
def chunked_over_chunked(t):
    """aws-chunked inside Transfer-Encoding: chunked, as SDKs do over TLS."""
    b = t.bucket("chte")
    for kind in (STREAM, UNSIGNED_TRAILER):
        ok(t.s3.put_chunked(b, "k", DATA, kind=kind, te=True))
        same(t.s3.get(b, "k").body, DATA)
        ok(t.s3.delete(b, "k"), 204)


# --- trailers ----------------------------------------------------------------

def trailer(name, data):
    return [("x-amz-checksum-" + name, checksum(name, data))]


def sdk(name):
    """The header that SDKs add, and without which Ceph checks nothing."""
    return [("x-amz-sdk-checksum-algorithm", name.upper())]


@case
def trailers(t):
    b = t.bucket("tr")
    for kind in (UNSIGNED_TRAILER, STREAM_TRAILER):
        for name in CHECKSUMS:
            for data in (DATA, b""):
                r = ok(t.s3.put_chunked(b, "k", data, kind=kind, h=sdk(name),
                                        trailer=trailer(name, data)))
                same(r["etag"], etag(data))
                r = ok(t.s3.get(b, "k", x_amz_checksum_mode="ENABLED"))
                assert r.body == data
                same(r["x-amz-checksum-" + name], checksum(name, data))
                same(r["content-encoding"], None)


@case
def trailers_wrong(t):
    b = t.bucket("trw")
    for kind in (UNSIGNED_TRAILER, STREAM_TRAILER):
        for name in CHECKSUMS:
            no_effect(t, b, 400, ("BadDigest",),
                      lambda k, n=name, m=kind: t.s3.put_chunked(
                          b, k, DATA, kind=m, h=sdk(n),
                          trailer=trailer(n, b"other")))


@case
def trailers_unannounced(t):
    """x-amz-trailer alone is enough to have the checksum checked."""
    b = t.bucket("tru")
    for kind in (UNSIGNED_TRAILER, STREAM_TRAILER):
        no_effect(t, b, 400, ("BadDigest",), lambda k, m=kind:
                  t.s3.put_chunked(b, k, DATA, kind=m,
                                   trailer=trailer("crc32", b"other")))


@case
def trailer_signature_wrong(t):
    b = t.bucket("trs")
    for spoil in (flip_signature(-1), flip_signature(-2), flip_data(0)):
        no_effect(t, b, 403, ("SignatureDoesNotMatch",),
                  lambda k, s=spoil: t.s3.put_chunked(
                      b, k, DATA, kind=STREAM_TRAILER, spoil=s,
                      trailer=trailer("crc32c", DATA)))


@case
def trailer_missing(t):
    """What x-amz-trailer promises must come, and nothing else."""
    b = t.bucket("trm")
    for kind in (UNSIGNED_TRAILER, STREAM_TRAILER):
        no_effect(t, b, 400, ("MalformedTrailerError", "InvalidRequest",
                              "BadDigest"),
                  lambda k, m=kind: t.s3.put_chunked(
                      b, k, DATA, kind=m, declare=["x-amz-checksum-crc32"]))
        no_effect(t, b, 400, ("MalformedTrailerError", "InvalidRequest",
                              "BadDigest"),
                  lambda k, m=kind: t.s3.put_chunked(
                      b, k, DATA, kind=m, trailer=trailer("sha1", DATA),
                      declare=["x-amz-checksum-crc32"]))
    no_effect(t, b, 400, ("MalformedTrailerError", "InvalidRequest",
                          "BadDigest"),
              lambda k: t.s3.put_chunked(b, k, DATA, kind=UNSIGNED_TRAILER,
                                         trailer=[("x-amz-checksum-crc32",
                                                   "rubbish")]))


@case
def unsigned_trailer_small_chunks(t):
    """Chunks of any size, down to one byte, in one stream."""
    b = t.bucket("trc")
    data = DATA[:5000]
    for sizes_ in ((1,), (1, 2, 3, 5, 7), (4999,), (64, 1, 1024)):
        ok(t.s3.put_chunked(b, "k", data, kind=UNSIGNED_TRAILER,
                            sizes=sizes_, trailer=trailer("crc32", data)))
        same(t.s3.get(b, "k").body, data)


# --- conditions --------------------------------------------------------------

@case
def if_none_match(t):
    b = t.bucket("pin")
    ok(t.s3.put(b, "k", OLD, If_None_Match="*"))
    refused(t.s3.put(b, "k", DATA, If_None_Match="*"), 412,
            "PreconditionFailed")
    same(t.s3.get(b, "k").body, OLD)
    refused(t.s3.put(b, "k", DATA, If_None_Match='"x"'), 501,
            "NotImplemented")
    same(t.s3.get(b, "k").body, OLD)
    ok(t.s3.delete(b, "k"), 204)
    ok(t.s3.put(b, "k", DATA, If_None_Match="*"))


@case
def if_match(t):
    b = t.bucket("pim")
    e = t.s3.store(b, "k", OLD)
    refused(t.s3.put(b, "k", DATA, If_Match='"x"'), 412,
            "PreconditionFailed")
    same(t.s3.get(b, "k").body, OLD)
    e = ok(t.s3.put(b, "k", DATA, If_Match=e))["etag"]
    ok(t.s3.put(b, "k", OLD, If_Match=e.strip('"')))
    refused(t.s3.put(b, "none", DATA, If_Match=e), 404, "NoSuchKey")
    same(t.s3.list(b).keys, ["k"])


SEEDS = itertools.count(1000)


def race(t, b, n, condition):
    """n writers at once, each with a body of its own, of which exactly one
    may win; returns the winner's body."""
    def write(i):
        data = harness.pattern(next(SEEDS), 0, 100000)
        c = Client(t.host, t.port, t.ak, t.sk)
        return c.put(b, "k", data, **condition), data

    done = in_threads([lambda i=i: write(i) for i in range(n)])
    won = [d for r, d in done if r.status == 200]
    for r, _ in done:
        if r.status == 409:
            refused(r, 409, "ConditionalRequestConflict")
        elif r.status != 200:
            refused(r, 412, "PreconditionFailed")
    same(len(won), 1, "winners of a race of %d" % n)
    r = ok(t.s3.get(b, "k"))
    assert r.body == won[0] and r["etag"] == etag(won[0]), "not the winner's"
    return won[0]


@case
def one_creator_wins(t):
    b = t.bucket("race")
    for _ in range(8):
        race(t, b, 16, {"If-None-Match": "*"})
        ok(t.s3.delete(b, "k"), 204)


@case
def one_replacer_wins(t):
    b = t.bucket("race")
    e = t.s3.store(b, "k", OLD)
    for _ in range(8):
        e = etag(race(t, b, 16, {"If-Match": e}))


# --- metadata ----------------------------------------------------------------

@case
def user_metadata(t):
    b = t.bucket("meta")
    h = {"x-amz-meta-color": "red", "X-Amz-Meta-MiXeD": "Value Kept",
         "x-amz-meta-empty": "", "x-amz-meta-punct": "a,b;c=\"d\" %41+"}
    ok(t.s3.call("PUT", b, "k", h=h, body=DATA))
    for r in (t.s3.get(b, "k"), t.s3.head(b, "k")):
        for k, v in h.items():
            same(r[k.lower()], v, k)
    got = t.boto().head_object(Bucket=b, Key="k")["Metadata"]
    same((got["color"], got["mixed"]), ("red", "Value Kept"))
    ok(t.s3.put(b, "k", DATA))
    same(t.s3.head(b, "k")["x-amz-meta-color"], None, "after an overwrite")


@case
def metadata_limit(t):
    """2 KiB over all names and values; AWS counts the bytes of both."""
    b = t.bucket("metal")
    many = {"x-amz-meta-%02d" % i: "v" * 90 for i in range(20)}
    for h in ({"x-amz-meta-a": "v" * 2000}, many):
        ok(t.s3.put(b, "k", DATA, **h))
        r = ok(t.s3.head(b, "k"))
        for k, v in h.items():
            same(r[k], v, k)
    ok(t.s3.delete(b, "k"), 204)
    more = {"x-amz-meta-%02d" % i: "v" * 110 for i in range(20)}
    for h in ({"x-amz-meta-a": "v" * 2049}, more):
        no_effect(t, b, 400, ("MetadataTooLarge",),
                  lambda k, h=h: t.s3.put(b, k, DATA, **h))


@case
def headers_at_their_limits(t):
    """AWS bears 2 KB of system headers beside the 2 KB of the user's.  A
    server that cannot says so, and does not fail."""
    b = t.bucket("limits")

    def check(n):
        h = {"x-amz-meta-a": "v" * 2000, "Content-Disposition": "d" * n,
             "Cache-Control": "c" * n}
        r = t.s3.put(b, "k", DATA, **h)
        if r.status == 400:
            refused(r, 400, "MetadataTooLarge",
                    "RequestHeaderSectionTooLarge")
            return
        ok(r)
        r = ok(t.s3.get(b, "k"))
        for k, v in h.items():
            same(r[k], v, k)

    each([100, 500, 900, 1000, 1500, 2500], check)


@case
def metadata_by_boto3(t):
    b, c = t.bucket("metab"), t.boto()
    c.put_object(Bucket=b, Key="k", Body=DATA, Metadata={"a": "1", "b-c": "2"},
                 ContentType="image/png", CacheControl="no-cache")
    r = c.get_object(Bucket=b, Key="k")
    same(r["Metadata"], {"a": "1", "b-c": "2"})
    same((r["ContentType"], r["CacheControl"]), ("image/png", "no-cache"))
    same(r["Body"].read(), DATA)
    c.put_object(Bucket=b, Key="c", Body=DATA, ChecksumAlgorithm="SHA256")
    r = c.get_object(Bucket=b, Key="c", ChecksumMode="ENABLED")
    same(r["ChecksumSHA256"], checksum("sha256", DATA))
    same(r["Body"].read(), DATA)


@case
def overwrite(t):
    b = t.bucket("over")
    for i in range(20):
        data = harness.pattern(i, 0, i * 9999)
        t.s3.store(b, "k", data, x_amz_meta_v=str(i))
        r = ok(t.s3.get(b, "k"))
        same((r.body == data, r["x-amz-meta-v"]), (True, str(i)))
    same(t.s3.list(b).keys, ["k"])


main(Server(), ceph={
    "payload_hash": "does not ask for the header",
    "length_is_required": "takes Transfer-Encoding",
    "checksum_headers": "not in the answer to the PUT",
    "checksum_headers_wrong": "other codes for no base64",
    "two_checksum_headers": "takes both",
    "chunk_signature_wrong": "does not check the closing chunk's",
    "chunked_without_its_end": "is not missed",
    "chunked_framing_broken": "takes -1",
    "trailers_unannounced": "needs x-amz-sdk-checksum-algorithm",
    "trailer_signature_wrong": "does not check the closing chunk's",
    "trailer_missing": "is not missed",
    "chunked_length_wrong": "not compared",
    "if_none_match": "takes other values than *",
    "one_replacer_wins": "another code for the losers",
    "metadata_limit": "8 KiB and more",
})
