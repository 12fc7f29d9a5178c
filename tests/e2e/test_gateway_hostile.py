#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway among people who do not mean well.

Raw sockets send what no client would.  The rule is the same for all of it: an
error, or a closed connection, within a bound; nothing stored, nothing shown
from outside the root; and the gateway answers the next honest request.
"""
import contextlib
import os
import random
import re
import socket
import struct
import tempfile
import time
import xml.etree.ElementTree as ElementTree

import harness
from s3client import (EMPTY_SHA, STREAM, STREAM_TRAILER, UNSIGNED,
                      UNSIGNED_TRAILER, Server, Skipped, amz_date, case,
                      content_md5, each, etag, main, ok, part_query, refused,
                      same)

MIB = 1 << 20
WAIT = 20 * harness.SLOW
DATA = harness.pattern(3, 0, 100000)
LOG = os.path.join(harness.DIR, "access.log")


# --- raw talk ----------------------------------------------------------------

class Raw:
    """A connection on which anything may be sent."""

    def __init__(self, t):
        self.s = socket.create_connection((t.host, t.port), WAIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data):
        """Send; that the other side has closed already is no failure."""
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def end(self):
        with contextlib.suppress(OSError):
            self.s.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Close with an RST, as a machine that dies behind a firewall."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        self.s.close()

    def all(self):
        """All that comes until the end."""
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                more = self.s.recv(65536)
                if not more:
                    break
                got += more
        return got


def statuses(got):
    """The status of each answer in what came."""
    return [int(s) for s in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)]


def talk(t, data):
    """Send data, say that there is no more, and return what comes back; it
    must end in time."""
    with Raw(t) as c:
        return c.send(data).end().all()


def well(t, b):
    """It still serves, and the bucket holds what it did."""
    assert t.gw is None or t.gw.alive(), "the gateway is dead"
    r = ok(t.s3.get(b, "k"))
    assert r.body == DATA and r["etag"] == etag(DATA)
    same(t.s3.list(b, encoding_type="url").keys, ["k"])


def stocked(t, hint="host"):
    b = t.bucket(hint)
    t.s3.store(b, "k", DATA)
    return b


def head(t, method, target, headers=(), signed=True, payload=UNSIGNED,
         query=()):
    """A request's head as bytes, signed over its path or not at all."""
    path = target.split("?")[0]
    h = [("Host", t.s3.netloc)]
    if signed:
        h, _ = t.s3.signed(method, path, list(query), [], payload)
    return ("%s %s HTTP/1.1\r\n" % (method, target) + "".join(
        "%s: %s\r\n" % p for p in list(h) + list(headers)) + "\r\n").encode()


def all_refused(got, what):
    """Only errors came, or nothing at all."""
    for s in statuses(got):
        assert 400 <= s < 600, (what, got[:300])


# --- the wire ----------------------------------------------------------------

@case
def raw_requests_work(t):
    """The proof that a refusal below is for what is wrong with the request:
    the same one without the fault is served."""
    b = stocked(t)
    got = talk(t, head(t, "PUT", "/%s/new" % b, [("Content-Length", "5")])
               + b"hello")
    same(statuses(got), [200], got[:500])
    same(ok(t.s3.get(b, "new")).body, b"hello")
    same(statuses(talk(t, head(t, "GET", "/%s/new" % b))), [200])
    same(statuses(talk(t, head(t, "GET", "/%s?prefix=n" % b,
                               query=[("prefix", "n")]))), [200])
    same(statuses(talk(t, head(t, "DELETE", "/%s/new" % b))), [204])
    well(t, b)


