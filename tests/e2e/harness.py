# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test stands on: a gateway, a mount, a pattern.

A test is a Python program that exits 0 (passed), 77 (skipped, reason on
stdout) or anything else (failed).  It makes its own folder, ports and mount
points; everything it started is ended by pid on every exit, and an unexpected
warning in the log of a daemon fails it.
"""
import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy

BUILD = os.environ.get("S3RDMAFS_BUILD") or os.path.join(
    os.path.dirname(__file__), "..", "..", "build")
BUILD = os.path.abspath(BUILD)
S3RDMAFS = os.path.join(BUILD, "src", "s3rdmafs")
GATEWAY = os.path.join(BUILD, "tools", "gateway", "s3rdma-gateway")
CTL = os.path.join(BUILD, "tools", "ctl", "s3rdmactl")
# For programs that are not ours: not one that was built with a sanitizer.
LIBRARY = os.environ.get("S3RDMAFS_LIBRARY") or os.path.join(
    BUILD, "lib", "libs3rdmafs.so.1")
# Commands put in front of the two daemons, e.g. valgrind with its options.
WRAP = os.environ.get("S3RDMAFS_TEST_WRAP", "").split()
# Waits are this much longer under valgrind and sanitizers.
SLOW = float(os.environ.get("S3RDMAFS_TEST_SLOW", "1"))

AK, SK = "testaccesskey", "testsecretkey/+=1234567890"

_cleanups = []


def skip(reason):
    print("SKIP:", reason)
    sys.exit(77)


def need_fuse():
    if not os.path.exists("/dev/fuse"):
        skip("no /dev/fuse on this machine")
    if not shutil.which("fusermount3"):
        skip("fusermount3 is not installed")


def _run_cleanups():
    while _cleanups:
        try:
            _cleanups.pop()()
        except Exception as e:  # a failed clean-up must not hide the others
            print("clean-up:", e, file=sys.stderr)


atexit.register(_run_cleanups)
for _s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_s, lambda *_: sys.exit(1))

DIR = tempfile.mkdtemp(prefix="s3rdmafs-test-", dir=os.environ.get("TMPDIR"))
os.chmod(DIR, 0o755)
_cleanups.append(lambda: shutil.rmtree(DIR, ignore_errors=True))


def clean_env(**more):
    """The whole environment of a child: nothing inherited but these."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": DIR,
           "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
              "LSAN_OPTIONS"):
        if k in os.environ:
            env[k] = os.environ[k]
    env.update(more)
    return env


def aws_env(gw, **more):
    return clean_env(AWS_ACCESS_KEY_ID=gw.ak, AWS_SECRET_ACCESS_KEY=gw.sk,
                     AWS_DEFAULT_REGION="us-east-1",
                     AWS_EC2_METADATA_DISABLED="true", **more)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, check, seconds=20):
    end = time.monotonic() + seconds * SLOW
    while True:
        if check():
            return
        if time.monotonic() > end:
            raise AssertionError("timed out: " + what)
        time.sleep(0.01)


def run(cmd, env=None, check=True, **kw):
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    kw.setdefault("timeout", 600 * SLOW)
    r = subprocess.run(cmd, env=env or clean_env(), **kw)
    if check and r.returncode:
        raise AssertionError("%s: exit %d\n%s\n%s" % (
            cmd, r.returncode, (r.stdout or b"")[-2000:],
            (r.stderr or b"")[-2000:]))
    return r


_M = numpy.uint64(0x9E3779B97F4A7C15)


def pattern(seed, off, n):
    """n bytes of the endless stream `seed`, from byte off: each 8-byte word
    is a hash of its own index, so a misplaced or foreign byte is seen."""
    first, last = off // 8, (off + n + 7) // 8
    with numpy.errstate(over="ignore"):
        w = numpy.arange(first, last, dtype=numpy.uint64)
        w = (w + numpy.uint64(seed)) * _M
        w ^= w >> numpy.uint64(29)
        w *= _M
        w ^= w >> numpy.uint64(32)
    return w.astype("<u8").tobytes()[off - first * 8:off - first * 8 + n]


class Daemon:
    """A process in its own session, with its log in a file."""
    expected = ()  # strings that allow a warning line

    def __init__(self, name):
        self.name, self.proc, self.allow = name, None, []
        self.log = os.path.join(DIR, "%s-%d.log" % (name, time.monotonic_ns()))
        _cleanups.append(self.kill)

    def spawn(self, cmd, env, **kw):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                WRAP + cmd, env=env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, **kw)

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def signal(self, sig):
        if self.alive():
            self.proc.send_signal(sig)

    def kill(self):
        if self.alive():
            self.proc.send_signal(signal.SIGCONT)
            self.proc.kill()
            self.proc.wait()

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def check_log(self):
        """No warning, error or sanitizer report that was not allowed."""
        bad = [l for l in self.text().splitlines()
               if any(w in l for w in ("warning:", "error:", "Sanitizer",
                                       "runtime error", "Assertion"))
               and not any(a in l for a in self.allow)]
        assert not bad, "%s logged:\n%s" % (self.name, "\n".join(bad[:20]))


