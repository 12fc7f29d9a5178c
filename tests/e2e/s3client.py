# SPDX-License-Identifier: Apache-2.0
"""An S3 client made for tests, and the runner of the gateway tests.

It signs and sends exactly what it is told, wrong or odd, which no SDK does,
and it shares no code with the gateway or with botocore: two readings of the
rules that agree are worth more than one.

The tests that use it normally start a gateway.  With S3TEST_URL (and
S3TEST_AK, S3TEST_SK) set they run against that server instead, so that the
tests themselves can be tried on an S3 server that we did not write.
S3TEST_KIND=ceph prints the known differences of Ceph as such.
"""
import base64
import datetime
import email.utils
import hashlib
import hmac
import http.client
import itertools
import os
import re
import shutil
import sys
import threading
import time
import traceback
import urllib.parse
import xml.etree.ElementTree as ElementTree
import zlib

import harness

EMPTY_SHA = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAM = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAM_TRAILER = STREAM + "-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

REGION = "us-east-1"
TIMEOUT = 60 * harness.SLOW


# --- encoding and hashes -----------------------------------------------------

def quote(s, safe=""):
    """Percent-encoding as SigV4 wants it: all but the unreserved."""
    return urllib.parse.quote(s, safe="-_.~" + safe)


def md5(data):
    return hashlib.md5(data).hexdigest()


def etag(data):
    return '"%s"' % md5(data)


def mp_etag(parts):
    """The ETag of a multipart object: the MD5 of the MD5s, and a count."""
    inner = b"".join(hashlib.md5(p).digest() for p in parts)
    return '"%s-%d"' % (md5(inner), len(parts))


def b64(raw):
    return base64.b64encode(raw).decode()


def _reflected_table(poly):
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (poly if n & 1 else 0)
        table.append(n)
    return table