@case
def garbage(t):
    b, rnd = stocked(t), random.Random(1)
    for data in (b"\r\n", b"\r\n" * 1000, b"\n", b"\0", b"\0" * 10000, b"GET",
                 b"GET\r\n\r\n", b"GET /\r\n\r\n", b" / HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                 b"GET / XTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
                 b"GET / HTTP/1.1\r\n: x\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
                 b"GET / HTTP/1.1\rHost: x\r\r",
                 b"GET / HTTP/1.1\nHost: x\n\n",
                 b"get / http/1.1\r\nhost: x\r\n\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 512,
                 b"A" * MIB, b"GET /" + b"a" * MIB + b" HTTP/1.1\r\n\r\n",
                 b"\x80\xff" * 5000, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"):
        all_refused(talk(t, data), data[:60])
    for _ in range(200):
        data = rnd.randbytes(rnd.randrange(1, 3000))
        all_refused(talk(t, data), data[:60])
    well(t, b)


@case
def mutated_requests(t):
    """A good request with a few bytes changed, a thousand times."""
    b, rnd = stocked(t), random.Random(2)
    good = [head(t, "GET", "/%s/k" % b),
            head(t, "GET", "/%s?list-type=2&prefix=a%%2Fb&max-keys=10" % b,
                 query=[("list-type", "2"), ("prefix", "a/b"),
                        ("max-keys", "10")]),
            head(t, "PUT", "/%s/new" % b, [("Content-Length", "5")])
            + b"hello"]
    for i in range(1000):
        data = bytearray(good[i % 3])
        for _ in range(rnd.choice((1, 1, 2, 8))):
            at = rnd.randrange(len(data))
            change = rnd.randrange(3)
            if change == 0:
                data[at] = rnd.randrange(256)
            elif change == 1:
                del data[at:at + rnd.randrange(1, 20)]
            else:
                data[at:at] = rnd.randbytes(rnd.randrange(1, 20))
        talk(t, bytes(data))
    # A change in what is not signed may have stored "new", nothing else may.
    ok(t.s3.delete(b, "new"), 204)
    well(t, b)


@case
def odd_methods(t):
    b = stocked(t)
    for m in ("PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get",
              "GETT", "M" * 5000):
        all_refused(talk(t, head(t, m, "/%s/k" % b)), m[:20])
    well(t, b)


@case
def huge_heads(t):
    b = stocked(t)
    path = "/%s/k" % b
    for extra in ([("x-a", "v" * 40000)], [("x-a", "v" * MIB)],
                  [("n" * 40000, "v")],
                  [("x-%d" % i, "v") for i in range(10000)],
                  [("x-a", "v")] * 10000, [("Cookie", "a=b; " * 20000)],
                  [("Authorization", "AWS4-HMAC-SHA256 " + "x" * 60000)]):
        got = talk(t, head(t, "GET", path, extra, signed=False))
        all_refused(got, extra[0][0][:20])
    # What SDKs do send is far from that: 15 KiB of headers are well.
    h = [("x-amz-meta-%d" % i, "v" * 100) for i in range(15)]
    ok(t.s3.call("GET", b, "k", h=h))
    well(t, b)


@case
def many_parameters(t):
    b = stocked(t)
    ok(t.s3.get(b, "k", [("p%d" % i, "v") for i in range(100)]))
    for n in (1000, 5000, 20000):
        q = "&".join("p%d=v" % i for i in range(n))
        for target in (q, "&" * n, "=" * n, "list-type=2&" * n):
            all_refused(talk(t, head(t, "GET", "/%s/k?%s" % (b, target),
                                     signed=False)), (n, target[:20]))
    same(ok(t.s3.get(b, "k", [("a", None)])).body, DATA)
    well(t, b)


@case
def content_lengths(t):
    """None of these is a length; two that differ are an attack."""
    b = stocked(t)

    def check(*lengths):
        got = talk(t, head(t, "PUT", "/%s/new" % b, [
            ("Content-Length", v) for v in lengths]) + b"hello")
        ok(t.s3.delete(b, "new"), 204)
        all_refused(got, lengths)

    each(["-1", "+5", "0x5", "5 5", "x", "", "5, 6", ("5", "6"), ("6", "5"),
          "9223372036854775808", "18446744073709551616",
          "18446744073709551621", "9" * 100], check)
    well(t, b)


@case
def chunked_and_length(t):
    """Transfer-Encoding beside Content-Length: how requests are smuggled.
    Whatever is taken for the body, no second request may run."""
    b = stocked(t)
    inner = head(t, "DELETE", "/%s/k" % b)

    def check(te):
        data = head(t, "PUT", "/%s/new" % b, [
            ("Content-Length", str(len(inner) + 5)),
            ("Transfer-Encoding", te)]) + b"0\r\n\r\n" + inner
        got = talk(t, data)
        t.s3.delete(b, "new")
        if t.s3.head(b, "k").status != 200:
            t.s3.store(b, "k", DATA)
        assert 204 not in statuses(got), "the smuggled DELETE ran: " + te

    each(["chunked", "Chunked", "identity", "gzip, chunked", "xchunked",
          "chunked, identity", " chunked", "chunked\r\n x"], check)
    well(t, b)


@case
def transfer_chunks_broken(t):
    b = stocked(t)
    for body in (b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
                 b"fffffffffffffffff\r\nhello\r\n", b"5\r\nhelloXX0\r\n\r\n",
                 b"7fffffffffffffff\r\nhello", b"5;" + b"e" * 100000,
                 b"5\nhello\n0\n\n", b"\r\n\r\n", b"5\r\nhello\r\n0\r\n"
                 + b"a: b\r\n" * 20000 + b"\r\n", b"5\r\nhel"):
        for h in ([], [("x-amz-decoded-content-length", "5")]):
            data = head(t, "PUT", "/%s/new" % b, h + [
                ("Transfer-Encoding", "chunked")]) + body
            all_refused(talk(t, data), body[:40])
            same(t.s3.head(b, "new").status, 404, body[:40])
    well(t, b)


@case
def repeated_headers(t):
    """Two of a header that must be one.  A signature covers the values of
    both, so that a second one that was slipped in spoils it."""
    b = stocked(t)

    def check(k, v):
        got = talk(t, head(t, "PUT", "/%s/new" % b, [
            (k, v), ("Content-Length", "5")]) + b"hello")
        ok(t.s3.delete(b, "new"), 204)
        all_refused(got, k)

    each([("Host", "evil"), ("x-amz-date", amz_date(-600)),
          ("x-amz-content-sha256", EMPTY_SHA)], check)
    well(t, b)


# --- uploads that end too soon -----------------------------------------------

def upload_heads(t, b):
    """Heads of uploads in each form, each announcing far more than comes."""
    n = ("Content-Length", str(4 * MIB))
    d = ("x-amz-decoded-content-length", str(4 * MIB - 1000))
    up = t.s3.start_upload(b, "part")
    part = "/%s/part?partNumber=1&uploadId=%s" % (b, up)
    new = "/%s/new" % b
    return up, [
        head(t, "PUT", new, [n]), head(t, "PUT", "/%s/k" % b, [n]),
        head(t, "PUT", new, [n, d], payload=STREAM),
        head(t, "PUT", new, [n, d], payload=UNSIGNED_TRAILER),
        head(t, "PUT", new, [n, d], payload=STREAM_TRAILER),
        head(t, "PUT", new, [("Transfer-Encoding", "chunked"), d],
             payload=UNSIGNED_TRAILER),
        head(t, "PUT", part, [n], query=part_query(up, 1)),
        head(t, "PUT", new, [n], payload="0" * 64)]


def root_bytes(t):
    return sum(os.lstat(os.path.join(d, f)).st_size
               for d, _, fs in os.walk(t.gw.root) for f in fs)


@case
def truncated_uploads(t):
    """Ended by FIN, by RST, and right after the head: nothing is stored, and
    the space that was taken is given back."""
    b = stocked(t)
    up, heads = upload_heads(t, b)
    before = root_bytes(t) if t.gw else 0
    for h in heads:
        for body in (b"", b"x", b"200000\r\n" + bytes(2 * MIB)):
            with Raw(t) as c:
                all_refused(c.send(h + body).end().all(), h[:80])
            Raw(t).send(h + body).reset()
    same(ok(t.s3.get(b, "part", [("uploadId", up)])).texts("Part"), [])
    ok(t.s3.abort(b, "part", up), 204)
    well(t, b)
    if t.gw:
        harness.wait_for("space given back", lambda: root_bytes(t)
                         <= before + 65536)


@case
def aborted_downloads(t):
    b = stocked(t)
    t.s3.store(b, "big", harness.pattern(4, 0, 16 * MIB))
    h = head(t, "GET", "/%s/big" % b)
    for i in range(40):
        c = Raw(t).send(h)
        c.s.recv(1000)
        if i % 2:
            c.reset()
        else:
            c.s.close()
    ok(t.s3.delete(b, "big"), 204)
    well(t, b)


@case
def clients_that_never_read(t):
    """Twenty answers that nobody fetches, and one client that wants its."""
    b = stocked(t)
    t.s3.store(b, "big", harness.pattern(4, 0, 16 * MIB))
    h = head(t, "GET", "/%s/big" % b)
    stuck = [Raw(t).send(h) for _ in range(20)]
    start = time.monotonic()
    ok(t.s3.get(b, "k"))
    same(len(ok(t.s3.get(b, "big")).body), 16 * MIB)
    assert time.monotonic() - start < WAIT / 2
    for c in stuck:
        c.s.close()
    ok(t.s3.delete(b, "big"), 204)
    well(t, b)


@case
def slow_heads_and_bodies(t):
    """Three hundred clients that stopped in the middle of a request."""
    b = stocked(t)
    h = head(t, "PUT", "/%s/new" % b, [("Content-Length", "1000")])
    stuck = [Raw(t).send(h[:20 + i] if i < 200 else h + b"x" * i)
             for i in range(300)]
    start = time.monotonic()
    for _ in range(20):
        t.s3.close()
        ok(t.s3.get(b, "k"))
    ok(t.s3.put(b, "k", DATA))
    assert time.monotonic() - start < WAIT / 2
    for c in stuck:
        c.s.close()
    well(t, b)


@case
def connections_come_and_go(t):
    b = stocked(t)
    for _ in range(1000):
        Raw(t).s.close()
    for _ in range(200):
        Raw(t).send(b"GET /").reset()
    well(t, b)


# --- names -------------------------------------------------------------------

@case
def bad_percent_encoding(t):
    """In the path, signed as it stands and unsigned."""
    b = stocked(t)
    for bad in ("%", "%2", "%zz", "%u0041", "a%", "%%", "%-1", "%g0"):
        for signed in (True, False):
            for m in ("GET", "PUT", "DELETE"):
                all_refused(talk(t, head(t, m, "/%s/%s" % (b, bad), [
                    ("Content-Length", "0")], signed)), (m, bad))
    well(t, b)


@case
def keys_that_are_no_text(t):
    """Keys are UTF-8 without NUL; everything else is a 400."""
    b = stocked(t)
    for key in (b"\xff", b"\xc3\x28", b"a\x80b", b"\xc0\xae\xc0\xae/x",
                b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82",
                b"\xf0\x82\x82\xac", b"a\0b", b"\0", b"k\0", b"k\0/x"):
        for m in ("PUT", "GET", "DELETE", "HEAD"):
            r = t.s3.call(m, b, key)
            assert r.status == 400, (m, key, r)
        r = t.s3.call("POST", b, key, [("uploads", None)])
        assert r.status == 400, (key, r)
    well(t, b)


@case
def copy_sources_that_are_none(t):
    b = stocked(t)
    for src in ("/%s/%%ff" % b, "/%s/k%%00" % b, "/%s/%%" % b, "/%s/" % b,
                "/..%2f..%2fetc%2fpasswd", "/../etc/passwd", "//k", "%00",
                "/%s/../../etc/passwd" % b, "/%s/%s" % (b, "x" * 1025),
                "/%s%%00/k" % b, "http://evil/%s/k" % b, "?", ""):
        r = t.s3.call("PUT", b, "new", h={"x-amz-copy-source": src})
        assert 400 <= r.status < 500, (src, r)
        same(t.s3.head(b, "new").status, 404, src)
    well(t, b)


@case
def parameters_that_are_no_text(t):
    b = stocked(t)

    def check(name, v):
        r = t.s3.call("GET", b, None, [("list-type", "2"), (name, v)])
        assert r.status in (200, 400), r
        try:
            r.xml()
        except ElementTree.ParseError as e:
            raise AssertionError("no XML: %s in %r" % (e, r))

    each([(name, v) for v in (b"\xff", b"a\0b", b"\xed\xa0\x80")
          for name in ("prefix", "delimiter", "start-after", "marker",
                       "continuation-token")], check)
    for v in (b"\xff", b"\0", "../" * 30, "x" * 3000):
        r = t.s3.call("PUT", b, "k", part_query(v.decode("latin1")
                                                if isinstance(v, bytes)
                                                else v, 1), body=b"x")
        # A NUL is refused with the query, before the upload is looked for.
        if v == b"\0":
            refused(r, 400, "InvalidURI")
        else:
            refused(r, 404, "NoSuchUpload")
    well(t, b)


@case
def metadata_that_is_no_text(t):
    """Bytes above 0x7f in a header come back as they went or are refused;
    a control character cannot split an answer."""
    b = stocked(t)
    for v in (b"caf\xc3\xa9", b"\xff\xfe", b"a\tb", b"a\x01b", b"a\x7fb"):
        r = t.s3.call("PUT", b, "m", h=[("x-amz-meta-a", v.decode("latin1"))],
                      unsigned=())
        assert r.status in (200, 400, 403), (v, r)
        r = t.s3.head(b, "m")
        assert r.status in (200, 404), r
        ok(t.s3.delete(b, "m"), 204)
    well(t, b)


# --- XML ---------------------------------------------------------------------

LAUGHS = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10)
    for c in range(ord("b"), ord("k"))) + b"]>"
