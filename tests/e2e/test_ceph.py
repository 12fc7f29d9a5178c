# SPDX-License-Identifier: Apache-2.0
"""The mount on Ceph RGW, an S3 server that we did not write and that knows
nothing of tokens: names, bytes, versions, and a gateway that restarts."""
import hashlib
import os
import shutil
import socket

import harness as h

RGW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "ceph",
                   "rgw")
NAMES = ["plain.txt", "sp ace/a+b", "per%cent%2F", "q'u\"o", "new\nline",
         "uni/\u00e4\u00f6/\U0001f600", "d" * 255, "a/b/c/d/e/f"]
SIZES = [0, 1, 4095, 4096, 4097, (128 << 10) - 1, (128 << 10) + 1,
         (4 << 20) - 1, (4 << 20) + 1, (20 << 20) + 7]


class Rgw:
    """What harness.Gateway is, for Ceph."""
    ak, sk = "s3test", "s3testsecret"

    def __init__(self):
        self.dir = os.path.join(h.DIR, "ceph")
        self.port = free_ports()
        self.url = "http://127.0.0.1:%d" % self.port

    def start(self):
        h._cleanups.append(lambda: self.ctl("stop", check=False))
        self.ctl("start", str(self.port))
        return self

    def ctl(self, verb, *args, check=True):
        h.run(["bash", RGW, verb, self.dir] + list(args), check=check,
              stdout=None, stderr=None)

    client = h.Gateway.client


def free_ports():
    """A port with the forty behind it free: Ceph wants them in a row."""
    for base in range(21000, 30000, 50):
        try:
            for p in range(base, base + 42):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", p))
            return base
        except OSError:
            continue
    raise AssertionError("no free ports")


def put_all(c):
    """Every name with every size, each its own pattern."""
    want, seed = {}, 0
    c.create_bucket(Bucket="books")
    for name in NAMES:
        for size in SIZES if name == "plain.txt" else SIZES[::3]:
            key = "%s.%d" % (name[:240], size)
            seed += 1
            want[key] = (seed, size)
            c.put_object(Bucket="books", Key=key,
                         Body=h.pattern(seed, 0, size),
                         Metadata={"seed": str(seed)})
    return want


def check_all(m, want):
    found = {os.path.relpath(os.path.join(d, f), m.path)
             for d, _, files in os.walk(m.path) for f in files}
    assert found == set(want), found ^ set(want)
    for key, (seed, size) in want.items():
        with open(m.file(key), "rb") as f:
            got = f.read()
        assert got == h.pattern(seed, 0, size), key
        seed_attr = os.getxattr(m.file(key), "user.s3.meta.seed")
        assert seed_attr == str(seed).encode(), key
    total = sum(size for _, size in want.values())
    b = m.stats()["bytes"]
    assert b["shm"] == 0 and b["http"] >= total, b


def check_overwrite(c, m):
    """An open handle never mixes; a new open sees the new object."""
    old, new = h.pattern(90, 0, 9 << 20), h.pattern(91, 0, 9 << 20)
    c.put_object(Bucket="books", Key="v", Body=old)
    with open(m.file("v"), "rb", buffering=0) as f:
        first = f.read(4096)
        c.put_object(Bucket="books", Key="v", Body=new)
        assert first == old[:4096]
        try:
            rest = os.pread(f.fileno(), 1 << 20, 8 << 20)
            assert rest == old[8 << 20:], "a mixture"
        except OSError as e:
            assert e.errno == 116, e  # ESTALE
    with open(m.file("v"), "rb") as f:
        assert f.read() == new


def check_bounce(rgw, m, want):
    """The gateway restarts under a reader: reads wait, and do not lie."""
    m.ctl("drop")
    rgw.ctl("bounce")
    key = max(want, key=lambda k: want[k][1])
    with open(m.file(key), "rb") as f:
        got = hashlib.sha256(f.read()).digest()
    assert got == hashlib.sha256(h.pattern(want[key][0], 0,
                                           want[key][1])).digest()


def main():
    h.need_fuse()
    if not all(shutil.which(p, path="/usr/sbin:/usr/bin")
               for p in ("ceph-mon", "ceph-osd", "radosgw")):
        h.skip("Ceph is not installed (ceph-mon ceph-osd radosgw)")
    rgw = Rgw().start()
    c = rgw.client()
    want = put_all(c)
    for mode in ("http", "auto"):
        m = h.Mount("s3://books", rgw.url, ak=rgw.ak, sk=rgw.sk,
                    opts={"transport": mode}).start()
        check_all(m, want)
        print("ok", mode)
        m.unmount()
    m = h.Mount("s3://books", rgw.url, ak=rgw.ak, sk=rgw.sk,
                opts={"metadata.ttl": "1s"}).start()
    check_overwrite(c, m)
    print("ok overwrite")
    check_bounce(rgw, m, want)
    print("ok bounce")
    m.unmount()


main()
