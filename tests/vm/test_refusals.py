#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the gateway must refuse of rc, asked by hand: requests that are not
signed as they should be, tokens of others, sessions that are used twice, too
late or by somebody else, and nonsense.  None of it may end the gateway or
leave a queue pair behind."""
import datetime
import hashlib
import hmac
import http.client
import os
import struct
import threading

import vmlib  # first: it makes the next two be found
from files import ok
from harness import AK, DIR, SK, wait_for
from vmlib import (CLIENT, SERVER, case, finish, need_vm, queue_pairs,
                    rc_gateway)

OTHER = ("otherkey", "othersecret")
V2 = "hipobj-rc-v2"
QPN, PSN, COOKIE = 0x321, "000abc", "1234abcd"
SIZE = 5000
# More than the gateway keeps a session that is not used.
EXPIRY = 40


def gid(address):
    return b"\0" * 10 + b"\xff\xff" + bytes(map(int, address.split(".")))


def token(address=CLIENT, qpn=QPN, raw=None):
    """A queue pair's, 44 bytes as 88 digits."""
    return (b"\1" + struct.pack("<I", qpn) + (raw or gid(address)) +
            struct.pack("<IQQBH", 0, 0, 0, 1, 0)).hex()


def sign(method, path, headers, unsigned, key, port):
    now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
    scope = "%s/us-east-1/s3/aws4_request" % now[:8]
    headers.update({"host": "%s:%d" % (SERVER, port), "x-amz-date": now,
                    "x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    low = sorted((k, v) for k, v in headers.items() if k not in unsigned)
    names = ";".join(k for k, _ in low)
    canon = "\n".join([method, path, ""] + ["%s:%s" % h for h in low] +
                      ["", names, "UNSIGNED-PAYLOAD"])
    todo = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                      hashlib.sha256(canon.encode()).hexdigest()])
    k = ("AWS4" + key[1]).encode()
    for part in scope.split("/"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            key[0], scope, names,
            hmac.new(k, todo.encode(), hashlib.sha256).hexdigest()))


class Answer:
    def __init__(self, a):
        self.status, self.body = a.status, a.read().decode()
        self.headers = {k.lower(): v for k, v in a.getheaders()}

    def __str__(self):
        return "%d %s %s" % (self.status, self.headers, self.body[:300])

    def want(self, status, text="", **headers):
        assert self.status == status and text in self.body, \
            "want %d %s, got %s" % (status, text, self)
        for k, v in headers.items():
            assert self.headers.get(k.replace("_", "-")) == v, \
                "want %s: %s, got %s" % (k, v, self)
        return self


class Asker:
    def __init__(self, gw):
        self.gw = gw

    def ask(self, method, path, headers=None, body=b"", unsigned=(),
            key=(AK, SK), source=CLIENT, signed=True):
        headers = dict(headers or {})
        if signed:
            sign(method, path, headers, unsigned, key, self.gw.port)
        headers["content-length"] = str(len(body))
        c = http.client.HTTPConnection(SERVER, self.gw.port, timeout=60,
                                       source_address=(source, 0))
        try:
            c.request(method, path, body=body, headers=headers)
            return Answer(c.getresponse())
        finally:
            c.close()

    def prepare(self, change=None, **kw):
        h = {"x-amz-rdma-protocol": V2, "x-amz-rdma-op": "GET",
             "x-amz-rdma-target": "/bkt/o", "x-amz-rdma-size": str(SIZE),
             "x-amz-rdma-offset": "0", "x-amz-rdma-token": token(),
             "x-amz-rdma-psn": PSN, "x-amz-rdma-cookie": COOKIE}
        return self.ask("POST", "/.hipobj-rc/prepare", changed(h, change),
                        **kw)

    def ready(self, session, change=None, **kw):
        h = {"x-amz-rdma-protocol": V2, "x-amz-rdma-session": session,
             "x-amz-rdma-cookie": COOKIE, "x-amz-rdma-qpn": "%x" % QPN,
             "x-amz-rdma-mr-addr": "7f0000000000", "x-amz-rdma-mr-rkey": "77"}
        return self.ask("POST", "/.hipobj-rc/ready", changed(h, change), **kw)

    def cancel(self, session, **kw):
        return self.ask("POST", "/.hipobj-rc/cancel", {
            "x-amz-rdma-protocol": V2, "x-amz-rdma-session": session}, **kw)

    def session(self, **kw):
        return self.prepare(**kw).want(200).headers["x-amz-rdma-session"]

    def connect(self, tok, psn=PSN, **kw):
        return self.ask("POST", "/.s3rdma-rc/connect", {
            "x-amz-rdma-token": tok, "x-amz-rdma-psn": psn}, **kw)


def changed(headers, change):
    """Fields of x-amz-rdma- set anew, or left out where None."""
    for k, v in (change or {}).items():
        headers["x-amz-rdma-" + k] = v
    return {k: v for k, v in headers.items() if v is not None}


# Cases ----------------------------------------------------------------------