OUTSIDE = b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
PARAMETER = b'<!DOCTYPE d [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>'
QUADRATIC = b'<!DOCTYPE d [<!ENTITY a "%s">]>' % (b"x" * 50000)


def documents(outer, inner):
    """XML of all kinds of ill will around elements outer/inner."""
    o, i = outer.encode(), inner
    whole = b"<%s>%s</%s>" % (o, i, o)
    return [
        LAUGHS + whole.replace(b"K1", b"&j;"),
        OUTSIDE + whole.replace(b"K1", b"&a;"),
        QUADRATIC + whole.replace(b"K1", b"&a;" * 5000),
        b"<%s>" % o + b"<x>" * 100000, b"<a>" * 300000,
        b"<%s>" % o + b"<x>" * 50000 + b"</x>" * 50000 + b"</%s>" % o,
        b"<%s a='%s'/>" % (o, b"v" * MIB), b"<%s>" % (b"n" * MIB),
        whole[:-3], whole + whole,
        b"\xff\xfe" + whole, whole.replace(b"K1", b"\xff\xc3\x28"),
        whole.replace(b"K1", b"&#0;"), whole.replace(b"K1", b"&nosuch;"),
        whole.replace(b"K1", b"a\0b"), b"\0" * 1000, b"<", b"&", b"]]>",
        b"<?xml version='1.0' encoding='nosuch'?>" + whole,
        b"<!--" + b"-" * MIB, b"<![CDATA[" + b"x" * MIB,
        b" " * MIB, b"{\"json\": true}"]