class Gateway(Daemon):
    def __init__(self, root=None, port=None, rdma="auto", faults=(), args=(),
                 ak=AK, sk=SK, host="127.0.0.1"):
        super().__init__("gateway")
        self.host = host
        self.root = root or tempfile.mkdtemp(prefix="root-", dir=DIR)
        self.port = port or free_port()
        self.rdma, self.faults, self.args = rdma, list(faults), list(args)
        self.ak, self.sk = ak, sk
        self.url = "http://%s:%d" % (self.host, self.port)

    def start(self):
        cmd = [GATEWAY, "--root", self.root, "--listen",
               "%s:%d" % (self.host, self.port), "--rdma", self.rdma]
        for f in self.faults:
            cmd += ["--fault", f]
        self.spawn(cmd + self.args, clean_env(
            AWS_ACCESS_KEY_ID=self.ak, AWS_SECRET_ACCESS_KEY=self.sk))
        wait_for("gateway up", self._up)
        return self

    def _up(self):
        if not self.alive():
            raise AssertionError("gateway ended: " + self.text()[-2000:])
        try:
            c = http.client.HTTPConnection(self.host, self.port, timeout=2)
            c.request("GET", "/")
            c.getresponse().read()
            c.close()
            return True
        except OSError:
            return False

    def stop(self):
        """Ask it to end and check that it ended well."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        rc = self.proc.wait(30 * SLOW)
        assert rc == 0, "gateway exit %d\n%s" % (rc, self.text()[-4000:])
        self.check_log()

    def client(self, **config):
        """A boto3 client for it."""
        for k in list(os.environ):
            if k.startswith("AWS_") or k.endswith("CA_BUNDLE"):
                del os.environ[k]
        import boto3
        import botocore.config
        config.setdefault("retries", {"max_attempts": 1})
        config.setdefault("s3", {"addressing_style": "path"})
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=self.ak,
            aws_secret_access_key=self.sk, region_name="us-east-1",
            config=botocore.config.Config(max_pool_connections=64, **config))


class Mount(Daemon):
    def __init__(self, source, endpoint, ak=AK, sk=SK, opts=None, env=None,
                 prefix=(), path=None):
        super().__init__("s3rdmafs")
        self.source, self.opts = source, dict(opts or {})
        self.opts.setdefault("endpoint", endpoint)
        self.opts.setdefault("cache_size", "256MiB")
        # Where the edges are that tests look at (files.SLOT).
        self.opts.setdefault("staging.slot", "4MiB")
        # Another user could not write to a folder of ours.
        self.opts.setdefault("metadata.path", "none" if prefix else
                             tempfile.mkdtemp(prefix="names-", dir=DIR))
        self.env = clean_env(AWS_ACCESS_KEY_ID=ak, AWS_SECRET_ACCESS_KEY=sk,
                             **(env or {}))
        self.prefix = list(prefix)
        self.path = path or tempfile.mkdtemp(prefix="mnt-", dir=DIR)

    def start(self):
        opts = ",".join(k if v is True else "%s=%s" % (k, v)
                        for k, v in self.opts.items())
        with open(self.log, "ab") as log:
            # -f: the log stays on stderr and the pid is ours to end.
            self.proc = subprocess.Popen(
                self.prefix + WRAP + [S3RDMAFS, "-f", "-o", opts,
                                      self.source, self.path],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
        _cleanups.append(self._detach)
        wait_for("mount of " + self.source, self._up)
        return self

    def _up(self):
        if not self.alive():
            raise AssertionError("s3rdmafs ended: " + self.text()[-2000:])
        return os.path.ismount(self.path)

    def _detach(self):
        run(["fusermount3", "-u", "-z", self.path], check=False)

    def unmount(self):
        """Unmount and check that the daemon ended well, saying nothing bad."""
        until = time.monotonic() + 5
        # Somebody who looks through all mounts may be in it just now.
        while subprocess.run(["fusermount3", "-u", self.path],
                             env=clean_env(), capture_output=True).returncode:
            assert time.monotonic() < until, "busy: " + self.path
            time.sleep(0.02)
        rc = self.proc.wait(60 * SLOW)
        assert rc == 0, "s3rdmafs exit %d\n%s" % (rc, self.text()[-4000:])
        self.check_log()

    def ctl(self, *args):
        return run([CTL, self.path] + list(args)).stdout.decode()

    def stats(self):
        return json.loads(self.ctl("stats", "--json"))

    def rss(self):
        """Resident bytes of the daemon, the shared pool included."""
        with open("/proc/%d/status" % self.proc.pid) as f:
            for l in f:
                if l.startswith("VmRSS:"):
                    return int(l.split()[1]) * 1024

    def file(self, name):
        return os.path.join(self.path, name)
