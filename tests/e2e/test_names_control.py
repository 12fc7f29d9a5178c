#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""s3rdmactl's commands on names, with readers that are slow, stand still or go
away: an answer comes whole or is an error, and nobody waits for such a
reader but the command itself."""
import os
import signal
import socket
import subprocess
import time

import files
import names
from files import case, finish, mounted
from harness import CTL, SLOW, clean_env, need_fuse, run

# More than a pipe and a socket hold, by names as long as they may be.
COUNT = 1200
KEYS = ["red/%04d-" % i + "n" * 240 for i in range(COUNT)]
STILL = 6  # seconds: longer than the daemon's patience for short answers


def found(m):
    """The mount knows the metadata of all, which find looks through."""
    for k in KEYS:
        assert os.getxattr(m.file(k), "user.s3.meta.color") == b"red"


def started(m, *args):
    return subprocess.Popen([CTL, m.path] + list(args), env=clean_env(),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rest(p):
    """What stdout still gives, behind lines that were read, and stderr."""
    out, said = p.stdout.read(), p.stderr.read()
    p.wait()
    return out, said


def slow_reader(m):
    p = started(m, "find", "--meta", "color=red")
    first = p.stdout.readline()
    time.sleep(STILL)
    out, said = rest(p)
    got = names.once((first + out).decode().split("\n")[:-1])
    assert p.returncode == 0 and got == set(KEYS), "%d of %d, exit %d, %s" % (
        len(got), COUNT, p.returncode, said)


def ask(m, line):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30 * SLOW)
    s.connect(os.getxattr(m.path, "user.s3rdmafs.control"))
    s.sendall(line)
    return s


def answers_have_an_end(m):
    for line in (b"find % meta color=none\n", b"status\n", b"drop\n",
                 b"json stats\n", b"refresh red\n", b"refresh none\n",
                 b"nonsense\n"):
        s, got = ask(m, line), b""
        while more := s.recv(65536):
            got += more
        assert got.endswith(b"\0") and got.count(b"\0") == 1, (line, got)
        assert got[-2:-1] in (b"", b"\n"), (line, got)
        s.close()


def others_meanwhile(m):
    """Who stands still holds up nobody else."""
    s = ask(m, b"find % meta color=red\n")
    s.recv(100)
    out = run([CTL, m.path, "find", "--prefix", KEYS[7], "--meta",
               "color=red"]).stdout.decode()
    assert out == KEYS[7] + "\n", out
    run([CTL, m.path, "refresh", "red"])
    assert len(os.listdir(m.file("red"))) == COUNT
    s.close()


def cut_short(gw):
    """By a daemon that is killed: no success."""
    m = files.mount(gw, "s3://red", allow=["namespace: "])
    found(m)
    p = started(m, "find", "--meta", "color=red")
    p.stdout.readline()
    time.sleep(1)
    names.kill9(m)
    out, said = rest(p)
    assert out.count(b"\n") < COUNT - 1, "all of it came"
    assert p.returncode == 1 and b"cut short" in said, (p.returncode, said)


def ending(gw):
    """The mount ends while readers stand still."""
    m = files.mount(gw, "s3://red")
    found(m)
    p = started(m, "find", "--meta", "color=red")
    p.stdout.readline()
    p.send_signal(signal.SIGSTOP)
    s = ask(m, b"find % meta color=red\n")
    s.recv(100)
    time.sleep(1)
    begin = time.monotonic()
    m.unmount()
    took = time.monotonic() - begin
    assert took < 5 * SLOW, "unmounting took %d s" % took
    p.send_signal(signal.SIGCONT)
    out, said = rest(p)
    assert p.returncode == 1 and b"cut short" in said, (p.returncode, said)
    s.close()


def nothing_imported(m):
    """What is in front of the pipe failed."""
    for text in (b"", b'"other","red/x","1"\n'):
        p = subprocess.run(
            [CTL, m.path, "import", "-", "--columns", "Bucket,Key,Size"],
            input=text, env=clean_env(), capture_output=True)
        assert p.returncode == 1 and b"nothing was changed" in p.stderr, p
        assert len(os.listdir(m.file("red"))) == COUNT
    p = subprocess.run("false | %s %s import -" % (CTL, m.path), shell=True,
                       env=clean_env(), capture_output=True)
    assert p.returncode == 1, p
    assert len(os.listdir(m.file("red"))) == COUNT


def no_room(m):
    with open("/dev/full", "wb") as full:
        p = subprocess.run([CTL, m.path, "find", "--meta", "color=red"],
                           env=clean_env(), stdout=full,
                           stderr=subprocess.PIPE)
    assert p.returncode == 1 and b"No space" in p.stderr, p


def main():
    need_fuse()
    gw = names.Logged().start()
    bucket = files.Bucket(gw, "red")
    for k in KEYS:
        bucket.put(k, b"x", x_amz_meta_color="red")
    with mounted(gw, "s3://red") as m:
        found(m)
        for check in (slow_reader, answers_have_an_end, others_meanwhile,
                      no_room, nothing_imported):
            case(check.__name__.replace("_", " "), check, m)
    for check in (cut_short, ending):
        case(check.__name__.replace("_", " "), check, gw)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