def borderline(outer, inner):
    """Well-formed and strange: a server may take it or not."""
    o, i = outer.encode(), inner
    whole = b"<%s>%s</%s>" % (o, i, o)
    many = b" ".join(b'a%d="v"' % n for n in range(20000))
    return [PARAMETER + whole, whole.decode().encode("utf-16"),
            b"<!DOCTYPE d>" + whole, b"<%s %s>%s</%s>" % (o, many, i, o),
            whole.replace(b"K1", b"K1" + b"<x>" * 50000 + b"</x>" * 50000)]


def send(t, method, b, key, query, doc):
    """Send the document, in bounded time and without a leak."""
    start = time.monotonic()
    r = t.s3.call(method, b, key, query,
                  [("Content-MD5", content_md5(doc))], doc)
    assert time.monotonic() - start < WAIT / 4, doc[:60]
    assert b"root:" not in r.body, "a file was shown: %r" % r
    return r


def post(t, b, key, query, doc):
    return send(t, "POST", b, key, query, doc)


def post_all(t, b, key, query, docs):
    for doc in docs:
        r = post(t, b, key, query, doc)
        assert r.status == 400, (doc[:60], r)
        refused(r, 400, "MalformedXML", "InvalidRequest", "InvalidPart",
                "MaxMessageLengthExceeded", "EntityTooLarge",
                "KeyTooLongError", "InvalidArgument")


