#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a mount says when it cannot start: it ends within the connect timeout,
not with 0, with one line on stderr that names the cause and a remedy, and
never tells the secret.  And a start in the background returns only once the
mount answers."""
import os
import re
import signal
import socket
import stat
import subprocess
import time

import harness
from files import (DIR, NOBODY, Bucket, case, finish, is_mounted,
                   note_skip, ordinary_fuse)
from harness import (AK, SK, Gateway, Mount, clean_env, free_port, need_fuse,
                     run)

CONNECT = 2  # seconds, request.connect_timeout
MOUNT_POINT = os.path.join(DIR, "mnt")
_outputs = []  # everything ever printed, searched for the secret

# A clock that is two hours late, for a program started with LD_PRELOAD.  Only
# the time of day moves; timers do not.
CLOCK_C = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#define LATE 7200
int clock_gettime(clockid_t id, struct timespec *t)
{
	int (*real)(clockid_t, struct timespec *) =
		(int (*)(clockid_t, struct timespec *))
		dlsym(RTLD_NEXT, "clock_gettime");
	int err = real(id, t);
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		t->tv_sec -= LATE;
	return err;
}
time_t time(time_t *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
int gettimeofday(struct timeval *tv, void *tz)
{
	struct timespec t;
	(void)tz;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}
"""


