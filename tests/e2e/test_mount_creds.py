#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Session credentials that expire while files are read: they are fetched anew
by whichever request first meets it, and no reader sees an error."""
import json
import os
import tempfile
import time

import badlist
import harness
from files import case, finish
from harness import Mount, need_fuse, wait_for

FILES = ["f%03d" % i for i in range(40)]
EXPIRED = (b"<Error><Code>ExpiredToken</Code><Message>The provided token has "
           b"expired.</Message></Error>")


class Server(badlist.Server):
    """Takes one session token, as AWS does: what is wrong with another is
    told in the body, which the answer to a HEAD has not."""
    token = "t0"

    def refuses(self, h):
        if h.headers.get("x-amz-security-token") == self.token:
            return False
        self.refused = getattr(self, "refused", 0) + 1
        self._send(h, 400, {}, EXPIRED if h.command == "GET" else b"")
        return True

    def _get(self, h):
        if not self.refuses(h):
            super()._get(h)

    def _head(self, h):
        if not self.refuses(h):
            super()._head(h)


class Issuer:
    """What credential_process prints, and the profile that names it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="creds-", dir=harness.DIR)
        self.out = os.path.join(self.dir, "now.json")
        self.config = os.path.join(self.dir, "config")
        with open(self.config, "w") as f:
            f.write("[profile role]\ncredential_process = cat %s\n" % self.out)

    def issue(self, token):
        with open(self.out + ".new", "w") as f:
            json.dump({"Version": 1, "AccessKeyId": harness.AK,
                       "SecretAccessKey": harness.SK,
                       "SessionToken": token}, f)
        os.rename(self.out + ".new", self.out)


def expire(server, issuer, token):
    time.sleep(1.1)  # the source is looked at once a second
    issuer.issue(token)
    server.token = token
    server.refused = 0


def read(path):
    with open(path, "rb") as f:
        return f.read()


def good(m, name):
    assert read(m.file(name)) == bytes(Server.size_of(name)), name


def opens(m, name):
    try:
        return read(m.file(name)) is not None
    except OSError:
        return False


def head_first(server, issuer, m):
    good(m, FILES[0])
    expire(server, issuer, "t1")
    good(m, FILES[1])
    assert server.refused, "nobody noticed"


def get_first(server, issuer, m):
    """On a handle that is open: no HEAD comes before the GET."""
    with open(m.file(FILES[2]), "rb") as f:
        expire(server, issuer, "t2")
        assert f.read() == bytes(Server.size_of(FILES[2]))
    assert server.refused, "nobody noticed"


def list_first(server, issuer, m):
    expire(server, issuer, "t3")
    assert os.listdir(m.file("dir")) == ["x"]
    assert server.refused, "nobody noticed"


def no_better(server, issuer, m):
    """Keys that stay what they are: an error, and not only at the deadline
    where the first answer is as good as the last."""
    expire(server, issuer, "t4")
    issuer.issue("never")
    try:
        good(m, FILES[3])
        raise AssertionError("opened with expired keys")
    except OSError as e:
        assert e.strerror in ("Invalid argument", "Permission denied"), e
    expire(server, issuer, "t5")
    wait_for("the new keys", lambda: opens(m, FILES[3]))
    good(m, FILES[3])


def main():
    need_fuse()
    server, issuer = Server(FILES + ["dir/x"]), Issuer()
    issuer.issue("t0")
    m = Mount("s3://bad", server.url, env={"AWS_CONFIG_FILE": issuer.config},
              opts={"credentials.profile": "role", "transport": "http"})
    m.allow = ["HTTP 400"]
    m.start()
    case("a HEAD meets it", head_first, server, issuer, m)
    case("a GET meets it", get_first, server, issuer, m)
    case("a LIST meets it", list_first, server, issuer, m)
    case("no better ones", no_better, server, issuer, m)
    case("unmount", m.unmount)
    finish()


if __name__ == "__main__":
    main()