@case
def xml_to_delete_objects(t):
    b = stocked(t)
    one = b"<Object><Key>K1</Key></Object>"
    post_all(t, b, None, [("delete", None)], documents("Delete", one))
    for doc in borderline("Delete", one):
        r = post(t, b, None, [("delete", None)], doc)
        assert r.status in (200, 400), (doc[:60], r)
    well(t, b)


@case
def xml_to_complete(t):
    b = stocked(t)
    up = t.s3.start_upload(b, "new")
    t.s3.put_part(b, "new", up, 1, b"x")
    part = b"<Part><PartNumber>1</PartNumber><ETag>K1</ETag></Part>"
    docs = documents("CompleteMultipartUpload", part)
    docs += borderline("CompleteMultipartUpload", part)
    post_all(t, b, "new", [("uploadId", up)], docs)
    many = b"<CompleteMultipartUpload>" + b"".join(
        b"<Part><PartNumber>%d</PartNumber><ETag>x</ETag></Part>" % n
        for n in range(1, 20001)) + b"</CompleteMultipartUpload>"
    post_all(t, b, "new", [("uploadId", up)], [many])
    ok(t.s3.abort(b, "new", up), 204)
    well(t, b)


@case
def xml_to_tag(t):
    """The tags stay what they were, and so does the object."""
    b = stocked(t)
    q, tag = [("tagging", None)], b"<Tag><Key>K1</Key><Value>v</Value></Tag>"
    ok(t.s3.call("PUT", b, "k", q, body=b"<Tagging><TagSet>"
                 + tag.replace(b"K1", b"stays") + b"</TagSet></Tagging>"))

    def put(doc):
        r = send(t, "PUT", b, "k", q, doc)
        assert r.status in (200, 400), (doc[:60], r)
        keys = ok(t.s3.get(b, "k", q)).texts("TagSet/Tag/Key")
        assert r.status == 200 or keys == ["stays"], (doc[:60], keys)
        return r

    inner = b"<TagSet>" + tag + b"</TagSet>"
    for doc in documents("Tagging", inner):
        refused(put(doc), 400, "MalformedXML", "BadRequest", "InvalidTag",
                "InvalidRequest")
    for n in (11, 20000):
        refused(put(b"<Tagging><TagSet>" + b"".join(
            tag.replace(b"K1", b"%d" % i) for i in range(n))
            + b"</TagSet></Tagging>"), 400, "BadRequest")
    for size in (1099, 1100, 8192, 8193, MIB):
        for spot in (b"K1<", b"v<"):
            refused(put(b"<Tagging>" + inner.replace(
                spot, b"x" * size + b"<") + b"</Tagging>"), 400,
                "MalformedXML", "InvalidTag")
    for doc in borderline("Tagging", inner):
        put(doc)
        ok(t.s3.call("PUT", b, "k", q, body=b"<Tagging><TagSet>"
                     + tag.replace(b"K1", b"stays") + b"</TagSet></Tagging>"))
    ok(t.s3.call("DELETE", b, "k", q), 204)
    well(t, b)


@case
def part_numbers_in_xml(t):
    """What is not a number from 1 to 10000 is not part 1 by accident."""
    b = stocked(t)

    def check(n):
        up = t.s3.start_upload(b, "new")
        e = t.s3.put_part(b, "new", up, 1, b"x")
        r = t.s3.complete(b, "new", up, [(n, e)])
        ok(t.s3.delete(b, "new"), 204)
        t.s3.abort(b, "new", up)
        refused(r, 400, "MalformedXML", "InvalidPart", "InvalidArgument",
                "InvalidRequest")

    each(["99999999999999999999", "-1", "0x1", "1.0", "", "1 x", "1x", "+1",
          "4294967297", "18446744073709551617", "0", "10001"], check)
    well(t, b)


@case
def xml_that_is_odd_but_right(t):
    """Comments, CDATA, instructions and references are XML like any."""
    b = stocked(t)
    keys = ["a", "a&b", "<c>", "d\u00e9", "e\r", " f "]
    for k in keys:
        t.s3.store(b, k)
    doc = ("<?xml version='1.0'?><!-- c --><Delete xmlns='http://s3.amazonaws"
           ".com/doc/2006-03-01/'>\n <Object>\n<Key><![CDATA[a]]></Key> "
           "</Object><?pi x?><Object><Key>a<!-- x -->&amp;b</Key></Object>"
           "<Object><Key>&lt;c&#62;</Key></Object><Object><Key>d&#xe9;</Key>"
           "</Object><Object><Key>e&#13;</Key></Object><Object>"
           "<Key> f </Key><Unknown>k</Unknown></Object></Delete>").encode()
    r = ok(t.s3.call("POST", b, None, [("delete", None)],
                     [("Content-MD5", content_md5(doc))], doc))
    same(sorted(r.texts("Deleted/Key")), sorted(keys))
    well(t, b)