def signatures(a):
    whole = {"x-amz-rdma-token": "rc:" + "0" * 32 + ":" + "0" * 16 + ":" +
             "00001388:00000001"}
    a.ask("GET", "/bkt/o", whole, unsigned=["x-amz-rdma-token"]).want(
        403, "AccessDenied")
    a.prepare(signed=False).want(403, "AccessDenied")
    for path in ("connect", "disconnect"):
        a.ask("POST", "/.s3rdma-rc/" + path, {"x-amz-rdma-token": token()},
              signed=False).want(403)
    for path in ("ready", "cancel"):
        a.ask("POST", "/.hipobj-rc/" + path, {"x-amz-rdma-protocol": V2},
              signed=False).want(403)
    a.prepare(unsigned=["x-amz-rdma-target"]).want(403)
    a.prepare(key=(AK, "wrong")).want(403, "SignatureDoesNotMatch")


def foreign_gids(a):
    others = {"another host's": token("10.99.0.77"),
              "the server's own": token(SERVER),
              "no address": token(raw=b"\0" * 16),
              "IPv6, not the peer's": token(raw=b"\x20\1\x0d\xb8" + b"\0" * 11 +
                                            b"\1")}
    for text, t in others.items():
        for answer in (a.connect(t), a.prepare({"token": t})):
            assert answer.status == 400 and "InvalidRdmaToken" in answer.body, \
                "%s: %s" % (text, answer)
    # The peer of this request is another, too.
    a.connect(token(CLIENT), source=SERVER).want(400, "InvalidRdmaToken")


def link_local_gid(a):
    """Where GIDs are addresses, this is one, and not the peer's: rxe0's own
    other one here, but it could be anybody's."""
    raw = bytes.fromhex("fe80000000000000" "00000afffe630001")
    a.connect(token(raw=raw)).want(400, "InvalidRdmaToken")
    a.prepare({"token": token(raw=raw)}).want(400, "InvalidRdmaToken")


def malformed_tokens(a):
    for t in ("", "00" * 44, "02" + token()[2:], token()[:-2], "zz" * 44,
              token(qpn=0), "x" * 3000):
        a.connect(t).want(400)
        a.prepare({"token": t}).want(400)
    for psn in ("", "000000", "00abc", "0000abc", "00000g", "-00001"):
        a.connect(token(), psn).want(400)
        a.prepare({"psn": psn}).want(400)


def malformed_prepares(a):
    for change in ({"token": None}, {"psn": None}, {"cookie": None},
                   {"target": None}, {"size": None}, {"op": None},
                   {"cookie": "00000000"}, {"cookie": "123"},
                   {"cookie": "123456789"}, {"size": "0"}, {"size": "-1"},
                   {"size": "0x10"}, {"size": "12 34"}, {"size": ""},
                   {"size": "9" * 30}, {"offset": "x"}, {"offset": "-1"},
                   {"offset": "9" * 30}, {"target": ""}, {"target": "bkt/o"},
                   {"target": "/bkt"}, {"target": "/bkt/"},
                   {"target": "//o"}, {"target": "/bkt/%zz"},
                   {"target": "/bkt/%00"}, {"target": "/bkt/" + "k" * 3000},
                   {"op": "COPY"}, {"op": ""}):
        answer = a.prepare(change)
        assert answer.status == 400, "%s: %s" % (change, answer)


def other_prepares(a):
    a.prepare({"size": str(1 << 31)}).want(413)
    a.prepare({"size": str((1 << 31) - 1)}).want(416, "InvalidRange")
    a.prepare({"size": str(SIZE + 1)}).want(416, "InvalidRange")
    a.prepare({"offset": "1"}).want(416, "InvalidRange")
    a.prepare({"offset": str(2 ** 64 - 1)}).want(416, "InvalidRange")
    a.prepare({"target": "/bkt/none"}).want(404, "NoSuchKey")
    a.prepare({"target": "/none/o"}).want(404, "NoSuchBucket")
    for target in ("/bkt/../../etc/passwd", "/../etc/passwd",
                   "/bkt/%2e%2e%2f%2e%2e%2fetc%2fpasswd"):
        answer = a.prepare({"target": target})
        assert answer.status in (400, 404), "%s: %s" % (target, answer)
    a.ask("POST", "/.hipobj-rc/prepare", dict(
        {"if-match": '"another"'}, **changed({
            "x-amz-rdma-protocol": V2, "x-amz-rdma-op": "GET",
            "x-amz-rdma-target": "/bkt/o", "x-amz-rdma-size": "1",
            "x-amz-rdma-token": token(), "x-amz-rdma-psn": PSN,
            "x-amz-rdma-cookie": COOKIE}, {}))).want(412)


def unsupported(a):
    no = {"x_amz_rdma_protocol_status": "unsupported"}
    a.prepare({"op": "PUT"}).want(501, "NotImplemented", **no)
    for p in ("hipobj-rc-v1", "HIPOBJ-RC-V2", "", None):
        a.prepare({"protocol": p}).want(501, **no)
        a.ready("0" * 32, {"protocol": p}).want(501, **no)
    a.ask("GET", "/bkt/o", {"x-amz-rdma-token": token()}).want(
        501, "NotImplemented", **no)


