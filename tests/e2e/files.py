# SPDX-License-Identifier: Apache-2.0
"""What the tests of the mount share beside the harness: objects with known
bytes, mounts of an ordinary user, and the small measurements they make."""
import contextlib
import ctypes
import datetime
import errno
import hashlib
import hmac
import http.client
import json
import os
import stat
import subprocess
import sys
import traceback
import urllib.parse

import harness
from harness import DIR, Mount, pattern, run, skip, wait_for

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# The long form of the issue; without it every file ends in about 25 s.
FULL = os.environ.get("S3RDMAFS_TEST_FULL") == "1"
# The slots of the staging pool: reads change their ways at these sizes.
SLOT, SMALL_SLOT = 4 * MIB, 128 * KIB
MODES = ("http", "shm")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
STRESS = os.path.join(os.path.dirname(__file__), "..", "stress")
# Memory bounds and tight times mean nothing under valgrind or a sanitizer.
PLAIN = harness.SLOW == 1 and not harness.WRAP

_failed = []


def ok(text):
    print("ok:", text, flush=True)


def case(text, check, *args):
    """Run one case.  A failure is told and kept for finish(), so that the
    first bug does not hide the others of the file."""
    try:
        note = check(*args)
    except Exception as e:
        _failed.append(text)
        why = str(e) if isinstance(e, AssertionError) and str(e) else \
            "".join(traceback.format_exception(e)[-2:])
        print("FAILED: %s: %s" % (text, why), flush=True)
    else:
        ok(text + (" (%s)" % note if note else ""))


def note_skip(text, reason):
    """A case, not a file, that cannot run here: said aloud."""
    print("skipped: %s: %s" % (text, reason), flush=True)


def finish():
    if _failed:
        print("%d case(s) failed: %s" % (len(_failed), "; ".join(_failed)))
        sys.exit(1)


# Objects ------------------------------------------------------------------

def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Bucket:
    """A bucket spoken to directly: thousands of small PUTs in a second, and
    large ones streamed without hashing them first, which boto3 cannot."""

    def __init__(self, gw, name, create=True):
        self.gw, self.name, self.conn = gw, name, None
        if create:
            self.request("PUT", "")

    def _auth(self, method, path, headers):
        now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
        scope = "%s/us-east-1/s3/aws4_request" % now[:8]
        headers.update({"Host": "%s:%d" % (self.gw.host, self.gw.port),
                        "x-amz-date": now,
                        "x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
        low = sorted((k.lower(), v) for k, v in headers.items())
        names = ";".join(k for k, _ in low)
        canon = "\n".join([method, path, ""] + ["%s:%s" % h for h in low] +
                          ["", names, "UNSIGNED-PAYLOAD"])
        todo = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                          hashlib.sha256(canon.encode()).hexdigest()])
        key = ("AWS4" + self.gw.sk).encode()
        for part in scope.split("/"):
            key = _hmac(key, part)
        headers["Authorization"] = (
            "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
            "Signature=%s" % (self.gw.ak, scope, names,
                              _hmac(key, todo).hex()))

    def request(self, method, key, body=None, size=0, headers=None):
        path = "/" + self.name + ("/" if key else "") + \
            urllib.parse.quote(key, safe="/-_.~")
        headers = dict(headers or {})
        self._auth(method, path, headers)
        headers["Content-Length"] = str(size)
        if not self.conn:
            self.conn = http.client.HTTPConnection(self.gw.host, self.gw.port,
                                                   timeout=120)
        try:
            self.conn.request(method, path, body=body, headers=headers)
            answer = self.conn.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.conn.close()  # the gateway was restarted; it may try again
            self.conn = None
            raise
        assert answer.status in (200, 204), "%s %s: %d %s" % (
            method, path, answer.status, text[:300])
        return dict(answer.getheaders())

    def put(self, key, data=b"", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.request("PUT", key, data or None, len(data), headers)

    def fill(self, key, seed, size):
        """An object that holds the harness pattern of this seed."""
        step = 4 * MIB
        parts = (pattern(seed, o, min(step, size - o))
                 for o in range(0, size, step))
        return self.request("PUT", key, parts if size else None, size)

    def delete(self, key):
        return self.request("DELETE", key)


def same(data, seed, off):
    """None, or where data first differs from the pattern."""
    want = pattern(seed, off, len(data))
    if data == want:
        return None
    i = next(i for i in range(len(data)) if data[i] != want[i])
    return "byte %d (%d from the end of the read of %d at %d) is %02x, " \
        "not %02x" % (off + i, len(data) - i, len(data), off, data[i],
                      want[i])


def check_file(path, seed, size, step=MIB):
    """Read all of a file in order and compare every byte."""
    with open(path, "rb", buffering=0) as f:
        off = 0
        while True:
            data = os.pread(f.fileno(), step, off)
            if not data:
                break
            bad = same(data, seed, off)
            assert not bad, "%s: %s" % (path, bad)
            off += len(data)
    assert off == size, "%s: %d bytes, not %d" % (path, off, size)


def write_file(path, seed, size):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        for off in range(0, size, 4 * MIB):
            f.write(pattern(seed, off, min(4 * MIB, size - off)))


def error_name(call, *args, **kw):
    """The name of the errno that a call fails with, or its result."""
    try:
        return call(*args, **kw)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))