@case
def xml_elements_have_their_places(t):
    """A Key that is in no Object, or below something else, names nothing."""
    b = stocked(t)
    for inner in ("<Key>k</Key>", "<Other><Key>k</Key></Other>",
                  "<Object><Other><Key>k</Key></Other></Object>",
                  "<Quiet><Object><Key>k</Key></Object></Quiet>",
                  "<Object><Key>a</Key></Object><Key>k</Key>",
                  "<Object><Key>a</Key></Object><Other><Key>k</Key></Other>",
                  "<Object><Key>a</Key><Other><Key>k</Key></Other></Object>"):
        r = post(t, b, None, [("delete", None)],
                 ("<Delete>%s</Delete>" % inner).encode())
        assert r.status in (200, 400), r
        same(t.s3.head(b, "k").status, 200, inner)
    well(t, b)


@case
def bodies_where_none_belongs(t):
    """GET, HEAD and DELETE with a body, large and small: it is passed over
    or the connection closed, and never read as the next request."""
    b = stocked(t)
    evil = head(t, "DELETE", "/%s/k" % b)
    for m in ("GET", "HEAD"):
        for n in (len(evil), len(evil) + MIB):
            got = talk(t, head(t, m, "/%s/k" % b, [
                ("Content-Length", str(n))]) + evil + bytes(n - len(evil)))
            assert 204 not in statuses(got), got[:300]
    well(t, b)


@case
def refused_bodies_are_passed_over(t):
    """A body that follows an early refusal is no request either."""
    b = stocked(t)
    evil = head(t, "DELETE", "/%s/k" % b)
    for target in ("/nosuchbucket-x/k", "/%s/%s" % (b, "l" * 1025)):
        for n in (len(evil), len(evil) + 3 * MIB):
            got = talk(t, head(t, "PUT", target, [
                ("Content-Length", str(n))]) + evil + bytes(n - len(evil)))
            same([s for s in statuses(got) if s < 400], [], target[:30])
    well(t, b)


# --- what lies in the root ---------------------------------------------------

def bucket_folder(t, b):
    t.must_be_ours()
    path = os.path.join(t.gw.root, b)
    assert os.path.isdir(path), "a bucket is a directory under the root"
    return path


@case
def symbolic_links(t):
    """Links that lead out of the root are never followed, in or out."""
    b = stocked(t)
    top = bucket_folder(t, b)
    out = tempfile.mkdtemp(prefix="outside-", dir=harness.DIR)
    secret = os.path.join(out, "secret")
    with open(secret, "wb") as f:
        f.write(b"SECRET")
    os.symlink(secret, os.path.join(top, "link"))
    os.symlink(out, os.path.join(top, "dir"))
    os.symlink("../../", os.path.join(top, "up"))
    os.symlink("nowhere", os.path.join(top, "dangling"))
    os.symlink("loop", os.path.join(top, "loop"))
    os.symlink(out, os.path.join(t.gw.root, "linkedbucket"))
    rel = "up/" + os.path.basename(out) + "/secret"
    for key in ("link", "dir/secret", "dir", "dir/", "up/" + b + "/k", rel,
                "dangling", "loop", "loop/x"):
        for m in ("GET", "HEAD"):
            r = t.s3.call(m, b, key)
            assert r.status in (403, 404) and b"SECRET" not in r.body, (
                key, r)
        r = t.s3.call("PUT", b, "copy", h={
            "x-amz-copy-source": "%s/%s" % (b, key)})
        assert r.status in (403, 404), (key, r)
    for v in (1, 2):
        for prefix in ("", "dir/", "up/", "link"):
            p = t.s3.list(b, v, prefix=prefix)
            bad = [k for k in p.keys if "secret" in k or k.startswith("up/")]
            same(bad, [], "listed from outside")
    for r in (t.s3.get("linkedbucket"), t.s3.get("linkedbucket", "secret"),
              t.s3.put("linkedbucket", "new", b"x"),
              t.s3.delete("linkedbucket", "secret")):
        refused(r, 404, "NoSuchBucket")
    for key in ("link", "dir/secret", "dir/new", "dir", "up/new", "dangling",
                rel):
        t.s3.put(b, key, b"WRITTEN")
        t.s3.delete(b, key)
    t.s3.empty_bucket(b)
    t.s3.delete(b)
    with open(secret, "rb") as f:
        same(f.read(), b"SECRET")
    same(os.listdir(out), ["secret"])
    os.unlink(os.path.join(t.gw.root, "linkedbucket"))


@case
def keys_through_links_still_work(t):
    """A link in the way of a key is an obstacle, not the end: such a PUT is
    refused with an error, or stored where it belongs."""
    b = stocked(t)
    top = bucket_folder(t, b)
    os.symlink("/etc", os.path.join(top, "dir"))
    r = t.s3.put(b, "dir/passwd", b"mine")
    assert r.status == 200 or 400 <= r.status < 600, r
    if r.status == 200:
        same(ok(t.s3.get(b, "dir/passwd")).body, b"mine")
    else:
        refused(t.s3.get(b, "dir/passwd"), 404, "NoSuchKey")
    os.unlink(os.path.join(top, "dir"))