def _crc(table, bits, data):
    """Bitwise-reflected CRC with all ones in and out: slow and plain."""
    ones = (1 << bits) - 1
    c = ones
    for byte in data:
        c = table[(c ^ byte) & 0xff] ^ (c >> 8)
    return (c ^ ones).to_bytes(bits // 8, "big")


_CRC32C = _reflected_table(0x82F63B78)
_CRC64NVME = _reflected_table(0x9A6C9329AC4BC9B5)

# The five checksums of S3 by the name that their header has.
CHECKSUMS = {
    "crc32": lambda d: zlib.crc32(d).to_bytes(4, "big"),
    "crc32c": lambda d: _crc(_CRC32C, 32, d),
    "crc64nvme": lambda d: _crc(_CRC64NVME, 64, d),
    "sha1": lambda d: hashlib.sha1(d).digest(),
    "sha256": lambda d: hashlib.sha256(d).digest(),
}


def checksum(name, data):
    return b64(CHECKSUMS[name](data))


assert CHECKSUMS["crc32c"](b"123456789").hex() == "e3069283"
assert CHECKSUMS["crc64nvme"](b"123456789").hex() == "ae8b14860a799888"


def amz_date(when=None):
    """The ISO date of now, or of so many seconds from now."""
    t = datetime.datetime.now(datetime.timezone.utc)
    t += datetime.timedelta(seconds=when or 0)
    return t.strftime("%Y%m%dT%H%M%SZ")


def http_date(t):
    return email.utils.formatdate(t, usegmt=True)


def http_time(s):
    return email.utils.parsedate_to_datetime(s).timestamp()


# --- SigV4 -------------------------------------------------------------------

def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def canonical_query(pairs):
    enc = sorted((quote(k), quote(v or "")) for k, v in pairs)
    return "&".join(k + "=" + v for k, v in enc)


class Signer:
    """One signature: the seed of a request and of its chunks after it."""

    def __init__(self, ak, sk, date, region=REGION, service="s3"):
        self.ak, self.date = ak, date
        self.scope = "%s/%s/%s/aws4_request" % (date[:8], region, service)
        key = ("AWS4" + sk).encode()
        for part in self.scope.split("/"):
            key = _hmac(key, part)
        self.key, self.last = key, None

    def _sign(self, kind, *lines):
        text = "\n".join((kind, self.date, self.scope) + lines)
        self.last = _hmac(self.key, text).hex()
        return self.last

    def request(self, method, path, query, headers, payload):
        """The signature over a request, and the names that it covers."""
        low = sorted((k.lower(), " ".join(v.split()))
                     for k, v in headers)
        names = ";".join(k for k, _ in low)
        text = "\n".join([method, path, canonical_query(query)]
                         + [k + ":" + v for k, v in low]
                         + ["", names, payload])
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self._sign("AWS4-HMAC-SHA256", digest), names

    def chunk(self, data):
        return self._sign("AWS4-HMAC-SHA256-PAYLOAD", self.last, EMPTY_SHA,
                          hashlib.sha256(data).hexdigest())

    def trailer(self, text):
        return self._sign("AWS4-HMAC-SHA256-TRAILER", self.last,
                          hashlib.sha256(text).hexdigest())


# --- answers -----------------------------------------------------------------

class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __getitem__(self, name):
        return self.headers.get(name.lower())

    def __repr__(self):
        return "%d %s %r" % (self.status, self.headers, self.body[:400])

    def xml(self):
        """The body's root, without the name space that only clutters."""
        text = re.sub(rb' xmlns="[^"]*"', b"", self.body, count=1)
        return ElementTree.fromstring(text)

    def texts(self, path):
        return [e.text or "" for e in self.xml().findall(path)]

    def text(self, path):
        e = self.xml().find(path)
        return None if e is None else e.text or ""

    def code(self):
        if not self.body:
            return None
        try:
            return self.text("Code")
        except ElementTree.ParseError:
            return None


# --- the client --------------------------------------------------------------

class Client:
    """Requests to one server; each thread has a connection of its own."""

    def __init__(self, host, port, ak, sk):
        self.host, self.port, self.ak, self.sk = host, port, ak, sk
        self.local = threading.local()

    def other(self, ak=None, sk=None):
        return Client(self.host, self.port, ak or self.ak, sk or self.sk)

    @property
    def netloc(self):
        return "%s:%d" % (self.host, self.port)

    def close(self):
        c = getattr(self.local, "conn", None)
        if c:
            c.close()
        self.local.conn = None

    def _conn(self):
        if not getattr(self.local, "conn", None):
            self.local.conn = http.client.HTTPConnection(
                self.host, self.port, timeout=TIMEOUT)
            self.local.fresh = True
        return self.local.conn

    def send(self, method, target, headers, body=b""):
        """Send exactly this (headers: pairs; body: bytes or an iterable of
        pieces) and return the Reply.  A kept connection that the server has
        closed meanwhile is opened once more, as HTTP allows."""
        while True:
            c = self._conn()
            fresh, self.local.fresh = self.local.fresh, False
            try:
                return self._exchange(c, method, target, headers, body)
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if fresh:
                    raise
            except BaseException:
                self.close()
                raise

    def _exchange(self, c, method, target, headers, body):
        c.putrequest(method, target, skip_host=True,
                     skip_accept_encoding=True)
        for k, v in headers:
            c.putheader(k, v.encode() if isinstance(v, str) else v)
        broken = None
        try:
            c.endheaders()
            for piece in [body] if isinstance(body, bytes) else body:
                if piece:
                    c.send(piece)
        except (BrokenPipeError, ConnectionResetError) as e:
            if not c.sock:
                raise
            broken = e  # an early answer is still worth reading
        try:
            r = c.getresponse()
            data = r.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            raise broken or sys.exc_info()[1]
        h = {}
        for k, v in r.getheaders():
            k = k.lower()
            h[k] = h[k] + ", " + v if k in h else v
        if broken or r.will_close:
            self.close()
        return Reply(r.status, h, data)

    @staticmethod
    def path(bucket=None, key=None):
        """The path of a key, as it is signed and as it is sent."""
        p = "/"
        if bucket is not None:
            p += quote(bucket)
            if key is not None:
                p += "/" + quote(key, safe="/")
        return p

    @staticmethod
    def target(path, query):
        if not query:
            return path
        return path + "?" + "&".join(
            quote(k) if v is None else quote(k) + "=" + quote(v)
            for k, v in query)

    def signed(self, method, path, query, headers, payload, when=None,
               region=REGION, service="s3", unsigned=(), ak=None, sk=None,
               date=None):
        """All headers of a signed request, and its Signer."""
        s = Signer(ak or self.ak, sk or self.sk,
                   amz_date(when) if date is None else date,
                   region, service)
        h = [("Host", self.netloc), ("x-amz-date", s.date)]
        if payload is not None:
            h.append(("x-amz-content-sha256", payload))
        h += headers
        cover = [(k, v) for k, v in h if k.lower() not in unsigned]
        sig, names = s.request(method, path, query, cover,
                               payload or EMPTY_SHA)
        h.append(("Authorization", "AWS4-HMAC-SHA256 Credential=%s/%s, "
                  "SignedHeaders=%s, Signature=%s"
                  % (s.ak, s.scope, names, sig)))
        return h, s

    def call(self, method, bucket=None, key=None, q=(), h=(), body=b"",
             payload="sha256", length="auto", **sign):
        """One signed request.  payload: "sha256" for the digest of the body,
        or the value itself.  length: None leaves Content-Length out."""
        if payload == "sha256":
            payload = hashlib.sha256(body).hexdigest()
        q = list(q.items()) if isinstance(q, dict) else list(q)
        h = list(h.items()) if isinstance(h, dict) else list(h)
        path = self.path(bucket, key)
        h, _ = self.signed(method, path, q, h, payload, **sign)
        if length == "auto":
            length = len(body) if body or method in ("PUT", "POST") else None
        if length is not None:
            h.append(("Content-Length", str(length)))
        return self.send(method, self.target(path, q), h, body)

    def anonymous(self, method, bucket=None, key=None, q=(), h=(), body=b""):
        path = self.path(bucket, key)
        h = [("Host", self.netloc)] + list(h)
        if body or method in ("PUT", "POST"):
            h.append(("Content-Length", str(len(body))))
        return self.send(method, self.target(path, list(q)), h, body)

    def get(self, bucket, key=None, q=(), **h):
        return self.call("GET", bucket, key, q, _headers(h))

    def head(self, bucket, key=None, q=(), **h):
        return self.call("HEAD", bucket, key, q, _headers(h))

    def put(self, bucket, key, body=b"", **h):
        return self.call("PUT", bucket, key, (), _headers(h), body)

    def delete(self, bucket, key=None, q=(), **h):
        return self.call("DELETE", bucket, key, q, _headers(h))

    # aws-chunked uploads: the body is made of chunks in the form that the
    # x-amz-content-sha256 header announces.

    def put_chunked(self, bucket, key, data, kind=STREAM, trailer=None,
                    sizes=(65536,), h=(), q=(), spoil=None, decoded=None,
                    te=False, encoding="aws-chunked", declare=None):
        """PUT data in aws-chunked form.  trailer: pairs sent after the last
        chunk.  spoil: a function on the list of body pieces.  decoded: the
        value of x-amz-decoded-content-length ("" leaves it out).  te: send
        by Transfer-Encoding instead of Content-Length."""
        h = list(h)
        if encoding:
            h.append(("Content-Encoding", encoding))
        if decoded != "":
            h.append(("x-amz-decoded-content-length",
                      str(len(data) if decoded is None else decoded)))
        trailer = list(trailer or [])
        names = [k for k, _ in trailer] if declare is None else declare
        if names:
            h.append(("x-amz-trailer", ",".join(names)))
        path = self.path(bucket, key)
        q = list(q)
        h, signer = self.signed("PUT", path, q, h, kind)
        pieces = chunks(data, sizes, signer if "HMAC" in kind else None)
        pieces.append(_trailer_text(
            trailer, signer if kind == STREAM_TRAILER else None))
        if spoil:
            pieces = spoil(pieces) or pieces
        body = b"".join(pieces)
        if te:
            h.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            h.append(("Content-Length", str(len(body))))
        return self.send("PUT", self.target(path, q), h, body)

    def presign(self, method, bucket, key, expires=300, when=None, q=(),
                h=(), sk=None, ak=None, payload=UNSIGNED):
        """The target of a presigned request."""
        s = Signer(ak or self.ak, sk or self.sk, amz_date(when))
        cover = [("host", self.netloc)] + list(h)
        q = list(q) + [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", s.ak + "/" + s.scope),
            ("X-Amz-Date", s.date), ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders",
             ";".join(sorted(k.lower() for k, _ in cover)))]
        path = self.path(bucket, key)
        sig, _ = s.request(method, path, q, cover, payload)
        return self.target(path, q + [("X-Amz-Signature", sig)])

    def send_presigned(self, method, target, h=(), body=b""):
        h = [("Host", self.netloc)] + list(h)
        if body or method == "PUT":
            h.append(("Content-Length", str(len(body))))
        return self.send(method, target, h, body)

    # Shorthands for what most tests need done, not tested.

    def make_bucket(self, name):
        ok(self.call("PUT", name))
        return name

    def store(self, bucket, key, body=b"", **h):
        r = ok(self.put(bucket, key, body, **h))
        assert r["etag"] == etag(body), r
        return r["etag"]

    def start_upload(self, bucket, key, **h):
        r = ok(self.call("POST", bucket, key, [("uploads", None)],
                         _headers(h)))
        # Not by XML, for the answer repeats the key, which may be such as
        # no XML can hold.
        return re.search(rb"<UploadId>(.*)</UploadId>", r.body)[1].decode()

    def put_part(self, bucket, key, upload, number, data, **h):
        r = ok(self.call("PUT", bucket, key, part_query(upload, number),
                         _headers(h), data))
        assert r["etag"] == etag(data), r
        return r["etag"]

    def complete(self, bucket, key, upload, parts, h=()):
        """parts: pairs of number and ETag."""
        return self.call("POST", bucket, key, [("uploadId", upload)], h,
                         complete_xml(parts))

    def abort(self, bucket, key, upload):
        return self.call("DELETE", bucket, key, [("uploadId", upload)])

    def multipart(self, bucket, key, datas, **h):
        up = self.start_upload(bucket, key, **h)
        tags = [(n, self.put_part(bucket, key, up, n, d))
                for n, d in enumerate(datas, 1)]
        return ok(self.complete(bucket, key, up, tags))

    def list(self, bucket, v=2, **args):
        """One page; argument names have _ for -."""
        q = [(k.replace("_", "-"), str(x)) for k, x in args.items()]
        if v == 2:
            q.insert(0, ("list-type", "2"))
        return Page(ok(self.call("GET", bucket, None, q)))

    def list_all(self, bucket, v=2, **args):
        """Every page, as (keys, common prefixes), each as it came."""
        keys, prefixes = [], []
        while True:
            p = self.list(bucket, v, **args)
            keys += p.keys
            prefixes += p.prefixes
            if not p.truncated:
                return keys, prefixes
            if v == 2:
                args["continuation_token"] = p.text("NextContinuationToken")
            else:
                args["marker"] = p.next_marker()

    def delete_many(self, bucket, keys, quiet=False):
        body = delete_xml(keys, quiet)
        return self.call("POST", bucket, None, [("delete", None)],
                         [("Content-MD5", content_md5(body))], body)

    def empty_bucket(self, bucket):
        while True:
            keys = self.list(bucket, encoding_type="url").keys
            if not keys:
                return
            r = ok(self.delete_many(bucket, keys, quiet=True))
            assert not r.texts("Error"), r


