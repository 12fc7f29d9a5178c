# SPDX-License-Identifier: Apache-2.0
"""An S3 server that lists as badly as it is told.

One bucket, any name.  Below "good/", and wherever nothing else was said, it
answers from a sorted list of keys, as S3 does.  A prefix may have a hostile
answer: hostile[prefix] = f(ask) -> (status, headers, body), where body is
bytes or an iterable of them, or None for the honest answer.  Signatures are
not looked at.
"""
import bisect
import http.server
import socketserver
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

import harness

ETAG = '"0123456789abcdef0123456789abcdef"'
HEAD = ('<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult '
        'xmlns="http://s3.amazonaws.com/doc/2006-03-01/">')
TAIL = "</ListBucketResult>"


def content(key, size=1, etag=ETAG):
    return ("<Contents><Key>%s</Key><LastModified>2026-01-02T03:04:05.000Z"
            "</LastModified><ETag>%s</ETag><Size>%s</Size><StorageClass>"
            "STANDARD</StorageClass></Contents>" % (key, escape(etag), size))


def common(prefix):
    return "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % prefix


def encoded(key):
    if isinstance(key, str):
        key = key.encode()
    return urllib.parse.quote_from_bytes(key, safe="/")


def page(entries, token=None, url=True, more=None):
    """A page: entries are strings, see content() and common()."""
    truncated = token is not None if more is None else more
    return (HEAD + ("<EncodingType>url</EncodingType>" if url else "") +
            "<IsTruncated>%s</IsTruncated>" % ("true" if truncated else
                                               "false") +
            ("<NextContinuationToken>%s</NextContinuationToken>" % token
             if token is not None else "") + "".join(entries) + TAIL).encode()


class Ask:
    """A listing that was asked for."""

    def __init__(self, query, n):
        self.prefix = query.get("prefix", "")
        self.delimiter = query.get("delimiter", "")
        self.token = query.get("continuation-token")
        self.start = query.get("start-after", "")
        self.max = int(query.get("max-keys", 1000))
        self.n = n  # so many were asked for this prefix before

    def at(self):
        """The number that is in a token "tN", 0 without one."""
        return int(self.token[1:]) if self.token else 0


class Server:
    def __init__(self, keys=()):
        self.lock = threading.Lock()
        self.hostile = {}   # prefix -> answer
        self.counts = {}    # prefix that is hostile -> listings asked for
        self.total = 0      # requests of all kinds
        self.heads = 0
        self.before = None  # called with each Ask (None: a HEAD), may wait
        self.set_keys(keys)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer._get(self)

            def do_HEAD(self):
                outer._head(self)

        class Http(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, address):
                pass  # a client that does not want to hear more

        self.http = Http(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.ak, self.sk = harness.AK, harness.SK
        threading.Thread(target=self.http.serve_forever, daemon=True,
                         kwargs={"poll_interval": 0.05}).start()
        harness._cleanups.append(self.http.shutdown)

    def set_keys(self, keys):
        """keys: bytes-ordered names of the honest part; size by its name."""
        keys = sorted(k.encode() for k in keys)
        with self.lock:
            self.keys = keys
            self.known = set(keys)

    @staticmethod
    def size_of(key):
        if isinstance(key, str):
            key = key.encode()
        return sum(key) % 1000

    # ---- answers ----

    @staticmethod
    def _send(h, status, headers, body):
        h.send_response(status)
        sized = any(k.lower() == "content-length" for k in headers)
        for k, v in headers.items():
            h.send_header(k, v)
        if isinstance(body, bytes):
            if not sized:
                h.send_header("Content-Length", str(len(body)))
            h.end_headers()
            if h.command != "HEAD":
                h.wfile.write(body)
        else:
            if not sized:
                h.send_header("Connection", "close")
                h.close_connection = True
            h.end_headers()
            for piece in body:
                h.wfile.write(piece)
        h.wfile.flush()
        if sized:
            h.close_connection = True

    def _get(self, h):
        path, _, query = h.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True,
                                            errors="surrogateescape"))
        with self.lock:
            self.total += 1
        key = path.lstrip("/").partition("/")[2]
        if "list-type" not in query:
            key = urllib.parse.unquote_to_bytes(key)
            size = self.size_of(key)
            data = bytes(size) if key in self.known else b""
            self._send(h, 200 if key in self.known else 404,
                       {"ETag": ETAG}, data)
            return
        ask = Ask(query, 0)
        if self.before:
            self.before(ask)
        for prefix, answer in list(self.hostile.items()):
            # What walks ask for without delimiter begins with it too.
            if ask.prefix == prefix or (ask.prefix + ask.start).find(
                    prefix) == 0 and not ask.delimiter:
                with self.lock:
                    ask.n = self.counts.get(prefix, 0)
                    self.counts[prefix] = ask.n + 1
                got = answer(ask)
                if got is not None:
                    self._send(h, *(got if isinstance(got, tuple)
                                    else (200, {}, got)))
                    return
                break
        self._send(h, 200, {"Content-Type": "application/xml"},
                   self.honest(ask))

    def _head(self, h):
        if self.before:
            self.before(None)
        path = h.path.partition("?")[0].lstrip("/").partition("/")[2]
        key = urllib.parse.unquote_to_bytes(path)
        with self.lock:
            self.total += 1
            self.heads += 1
        if not key:
            self._send(h, 200, {}, b"")
        elif key in self.known:
            self._send(h, 200, {
                "ETag": ETAG, "Content-Length": str(self.size_of(key)),
                "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"}, b"")
        else:
            self._send(h, 404, {}, b"")

    def honest(self, ask):
        keys, prefix = self.keys, ask.prefix.encode(errors="surrogateescape")
        delim = ask.delimiter.encode()
        start = (ask.token or ask.start).encode(errors="surrogateescape")
        at = max(bisect.bisect_left(keys, prefix),
                 bisect.bisect_right(keys, start) if start else 0)
        if start and delim and start.endswith(delim):
            at = max(at, bisect.bisect_left(keys, start[:-1] + b"0"))
        out, last = [], None
        while at < len(keys) and keys[at].startswith(prefix):
            if len(out) >= ask.max:
                return page(out, escape(last.decode()))
            key = keys[at]
            cut = key.find(delim, len(prefix)) if delim else -1
            if cut >= 0:
                last = key[:cut + 1]
                out.append(common(encoded(last)))
                at = bisect.bisect_left(keys, last[:-1] + b"0")
            else:
                last = key
                out.append(content(encoded(key), self.size_of(key)))
                at += 1
        return page(out)


class Gate:
    """Holds listings back: for Server.before.  hold says of which Asks."""

    def __init__(self, hold):
        self.hold, self.event = hold, threading.Event()
        self.held = 0

    def __call__(self, ask):
        if not self.event.is_set() and self.hold(ask):
            self.held += 1
            self.event.wait(120)

    def open(self):
        self.event.set()


class Rounds:
    """Counts round trips: a request waits until no other has come for a
    while; then all that wait are let go together."""

    def __init__(self, quiet=0.15):
        self.quiet, self.rounds, self.waiting = quiet, 0, []
        self.lock, self.last = threading.Lock(), time.monotonic()
        threading.Thread(target=self._tick, daemon=True).start()

    def __call__(self, ask):
        event = threading.Event()
        with self.lock:
            self.waiting.append(event)
            self.last = time.monotonic()
        event.wait(60)

    def _tick(self):
        while True:
            time.sleep(0.01)
            with self.lock:
                if self.waiting and time.monotonic() - self.last > self.quiet:
                    self.rounds += 1
                    for e in self.waiting:
                        e.set()
                    self.waiting = []