def start(url, source="s3://data", ak=AK, sk=SK, opts=(), args=(), env=None,
          prefix=(), path=MOUNT_POINT, background=False):
    """Run s3rdmafs as a user would; the result and how long it took."""
    opts = ["endpoint=%s" % url, "request.connect_timeout=%ds" % CONNECT,
            "cache_size=64MiB"] + list(opts)
    cmd = list(prefix) + harness.WRAP + [harness.S3RDMAFS] + list(args)
    cmd += [] if background else ["-f"]
    cmd += ["-o", ",".join(opts), source, path]
    begun = time.monotonic()
    proc = subprocess.Popen(
        cmd, env=clean_env(AWS_ACCESS_KEY_ID=ak, AWS_SECRET_ACCESS_KEY=sk,
                           **(env or {})),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, err = proc.communicate(timeout=30 * harness.SLOW)
    except subprocess.TimeoutExpired:
        proc.kill()
        run(["fusermount3", "-u", "-z", path], check=False)
        raise AssertionError("it does not end")
    _outputs.append((out + err).decode())
    return proc.returncode, out.decode(), err.decode(), \
        time.monotonic() - begun


def refused(words, code=(1, 2), **kw):
    """It must end so.  Each of words is a regular expression for one thing
    that the line must name."""
    status, out, err, took = start(**kw)
    path = kw.get("path", MOUNT_POINT)
    assert not is_mounted(path), "mounted all the same"
    assert status in code, "exit %d: %s" % (status, err)
    assert not out, "stdout: " + out
    lines = err.splitlines()
    assert len(lines) == 1, "%d lines: %s" % (len(lines), err)
    missing = [w for w in words if not re.search(w, err, re.I)]
    assert not missing, "no %s in: %s" % (missing, err)
    assert took < (CONNECT + 2) * harness.SLOW, "took %.1f s: %s" % (
        took, err)
    return "%.1f s: %s" % (took, lines[0])


# Servers that are not there -----------------------------------------------

def never_answers(words, **kw):
    """Connections are accepted by the kernel, and that is all."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(64)
        return refused(words, url="http://127.0.0.1:%d" % s.getsockname()[1],
                       **kw)


def never_connects(words):
    """No answer to a SYN: the queue of a listening socket is full."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        others = [socket.socket() for _ in range(4)]
        for o in others:
            o.setblocking(False)
            o.connect_ex(s.getsockname())
        try:
            return refused(words, url="http://127.0.0.1:%d" %
                           s.getsockname()[1])
        finally:
            for o in others:
                o.close()


def servers(gw):
    port = free_port()
    host = r"127\.0\.0\.1"
    case("refused", lambda: refused(
        [host, str(port), "refused|connect"], (1,),
        url="http://127.0.0.1:%d" % port))
    case("never answers", never_answers, [host, "time|answer"])
    case("never connects", never_connects, [host, "time|connect"])
    case("unknown host", lambda: refused(
        ["nosuch.invalid", "resolve|name"], (1,),
        url="http://nosuch.invalid:9000"))
    case("not a URL", lambda: refused(["endpoint"], url="127.0.0.1"))
    case("https to http", lambda: refused(
        ["tls|ssl|https"], (1,), url=gw.url.replace("http:", "https:")))


# Keys, clocks and buckets -------------------------------------------------

def late_clock(gw):
    source = os.path.join(DIR, "clock.c")
    with open(source, "w") as f:
        f.write(CLOCK_C)
    lib = os.path.join(DIR, "clock.so")
    run(["cc", "-shared", "-fPIC", "-o", lib, source, "-ldl"])
    # The address sanitizer wants to be first in the list of libraries.
    asan = os.environ.get("ASAN_OPTIONS", "")
    return refused(["clock|time"], (1,), url=gw.url, env={
        "LD_PRELOAD": lib,
        "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"})


def identity(gw):
    case("wrong secret", lambda: refused(
        ["secret|signature"], (1,), url=gw.url, sk="wrong" + SK))
    case("unknown key id", lambda: refused(
        ["access key", "AWS_ACCESS_KEY_ID"], (1,), url=gw.url,
        ak="nosuchkey"))
    case("late clock", late_clock, gw)
    case("missing bucket", lambda: refused(
        ["absent", "bucket"], (1,), url=gw.url, source="s3://absent"))
    case("wrong secret for all buckets", lambda: refused(
        ["secret|signature"], (1,), url=gw.url, sk="wrong" + SK,
        source="s3://"))
    case("half of a key", lambda: refused(
        ["AWS_SECRET_ACCESS_KEY|secret"], url=gw.url, sk=""))


# Options and the configuration file -----------------------------------------

def options(gw):
    def bad(text, words, code=(1, 2), **kw):
        case(text, lambda: refused(words, code, url=gw.url, **kw))
    bad("unknown option", ["nonsense"], opts=["nonsense=1"])
    bad("unknown dotted option", [r"read\.nonsense"],
        opts=["read.nonsense=1"])
    bad("unknown flag", ["nonsense"], (2,), args=["--nonsense"])
    bad("bad transport", ["transport", "http", "shm", "pigeon"],
        opts=["transport=pigeon"])
    bad("bad size", ["cache_size|staging.host", "lots"],
        opts=["cache_size=lots"])
    bad("bad duration", [r"metadata\.ttl", "soon"],
        opts=["metadata.ttl=soon"])
    bad("bad number", [r"connections", "many"],
        opts=["request.connections=many"])
    bad("bad boolean", [r"transport\.require", "perhaps"],
        opts=["transport.require=perhaps"])
    bad("bad mode", ["file_mode", "rwx"], opts=["mount.file_mode=rwx"])
    bad("bad source", ["s3://", "ftp"], source="ftp://data")
    case("no arguments", no_arguments)


def no_arguments():
    r = run([harness.S3RDMAFS], check=False)
    assert r.returncode == 2, "exit %d" % r.returncode
    assert b"SOURCE" in r.stderr and b"MOUNTPOINT" in r.stderr, r.stderr


YAML = {
    # text: (file, line of the fault, what else the message must name)
    "malformed YAML": (
        "endpoint:\n  region: us-east-1\n read: [\n", "[34]", []),
    "unknown YAML key": (
        "read:\n  prefetch_max: 8MiB\n  colour: blue\n", "3", ["colour"]),
    "unknown YAML section": ("log: {level: info}\nfoo: 1\n", "2", ["foo"]),
    "bad YAML value": (
        "staging:\n  host: 64MiB\nmetadata:\n  ttl: soon\n", "4",
        ["ttl", "soon", "duration|second|60s|[0-9](ms|s|m)"]),
    "bad YAML choice": (
        "\n\ntransport:\n  mode: pigeon\n", "4",
        ["mode", "pigeon", "auto", "http", "shm"]),
    "bad YAML size": (
        "staging:\n  host: plenty\n", "2", ["host", "plenty", "size|MiB"]),
    "YAML list for a value": (
        "log:\n  level: [info]\n", "2", ["level"]),
    "YAML text for a number": (
        "request:\n  connections: x\n", "2", ["connections", "number|integer"]
    ),
}


def configuration(gw):
    for i, (text, (content, line, words)) in enumerate(YAML.items()):
        name = os.path.join(DIR, "conf%d.yaml" % i)
        with open(name, "w") as f:
            f.write(content)
        where = re.escape(name) + r"\D{1,12}%s\b" % line
        case(text, lambda: refused([where] + words, url=gw.url,
                                   args=["-c", name]))
    case("no such file", lambda: refused(
        ["absent.yaml", "no such file"], url=gw.url,
        args=["-c", os.path.join(DIR, "absent.yaml")]))
    good = os.path.join(DIR, "good.yaml")
    with open(good, "w") as f:
        f.write("metadata: {ttl: 7s}\nlog: {level: warning}\n"
                "transport:\n  mode: http\n")
    case("where a value came from", provenance, gw, good)


def provenance(gw, conf):
    """s3rdmactl config tells every value and where it came from."""
    m = Mount("s3://data", gw.url, opts={"read.prefetch_max": "8MiB"},
              prefix=[with_conf(conf)]).start()
    text = m.ctl("config")
    line = next(l for l in text.splitlines() if "metadata.ttl" in l)
    assert "7" in line and ("file" in line or conf in line), line
    line = next(l for l in text.splitlines() if "read.prefetch_max" in l)
    assert "8" in line and "command line" in line, line
    for more in (text, m.ctl("config", "--json"), m.ctl("status"),
                 m.ctl("status", "--json"), m.ctl("stats")):
        _outputs.append(more)
    m.unmount()
    _outputs.append(m.text())


def with_conf(conf):
    """A small program in front of s3rdmafs that adds -c, which the class
    Mount does not know."""
    script = os.path.join(DIR, "with-conf")
    with open(script, "w") as f:
        f.write('#!/bin/sh\np=$1\nshift\nexec "$p" -c %s "$@"\n' % conf)
    os.chmod(script, 0o755)
    return script


# Mount points and /dev/fuse -------------------------------------------------

def mount_points(gw):
    case("missing mount point", lambda: refused(
        [re.escape(DIR + "/nowhere"), "no such|not exist|missing"], (1,),
        url=gw.url, path=DIR + "/nowhere"))
    plain = os.path.join(DIR, "plain")
    with open(plain, "w"):
        pass
    case("mount point is a file", lambda: refused(
        [re.escape(plain), "directory"], (1,), url=gw.url, path=plain))
    # Root may mount everywhere; a user needs to own the place.
    roots = os.path.join(DIR, "roots")
    os.mkdir(roots, 0o755)
    case("unwritable mount point", lambda: refused(
        [re.escape(roots), "write|owner|permi"], (1,), url=gw.url,
        path=roots, prefix=NOBODY))
    case("no /dev/fuse", no_fuse, gw)


def no_fuse(gw):
    """In a mount namespace with a /dev that has no fuse."""
    dev = os.path.join(DIR, "dev")
    os.mkdir(dev)
    for name, minor in (("null", 3), ("zero", 5), ("full", 7),
                        ("random", 8), ("urandom", 9)):
        os.mknod(os.path.join(dev, name), stat.S_IFCHR | 0o666,
                 os.makedev(1, minor))
    script = 'mount --bind "$0" /dev && exec "$@"'
    probe = run(["unshare", "-m", "sh", "-c", script, dev, "true"],
                check=False)
    if probe.returncode:
        note_skip("no /dev/fuse", probe.stderr.decode())
        return None
    return refused(["/dev/fuse", "modprobe|module|load"], (1,), url=gw.url,
                   prefix=["unshare", "-m", "sh", "-c", script, dev])


# In the background ------------------------------------------------------------

def daemon_of(path):
    """The process that serves a mount point; found by its arguments."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if os.fsencode(path) in words and \
                words[0].endswith((b"s3rdmafs", b"valgrind.bin")):
            return int(pid)
    return None


def ends(pid):
    end = time.monotonic() + 20 * harness.SLOW
    while os.path.exists("/proc/%d" % pid):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError("the daemon does not end")
        time.sleep(0.02)


def background():
    """Returns 0 with a mount that answers, although the server is slow; the
    daemon holds neither our pipes nor our folder."""
    gw = Gateway(faults=["list:delay=700", "head:delay=700"]).start()
    Bucket(gw, "data").put("hello", b"hello")
    path = os.path.join(DIR, "background")
    os.mkdir(path)
    harness._cleanups.append(
        lambda: run(["fusermount3", "-u", "-z", path], check=False))
    status, out, err, took = start(gw.url, path=path, background=True)
    assert status == 0 and not out, "%d %s" % (status, err)
    assert "warning" not in err and "error" not in err, err
    assert is_mounted(path)
    assert os.listdir(path) == ["hello"]
    pid = daemon_of(path)
    assert pid, "no daemon"
    assert os.readlink("/proc/%d/cwd" % pid) == "/"
    assert os.getsid(pid) != os.getsid(0)
    run(["fusermount3", "-u", path])
    ends(pid)
    gw.stop()
    return "returned after %.1f s" % took


def background_fails(gw):
    note = refused(["absent"], (1,), url=gw.url, source="s3://absent",
                   background=True)
    assert daemon_of(MOUNT_POINT) is None, "a daemon stays"
    return note


def terminated(gw):
    """SIGTERM: unmounts and ends with 0."""
    m = Mount("s3://data", gw.url).start()
    m.signal(signal.SIGTERM)
    assert m.proc.wait(20 * harness.SLOW) == 0
    assert not is_mounted(m.path)
    m.check_log()


def terminated_often(gw):
    """More SIGTERMs while it ends change nothing."""
    m = Mount("s3://data", gw.url).start()

    def ended():
        m.signal(signal.SIGTERM)
        return m.proc.poll() is not None
    end = time.monotonic() + 20 * harness.SLOW
    while not ended():
        assert time.monotonic() < end, "it goes on"
    assert m.proc.returncode == 0, m.proc.returncode
    assert not is_mounted(m.path)
    m.check_log()


def debug_tells_no_secret(gw):
    m = Mount("s3://data", gw.url, opts={"log.level": "debug"}).start()
    with open(m.file("hello")) as f:
        f.read()
    m.unmount()
    _outputs.append(m.text())


def no_secret():
    for text in _outputs:
        assert SK not in text, text
        assert "Signature=" not in text, text
    return "%d outputs" % len(_outputs)


def main():
    need_fuse()
    ordinary_fuse()
    os.mkdir(MOUNT_POINT)
    os.chmod(MOUNT_POINT, 0o777)
    gw = Gateway().start()
    Bucket(gw, "data").put("hello", b"hello")
    for group in (servers, identity, options, configuration, mount_points):
        group(gw)
    case("background", background)
    case("background, failing", background_fails, gw)
    case("SIGTERM", terminated, gw)
    case("SIGTERM, again and again", terminated_often, gw)
    case("debug log", debug_tells_no_secret, gw)
    case("no secret anywhere", no_secret)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