class Page:
    """A page of a listing; with encoding-type=url the names are decoded."""

    def __init__(self, reply):
        self.reply = reply
        x = self.root = reply.xml()
        assert x.tag == "ListBucketResult", reply
        url = x.findtext("EncodingType") == "url"
        self.dec = urllib.parse.unquote_plus if url else str
        self.keys = [self.dec(e.findtext("Key") or "")
                     for e in x.findall("Contents")]
        self.prefixes = [self.dec(e.findtext("Prefix") or "")
                         for e in x.findall("CommonPrefixes")]
        self.truncated = x.findtext("IsTruncated") == "true"
        assert x.findtext("IsTruncated") in ("true", "false"), reply

    def text(self, path):
        e = self.root.find(path)
        return None if e is None else e.text or ""

    def next_marker(self):
        """Where the next page of a V1 listing starts: NextMarker comes only
        with a delimiter, else it is the last key."""
        m = self.text("NextMarker")
        return self.keys[-1] if m is None else self.dec(m)


def _headers(h):
    """Keyword arguments to header pairs: _ stands for -."""
    return [(k.strip("_").replace("_", "-"), v) for k, v in h.items()]


def chunks(data, sizes, signer):
    """data as aws-chunked pieces; the last size repeats; signed or not."""
    pieces, off = [], 0
    sizes = itertools.chain(sizes, itertools.repeat(sizes[-1]))
    while True:
        part = data[off:off + next(sizes)]
        off += len(part)
        ext = b";chunk-signature=" + signer.chunk(part).encode() \
            if signer else b""
        # The last chunk has no data and so no line end after it here.
        pieces.append(b"%x%s\r\n" % (len(part), ext)
                      + (part + b"\r\n" if part else b""))
        if not part:
            return pieces