def upload(gw, a):
    for t in (token(), "rc:" + "0" * 32 + ":" + "0" * 16 +
              ":00001388:00000001"):
        a.ask("PUT", "/bkt/stored", {"x-amz-rdma-token": t}).want(501)
    a.ask("HEAD", "/bkt/stored").want(404)
    assert os.listdir(os.path.join(gw.root, "bkt")) == ["o"], \
        os.listdir(os.path.join(gw.root, "bkt"))


def tokens_of_connections(a):
    """Of a connection that is not, or another's; past the window."""
    def get(conn, size=SIZE, **kw):
        return a.ask("GET", "/bkt/o", {"x-amz-rdma-token": "rc:%s:%016x:%08x"
                     ":%08x" % (conn, 0x7f0000000000, size, 0x77)}, **kw)
    get("0" * 32).want(400, "InvalidRdmaToken")
    name = a.connect(token()).want(200).headers["x-amz-rdma-session"]
    get(name, SIZE - 1).want(400, "InvalidRdmaToken")
    get(name, key=OTHER).want(400, "InvalidRdmaToken")
    a.ask("POST", "/.s3rdma-rc/disconnect", {"x-amz-rdma-session": name},
          key=OTHER).want(400)
    a.ask("POST", "/.s3rdma-rc/disconnect",
          {"x-amz-rdma-session": name}).want(204)
    get(name).want(400, "InvalidRdmaToken")


def sessions(a):
    s = a.session()
    a.ready(s, key=OTHER).want(404, "NoSuchRdmaSession")
    a.ready(s, {"cookie": "1234abce"}).want(403, "AccessDenied")
    for change in ({"cookie": "0"}, {"cookie": None}, {"qpn": "0"},
                   {"qpn": None}, {"qpn": "x"}, {"qpn": "1" * 9},
                   {"mr-addr": ""}, {"mr-addr": None}, {"mr-rkey": "0"},
                   {"mr-rkey": None}, {"mr-addr": "1" * 17}):
        answer = a.ready(s, change)
        assert answer.status == 400, "%s: %s" % (change, answer)
    a.cancel(s, key=OTHER).want(404)
    a.ready("0" * 32).want(409, "RdmaSessionGone")
    a.ready(s, {"session": None}).want(409, "RdmaSessionGone")
    # None of that has used it up.  Now it is, and the write, into a queue
    # pair that nobody has, must fail: a second READY finds nothing.
    answers = []
    first = threading.Thread(target=lambda: answers.append(a.ready(s)))
    first.start()
    def gone():
        return a.ready(s, {"cookie": "1234abce"}).status == 409
    wait_for("the first READY to take the session", gone)
    a.ready(s).want(409, "RdmaSessionGone")
    first.join()
    answers[0].want(500, "RDMATransferFailed")
    a.ready(s).want(409, "RdmaSessionGone")
    s = a.session()
    a.cancel(s).want(204)
    a.ready(s).want(409, "RdmaSessionGone")
    a.cancel(s).want(204)


def expiry(gw, a, before):
    """As many as one user may have; they go by themselves."""
    none_left(before)
    names = [a.session() for _ in range(64)]
    a.prepare().want(503, "SlowDown")
    s = a.session(key=OTHER)
    assert queue_pairs("rxe1") == before + 65, queue_pairs("rxe1")
    wait_for("64 sessions to end: %d queue pairs, %d before" % (
        queue_pairs("rxe1"), before),
        lambda: queue_pairs("rxe1") == before, EXPIRY)
    a.ready(names[0]).want(409, "RdmaSessionGone")
    a.ready(s, key=OTHER).want(409, "RdmaSessionGone")
    a.cancel(a.session()).want(204)


def none_left(before):
    wait_for("queue pairs to go", lambda: queue_pairs("rxe1") == before,
             EXPIRY)


def main():
    need_vm()
    keys = os.path.join(DIR, "keys")
    with open(keys, "w") as f:
        f.write("%s:%s\n%s:%s\n" % (AK, SK, *OTHER))
    gw = rc_gateway(args=["--credentials", keys]).start()
    gw.allow.append("warning:")
    a = Asker(gw)
    a.ask("PUT", "/bkt/o", body=b"x" * SIZE).want(200)
    before = queue_pairs("rxe1")
    for text, check, *args in (
            ("not signed, or not all", signatures, a),
            ("GIDs that are not the peer's", foreign_gids, a),
            ("a link-local GID that is not the peer's", link_local_gid, a),
            ("malformed tokens and numbers", malformed_tokens, a),
            ("malformed PREPAREs", malformed_prepares, a),
            ("PREPAREs of what is not there", other_prepares, a),
            ("what is not spoken", unsupported, a),
            ("uploads with a token", upload, gw, a),
            ("tokens of connections", tokens_of_connections, a),
            ("sessions used twice or by others", sessions, a),
            ("sessions left alone", expiry, gw, a, before),
            ("no queue pair is left", none_left, before)):
        case(text, check, *args)
        assert gw.alive(), "the gateway died: " + gw.text()[-3000:]
    ok("%d queue pairs before and after" % before)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