# Mounts -------------------------------------------------------------------

def mount(gw, source, mode="auto", allow=(), **opts):
    """A started mount.  In opts a key of the configuration is written with
    two underscores for the dot."""
    opts = {k.replace("__", "."): v for k, v in opts.items()}
    opts.setdefault("cache_size", "64MiB")
    m = Mount(source, gw.url, gw.ak, gw.sk, opts=dict(opts, transport=mode))
    m.allow = list(allow)
    return m.start()


@contextlib.contextmanager
def mounted(*args, **kw):
    """A mount that must also end well."""
    m = mount(*args, **kw)
    yield m
    m.unmount()


class UserMount(Mount):
    """A mount of an ordinary user.  Root may not look into it, so everything
    that touches it goes through this user too."""

    def __init__(self, source, endpoint, prefix=(), **kw):
        super().__init__(source, endpoint, prefix=list(prefix) + NOBODY, **kw)
        os.chown(self.path, 65534, 65534)
        # The usual limit of locked memory is below most pools; test_mount_
        # auto looks at that warning, here it is only allowed.
        self.allow = ["MEMLOCK", "memlock"]

    def _up(self):
        if not self.alive():
            raise AssertionError("s3rdmafs ended: " + self.text()[-2000:])
        return is_mounted(self.path)

    def ctl(self, *args):
        return run(NOBODY + [harness.CTL, self.path] +
                   list(args)).stdout.decode()

    def run(self, *cmd, **kw):
        return run(NOBODY + list(cmd), **kw)


def is_mounted(path):
    """Without touching the mount, which may be stuck or not ours."""
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == path for line in f)


def ordinary_fuse():
    """Make sure that an ordinary user may mount.  Where /dev/fuse is root's
    alone (machines without udev), the test runs itself again in a mount
    namespace of its own with the usual permissions: nothing is changed for
    anybody else."""
    if os.geteuid():
        skip("needs root to become an ordinary user")
    if stat.S_IMODE(os.stat("/dev/fuse").st_mode) & 0o006 == 0o006:
        return
    if not os.environ.get("S3RDMAFS_TEST_NS"):
        harness._run_cleanups()
        os.environ["S3RDMAFS_TEST_NS"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable] + sys.argv)
    node = os.path.join(DIR, "fuse")
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    os.chmod(node, 0o666)
    run(["mount", "--bind", node, "/dev/fuse"])


def settled(m, seconds=20):
    """No slot stays armed or quarantined: each comes back to the pool."""
    def check():
        p = m.stats()["pool"]
        return not p["armed"] and not p["quarantined"]
    wait_for("slots of the pool to come back: %s" % m.stats()["pool"],
             check, seconds)
    # What files that were read again took, and maps, comes back when it is
    # asked for; the kernel tells of a close a moment later.
    if m.stats()["pool"]["lent"]:
        wait_for("what is lent", lambda: dropped(m)["lent"] == 0, seconds)
    pool = m.stats()["pool"]
    assert pool["lost"] == 0, "slots lost: %s" % pool
    assert pool["free"] + pool["ready"] == pool["slots"], pool


def dropped(m):
    """The pool, after all left it that nobody uses."""
    m.ctl("drop")
    return m.stats()["pool"]


def moved(m, before):
    """Bytes fetched by each path since `before`, which is stats()."""
    now = m.stats()["bytes"]
    return {k: now[k] - before["bytes"].get(k, 0) for k in now}


def share(bytes_by_path, name):
    total = sum(bytes_by_path.values())
    return bytes_by_path.get(name, 0) / total if total else 0.0


# Programs -----------------------------------------------------------------

def compile_c(source, *flags):
    """A program of tests/stress, compiled into this test's folder."""
    out = os.path.join(DIR, os.path.basename(source)[:-2])
    run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread",
         "-o", out, os.path.join(STRESS, source)] + list(flags))
    return out


def randread(program, targets, seconds, threads=16, one=False, most=2 * MIB,
             before=()):
    """A started randread over targets: (path, seed, size)."""
    cmd = list(before) + [program, "-t", str(threads), "-s", str(seconds)]
    cmd += ["-m", str(most)] + (["-1"] if one else [])
    cmd += ["%d,%d,%s" % (seed, size, path) for path, seed, size in targets]
    return subprocess.Popen(cmd, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=harness.clean_env())


def randread_result(proc, seconds):
    """Its counters, once it has ended.  The time is more than any deadline
    of the mount, so only a read that hangs for ever runs into it."""
    try:
        out, err = proc.communicate(timeout=(seconds + 90) * harness.SLOW)
    except subprocess.TimeoutExpired:
        proc.kill()
        raise AssertionError("reads hang: randread did not end")
    assert proc.returncode == 0, "randread: %s" % err.decode()
    result = json.loads(out)
    assert not result["wrong"], "WRONG BYTES: %s\n%s" % (
        result, err.decode())
    assert not result["short"], "SHORT READS: %s\n%s" % (
        result, err.decode())
    return result


class _Statx(ctypes.Structure):
    _fields_ = [("raw", ctypes.c_uint8 * 256)]


def stat_past_kernel(path):
    """stat that the kernel may not answer from its own cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statx(-100, os.fsencode(path), 0x2000, 0x7ff,
                  ctypes.byref(_Statx())):
        raise OSError(ctypes.get_errno(), "statx", path)