def _trailer_text(trailer, signer):
    text = "".join("%s:%s\r\n" % p for p in trailer)
    if signer:
        canon = "".join("%s:%s\n" % p for p in trailer)
        text += "x-amz-trailer-signature:%s\r\n" % signer.trailer(
            canon.encode())
    return text.encode() + b"\r\n"


def content_md5(body):
    return b64(hashlib.md5(body).digest())


def part_query(upload, number):
    return [("partNumber", str(number)), ("uploadId", upload)]


def xml_text(s):
    """Character data, with what an XML reader would not give back escaped."""
    return "".join("&#%d;" % ord(c) if c in "&<>\"'\r\n\t" else c for c in s)


def complete_xml(parts):
    return ("<CompleteMultipartUpload>" + "".join(
        "<Part><PartNumber>%s</PartNumber><ETag>%s</ETag></Part>"
        % (n, xml_text(t)) for n, t in parts)
        + "</CompleteMultipartUpload>").encode()


def delete_xml(keys, quiet=False):
    return ("<Delete>" + ("<Quiet>true</Quiet>" if quiet else "") + "".join(
        "<Object><Key>%s</Key></Object>" % xml_text(k) for k in keys)
        + "</Delete>").encode()


# --- checks ------------------------------------------------------------------

def ok(reply, *status):
    assert reply.status in (status or (200,)), reply
    return reply