@case
def special_files(t):
    """A FIFO must not stop a reader, nor a socket; they are no objects."""
    b = stocked(t)
    top = bucket_folder(t, b)
    os.mkfifo(os.path.join(top, "fifo"))
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.path.join(top, "sock"))
    for key in ("fifo", "sock"):
        for m in ("GET", "HEAD"):
            assert t.s3.call(m, b, key).status in (403, 404), key
    well(t, b)
    for key in ("fifo", "sock"):
        r = t.s3.put(b, key, b"x")
        assert r.status == 200 or 400 <= r.status < 600, r
        t.s3.delete(b, key)
    s.close()
    well(t, b)


@case
def spoilt_attributes(t):
    """Somebody else wrote into what the gateway notes with a file: the worst
    that may come of it is an error for that object."""
    b = stocked(t)
    top = bucket_folder(t, b)
    t.s3.store(b, "victim", b"x", x_amz_meta_a="b")
    path = os.path.join(top, "victim")
    if not os.path.exists(path):
        return
    names = os.listxattr(path)
    for name in names:
        good = os.getxattr(path, name)
        for bad in (b"", b"{", b"[]", b"null", b"{}", b"5", b"\xff" * 100,
                    good[:-1], good[:len(good) // 2], good.replace(
                        b'"', b"'"), good * 2, b"[" * 2000, b'{"a":' * 400,
                    good.replace(b":", b":5,", 1), bytes(len(good))):
            try:
                os.setxattr(path, name, bad)
            except OSError:  # too long for this file system
                continue
            for r in (t.s3.get(b, "victim"), t.s3.head(b, "victim"),
                      t.s3.get(b), t.s3.call("PUT", b, "c", h={
                          "x-amz-copy-source": b + "/victim"})):
                assert r.status in (200, 404, 500), (bad[:30], r)
            ok(t.s3.get(b, "k"))
        os.setxattr(path, name, good)
    for key in ("victim", "c"):
        ok(t.s3.delete(b, key), 204)
    well(t, b)


# --- the RDMA header ---------------------------------------------------------

@case
def rdma_tokens_that_are_none(t):
    """A token that means nothing: the object in the body, or an error; never
    a claim that the bytes went elsewhere."""
    b = stocked(t)
    dc = "%016x:%08x:%08x:%04x:%06x:1:%032x" % (1 << 40, 4096, 7, 0, 5, 9)
    for tok in (dc, dc[:-1], dc + ":0:0", "0" * 88, "shm:/etc/passwd:0:10",
                "shm:", "shm:" + "9" * 5000, "rc:x", "garbage", "",
                "x:ofi1:y", "%s" * 50, "shm:../../x:1:2", "::::::"):
        r = t.s3.get(b, "k", x_amz_rdma_token=tok)
        assert r.status == 200 or 400 <= r.status <= 501, (tok, r)
        same(r["x-amz-rdma-reply"] in (None, "501"), True, tok)
        if r.status == 200:
            assert r.body == DATA, tok
        r = t.s3.put(b, "new", b"", x_amz_rdma_token=tok)
        if r.status == 200:  # a header that it does not look at
            same(r["x-amz-rdma-reply"], None, tok)
            ok(t.s3.delete(b, "new"), 204)
        same(t.s3.head(b, "new").status, 404, tok)
    well(t, b)


# --- the access log ----------------------------------------------------------