def refused(reply, status, *codes):
    """An error as S3 has them: status and code, an XML body with a message
    and the request's id."""
    assert reply.status == status, "want %s %s, got %r" % (
        status, codes, reply)
    assert "xml" in (reply["content-type"] or ""), reply
    x = reply.xml()
    assert x.tag == "Error", reply
    assert x.findtext("Code") in codes, "want %s, got %r" % (codes, reply)
    if os.environ.get("S3TEST_KIND") != "ceph":  # which sends an empty one
        assert x.findtext("Message"), "no Message: %r" % reply
    assert x.findtext("RequestId"), "no RequestId: %r" % reply
    seen = reply["x-amz-request-id"]
    assert seen in (None, x.findtext("RequestId")), reply
    return reply


def same(got, want, what=""):
    assert got == want, "%s: got %r, want %r" % (what, got, want)


def each(items, check):
    """check(item) on all of them, so that one run tells every fault."""
    bad = []
    for item in items:
        try:
            check(*item) if isinstance(item, tuple) else check(item)
        except AssertionError as e:
            bad.append("%.60r: %.400s" % (item, e))
    assert not bad, "%d faults\n          %s" % (
        len(bad), "\n          ".join(bad[:12]))


def model_list(keys, prefix="", delimiter="", marker="", skip_rolled=True):
    """What a listing of these keys has, in order: (kind, name) pairs.  With
    skip_rolled a common prefix that is not after the marker is left out even
    where keys under it are."""
    out = []
    for k in sorted(keys, key=lambda k: k.encode()):
        if not k.startswith(prefix):
            continue
        kind, name = "key", k
        if delimiter:
            i = k.find(delimiter, len(prefix))
            if i >= 0:
                kind, name = "prefix", k[:i + len(delimiter)]
        pos = name if skip_rolled else k
        if marker and pos.encode() <= marker.encode():
            continue
        if not out or out[-1] != (kind, name):
            out.append((kind, name))
    return out


def entries_of(page):
    """The (kind, name) pairs of a page in their common order; that keys and
    prefixes each came in order is checked here."""
    for names in (page.keys, page.prefixes):
        raw = [n.encode() for n in names]
        same(raw, sorted(set(raw)), "order in the page")
    out = [("key", k) for k in page.keys]
    out += [("prefix", p) for p in page.prefixes]
    return sorted(out, key=lambda e: e[1].encode())


# --- the server under test and the cases -------------------------------------

class Server:
    """A gateway of our own, or the one that S3TEST_URL names."""

    def __init__(self, **gateway):
        url = os.environ.get("S3TEST_URL")
        if not url and not os.path.exists(harness.GATEWAY):
            harness.skip("not built: " + harness.GATEWAY)
        self.gw = None if url else harness.Gateway(**gateway).start()
        self.url = url or self.gw.url
        self.ak = os.environ["S3TEST_AK"] if url else self.gw.ak
        self.sk = os.environ["S3TEST_SK"] if url else self.gw.sk
        u = urllib.parse.urlsplit(self.url)
        self.host, self.port = u.hostname, u.port
        self.s3 = Client(self.host, self.port, self.ak, self.sk)
        self._names = itertools.count()
        self._run = "%x" % (time.time_ns() // 1000000)

    def name(self, hint="b"):
        """A bucket name that no run has used before."""
        return "t%s-%s-%d" % (self._run, hint.replace("_", "-")[:30],
                              next(self._names))

    def bucket(self, hint="b"):
        return self.s3.make_bucket(self.name(hint))

    def boto(self, **config):
        if self.gw:
            return self.gw.client(**config)
        import boto3
        import botocore.config
        config.setdefault("s3", {"addressing_style": "path"})
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=self.ak,
            aws_secret_access_key=self.sk, region_name=REGION,
            config=botocore.config.Config(**config))

    def env(self, **more):
        """The environment of a command that talks to it."""
        return harness.clean_env(
            AWS_ACCESS_KEY_ID=self.ak, AWS_SECRET_ACCESS_KEY=self.sk,
            AWS_DEFAULT_REGION=REGION, AWS_EC2_METADATA_DISABLED="true",
            **more)

    def must_be_ours(self):
        if not self.gw:
            raise Skipped("it is not our gateway that is tested")

    def revive(self):
        """A failed case may have ended the gateway; the others want one."""
        if self.gw and not self.gw.alive():
            print("        the gateway is gone:", self.gw.text()[-1500:])
            self.gw.start()

    def finish(self):
        """It must still be there, end well and have logged nothing bad."""
        if self.gw:
            assert self.gw.alive(), "gateway died: " + self.gw.text()[-4000:]
            self.gw.stop()


class Skipped(Exception):
    """A case cannot be run here; the reason is its text."""


_cases = []


def case(f):
    """A case of the test: a function that is given the server."""
    _cases.append(f)
    return f


def main(server, ceph=None):
    """Run the cases (all, or those whose names are on the command line), one
    line each; all are run even if some fail, for each stands alone.  ceph:
    the cases in which Ceph is known to differ from AWS, with the reason."""
    differs = ceph or {}
    if os.environ.get("S3TEST_KIND") != "ceph":
        differs = {}
    failed, passed = [], 0
    picked = [f for f in _cases
              if not sys.argv[1:] or f.__name__ in sys.argv[1:]]
    for f in picked:
        name = f.__name__
        start = time.monotonic()
        try:
            f(server)
        except Skipped as e:
            print("skip   ", name, "-", e, flush=True)
        except Exception as e:
            server.s3.close()
            if name in differs:
                print("differs", name, "-", differs[name], flush=True)
                continue
            failed.append(name)
            tail = traceback.extract_tb(e.__traceback__)
            at = [t for t in tail if t.filename == f.__code__.co_filename]
            print("FAILED  %s, line %s: %s: %s" % (
                name, " < ".join(str(t.lineno) for t in reversed(at)),
                type(e).__name__, str(e)[:5000]), flush=True)
            server.revive()
        else:
            passed += 1
            print("ok      %s (%.1f s)%s" % (
                name, time.monotonic() - start,
                " - NOT EXPECTED of Ceph" if name in differs else ""),
                flush=True)
    try:
        server.finish()
    except Exception as e:
        print("FAILED  the end of the gateway:", e)
        failed.append("end")
    print("%d of %d cases passed" % (passed, len(picked)))
    if failed:
        print("failed:", " ".join(failed))
    sys.exit(1 if failed else 0)


def in_threads(jobs):
    """Run the functions at the same time; their results in order.  The first
    exception is raised after all have ended."""
    results = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def work(i):
        try:
            gate.wait()
            results[i] = jobs[i]()
        except BaseException as e:
            results[i] = e

    threads = [threading.Thread(target=work, args=(i,))
               for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        if isinstance(r, BaseException):
            raise r
    return results


def need(command):
    if not shutil.which(command, path="/usr/bin:/bin"):
        harness.skip(command + " is not installed")