QUOTED = r'"((?:[^"\\\x00-\x1f\x7f-\xff]|\\.)*)"'
COMBINED = re.compile(
    r"^(\S+) (\S+) (\S+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    + QUOTED + r" (\d{3}) (\d+|-) " + QUOTED + " " + QUOTED + "$")


def log_lines(mark):
    """The parsed lines whose request holds mark, once there are any."""
    with open(LOG, "rb") as f:
        lines = f.read().decode("latin1").split("\n")
    out = []
    for line in lines:
        if mark in line:
            m = COMBINED.match(line)
            assert m, "not in combined format: %r" % line
            out.append(m.groups())
    return out


def logged(mark, n=1):
    harness.wait_for("a log line of " + mark,
                     lambda: len(log_lines(mark)) >= n)
    same(len(log_lines(mark)), n, mark)
    return log_lines(mark)[-1]


@case
def access_log(t):
    t.must_be_ours()
    b = stocked(t, "log")
    t.s3.call("GET", b, "k", [("x-mark", "one"), ("p", "a b\"'\n%")],
              {"User-Agent": "agent/1.0", "Referer": "http://r/?q=1",
               "Range": "bytes=10-19"})
    host, _, user, when, req, status, size, ref, agent = logged("x-mark=one")
    same(host, "127.0.0.1")
    same(req, "GET /%s/k?x-mark=one&p=a%%20b%%22%%27%%0A%%25 HTTP/1.1" % b)
    same((status, size, ref, agent),
         ("206", "10", "http://r/?q=1", "agent/1.0"))
    assert user in ("-", t.ak), user
    at = time.mktime(time.strptime(when[:20], "%d/%b/%Y:%H:%M:%S"))
    assert abs(at - time.mktime(time.gmtime())) < 120 or when[-5:] != "+0000"

    def check(m, key, q, status, *sizes):
        t.s3.call(m, b, key, [("x-mark", q)])
        g = logged("x-mark=" + q)
        assert g[4].startswith(m + " /"), g
        same((g[5], g[7]), (status, "-"), "status and Referer")
        assert not sizes or g[6] in sizes, g

    # The size is that of the body that was sent.
    each([("GET", "k", "two", "200", str(len(DATA))),
          ("GET", "none", "three", "404"), ("HEAD", "k", "four", "200", "0",
                                            "-"),
          ("PUT", "new", "five", "200", "0", "-"),
          ("DELETE", "new", "six", "204", "0", "-")], check)
    r = t.s3.anonymous("GET", b, "k", [("x-mark", "seven")])
    same((r.status, logged("x-mark=seven")[5]), (403, "403"))


@case
def access_log_is_quoted(t):
    """What clients say cannot end a field or a line, nor move a terminal."""
    t.must_be_ours()
    b = stocked(t, "log")
    evil = ('" 200 5 "-" "x', "\\", '\\"', "a\tb", "\x1b[2J", "\x7f",
            "caf\u00e9", "\u202e", "x" * 3000, "'")
    for i, v in enumerate(evil):
        mark = "x-evil=%d." % i
        raw = v.encode()
        h = head(t, "GET", "/%s/k?%s" % (b, mark), signed=False)
        talk(t, h[:-2] + b"User-Agent: " + raw + b"\r\nReferer: " + raw
             + b"\r\nConnection: close\r\n\r\n")
        for l in log_lines(mark):  # one or, for what was no HTTP, none
            same(l[4], "GET /%s/k?%s HTTP/1.1" % (b, mark))
    for i, target in enumerate(('/a"b', "/a\\b", "/\x01\x02", "/\xff\xfe",
                                "/\x7f", "/<>|^`{}")):
        data = b"GET %s?x-raw=%d. HTTP/1.1\r\nHost: x\r\n\r\n" % (
            target.encode("latin1"), i)
        talk(t, data)
    # Requests that end before their answer have a line like any other.
    Raw(t).send(head(t, "PUT", "/%s/new" % b, [
        ("Content-Length", "1000")]) + b"x").reset()
    talk(t, head(t, "PUT", "/%s/new" % b, [("Content-Length", "9")]) + b"x")
    ok(t.s3.get(b, "k", [("x-mark", "last")]))
    logged("x-mark=last")
    with open(LOG, "rb") as f:
        for line in f.read().decode("latin1").splitlines():
            assert COMBINED.match(line), "not in combined format: %r" % line
    well(t, b)


@case
def access_log_is_appended(t):
    """A gateway that is started again goes on with the log."""
    t.must_be_ours()
    b = stocked(t, "log")
    t.s3.call("GET", b, "k", [("x-mark", "before")])
    logged("x-mark=before")
    t.gw.stop()
    t.gw.start()
    t.s3.close()
    t.s3.call("GET", b, "k", [("x-mark", "after")])
    logged("x-mark=after")
    logged("x-mark=before")


def resident(t):
    """KiB of memory that the gateway holds."""
    with open("/proc/%d/status" % t.gw.proc.pid) as f:
        return next(int(l.split()[1]) for l in f if l.startswith("VmRSS:"))


@case
def refusals_cost_no_memory(t):
    """Anybody can send requests that are refused; they leave nothing."""
    t.must_be_ours()
    if harness.SLOW > 1:
        raise Skipped("a sanitizer or valgrind looks at leaks itself")
    b = stocked(t)
    bad_xml = b"<Delete>" + b"<Object/>" * 900 + b"</Delete>"
    kinds = [
        lambda: talk(t, b"GET /?" + b"p=v&" * 15000 + b" HTTP/1.1\r\n\r\n"),
        lambda: talk(t, head(t, "GET", "/%s/k?" % b + "x" * 5000, [
            ("X-Long", "v" * 60000)], signed=False)),
        lambda: talk(t, b"GET /" + b"a" * 20000),
        lambda: t.s3.call("POST", b, None, [("delete", None)],
                          [("Content-MD5", content_md5(bad_xml))], bad_xml),
        lambda: t.s3.anonymous("GET", b, "x" * 3000)]

    def check(n):
        for _ in range(50):
            kinds[n]()
        before = resident(t)
        for _ in range(500):
            kinds[n]()
        grown = resident(t) - before
        assert grown < 4096, "grew by %d KiB in 500 requests" % grown

    each(range(len(kinds)), check)
    well(t, b)


SERVER = Server(args=["--access-log", LOG])
if SERVER.gw:
    SERVER.gw.allow += ["warning:"]  # it may say that it was ill-treated
main(SERVER, ceph={
    "keys_that_are_no_text": "out of step now and then",
    "part_numbers_in_xml": "digits are enough",
    "garbage": "anybody may list no buckets",
    "bad_percent_encoding": "anybody may list no buckets",
    "parameters_that_are_no_text": "told back as they are",
    "xml_to_delete_objects": "loses step after refusing a body",
    "xml_to_complete": "416",
})
