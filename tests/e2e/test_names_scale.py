#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many names: right listings, cold and warm; names that stay known from one
mount to the next; and what they cost the server.

S3RDMAFS_TEST_FULL=1 makes it a million of them, as the issue has it."""
import os
import subprocess
import tempfile
import threading
import time

import badlist
import names
from files import FULL, case, error_name, finish, mounted
from harness import DIR, SLOW, clean_env, need_fuse, run, wait_for
from names import compare, find

COUNT = 1000000 if FULL else 30000
FOLDERS = 1000 if FULL else 100


def kept(name):
    """A metadata.path of this test's own."""
    return tempfile.mkdtemp(prefix=name + "-", dir=DIR)


def dirs_keys():
    each = COUNT // FOLDERS
    return {"d%04d/f%05d" % (d, i): (d + i) % 1000
            for d in range(FOLDERS) for i in range(each)}


def flat_keys():
    return {"flat/%07d.bin" % i: i % 1000 for i in range(COUNT)}


def again(gw, bucket, want):
    """Cold, warm, and after a mount anew: nothing is asked for then."""
    keep = dict(metadata__path=kept(bucket), metadata__ttl="1h")
    with mounted(gw, "s3://" + bucket, **keep) as m:
        compare(find(m.path), want, "cold")
        compare(find(m.path), want, "warm")
    before = gw.mark()
    with mounted(gw, "s3://" + bucket, **keep) as m:
        got = find(m.path)
        asked = gw.lists(before)
        compare(got, want, "mounted again")
        assert not asked, "%d LIST after mounting again: %s" % (
            len(asked), asked[:3])
        # By names alone, too.
        for path in list(want)[::997]:
            os.lstat(m.file(path))
        assert not gw.lists(before), "LIST for a look-up"
        heads = [a for a in gw.asked(before) if a[0] == "HEAD"]
        assert not heads, "HEAD for a look-up: %s" % heads[:3]


def many_directories(gw):
    keys = dirs_keys()
    names.make_bucket(gw, "dirs", keys)
    again(gw, "dirs", names.tree(keys))


def one_directory(gw):
    keys = flat_keys()
    names.make_bucket(gw, "flat", keys)
    again(gw, "flat", names.tree(keys))


def cold_by_ls(gw):
    """Names alone, as ls -U and ls -f give them, from a mount that has not
    listed anything."""
    want = {k.partition("/")[2] for k in flat_keys()}
    for how, extra in (("-U", set()), ("-f", {".", ".."})):
        with mounted(gw, "s3://flat") as m:
            out = run(["ls", how, m.file("flat")]).stdout.decode()
            got = names.once(out.split("\n")[:-1])
            assert got == want | extra, "ls %s: %d of %d" % (
                how, len(got), len(want))


class Held:
    """A server with one flat directory, whose first page alone it gives."""

    def __init__(self, count=20000):
        self.keys = ["flat/%06d" % i for i in range(count)]
        self.names = {k[5:] for k in self.keys}
        self.server = badlist.Server(self.keys)
        self.gate = self.server.before = badlist.Gate(
            lambda a: a is not None and a.prefix == "flat/" and
            bool(a.token or a.start))


def first_entries():
    """The first page is given out while the server still holds all others
    back; and what is held comes when it comes."""
    held = Held()
    with mounted(held.server, "s3://held", mode="http") as m:
        entries = os.scandir(m.file("flat"))
        early = [next(entries).name for _ in range(900)]
        assert early == ["%06d" % i for i in range(900)], early[:3]
        wait_for("more to be asked for", lambda: held.gate.held)
        held.gate.open()
        assert names.once(early + [e.name for e in entries]) == held.names


def first_of_ls():
    held = Held()
    with mounted(held.server, "s3://held", mode="http") as m:
        p = subprocess.Popen(["ls", "-U", m.file("flat")],
                             stdout=subprocess.PIPE, env=clean_env())
        first = p.stdout.readline().decode().strip()
        wait_for("more to be asked for", lambda: held.gate.held)
        held.gate.open()
        rest = p.stdout.read().decode().split()
        assert p.wait() == 0 and first == "000000", first
        assert names.once([first] + rest) == held.names


def two_readers():
    """Who waits for the rest of a listing holds up nobody else who reads the
    directory, nor who looks for a name in it."""
    held = Held()
    with mounted(held.server, "s3://held", mode="http") as m:
        os.stat(m.file("flat"))
        p = subprocess.Popen(["ls", "-U", m.file("flat")],
                             stdout=subprocess.PIPE, env=clean_env())
        p.stdout.readline()
        wait_for("more to be asked for", lambda: held.gate.held)
        time.sleep(0.2)  # until ls waits for what is held back
        did, why = [], []

        def other():
            entries = os.scandir(m.file("flat"))
            did.append([next(entries).name for _ in range(10)])
            did.append(os.stat(m.file("flat/000005")).st_size)
        t = threading.Thread(target=other, daemon=True)
        t.start()
        t.join(5 * SLOW)
        if t.is_alive():
            why.append("%d of 2 things done in 5 s" % len(did))
        held.gate.open()
        t.join()
        p.stdout.read()
        p.wait()
        assert not why, why[0]


def parallel_look_ups():
    """Names of one directory are looked for at the same time."""
    server = badlist.Server(["models/m%02d" % i for i in range(16)])
    with mounted(server, "s3://many", mode="http",
                 metadata__rules="models:1h:trusted") as m:
        os.stat(m.file("models"))
        gate = badlist.Gate(lambda a: a is None)  # each HEAD
        server.before = gate
        threads = [threading.Thread(
            target=os.stat, args=(m.file("models/m%02d" % i),), daemon=True)
            for i in range(16)]
        for t in threads:
            t.start()
        end = time.monotonic() + 5 * SLOW
        while gate.held < 8 and time.monotonic() < end:
            time.sleep(0.01)
        most = gate.held
        gate.open()
        for t in threads:
            t.join()
        assert most >= 8, "of 16 look-ups %d were under way at a time" % most


def ls_l_of_2000(gw):
    """ls -l of 2,000 files, from nothing: four requests after one another."""
    keys = {"two/%04d.bin" % i: i % 900 for i in range(2000)}
    names.make_bucket(gw, "two", keys)
    with mounted(gw, "s3://two") as m:
        before = gw.mark()
        out = run(["ls", "-l", m.file("two")]).stdout.decode()
        asked = [a for a in gw.asked(before) if a[0] in ("LIST", "HEAD")]
    got = {l.split()[-1]: int(l.split()[4]) for l in out.split("\n")[1:-1]}
    compare(got, {k[4:]: v for k, v in keys.items()})
    # With a server that counts who waits for whom.
    server = badlist.Server(keys)
    with mounted(server, "s3://two", mode="http") as m:
        rounds = server.before = badlist.Rounds()
        out = run(["ls", "-l", m.file("two")]).stdout.decode()
        assert len(out.split("\n")) == 2002, out[:300]
        server.before = None
    assert rounds.rounds <= 4, "%d round trips, %d requests: %s" % (
        rounds.rounds, len(asked), asked)
    return "%d round trips, %d requests" % (rounds.rounds, len(asked))


def latency_of_ls_l(gw):
    """The same by requests alone, each 20 ms away."""
    slow = names.Logged(root=gw.root + "-slow", faults=["any:delay=20"])
    os.mkdir(slow.root)
    slow.start()
    keys = {"two/%04d.bin" % i: i % 900 for i in range(2000)}
    names.make_bucket(slow, "two", keys)
    with mounted(slow, "s3://two") as m:
        os.stat(m.file("two"))
        before = slow.mark()
        run(["ls", "-l", m.file("two")])
        asked = [a for a in slow.asked(before) if a[0] in ("LIST", "HEAD")]
    slow.stop()
    assert len(asked) <= 4, "%d requests: %s" % (len(asked), asked)


# Trusted prefixes -------------------------------------------------------------

def heads_and_lists(gw, since):
    asked = gw.asked(since)
    return ([a for a in asked if a[0] == "HEAD"],
            [a for a in asked if a[0] == "LIST"],
            [a for a in asked if a[0] not in ("HEAD", "LIST")])


def trusted(gw, rule):
    """A name directly below a trusted prefix costs one HEAD, whether it is
    there or not; a listing is never made for it."""
    keys = {"models/m%03d" % i: 100 + i for i in range(40)}
    keys.update({"models/deep/x": 3, "other/y": 4})
    names.make_bucket(gw, "trust", keys)
    with mounted(gw, "s3://trust", metadata__rules=rule) as m:
        for i in range(10):
            since = gw.mark()
            fd = os.open(m.file("models/m%03d" % i), os.O_RDONLY)
            heads, lists, _ = heads_and_lists(gw, since)
            assert os.fstat(fd).st_size == 100 + i
            os.close(fd)
            assert not lists and len(heads) == 1, "open #%d: %s %s" % (
                i, heads, lists)
        since = gw.mark()
        got = error_name(os.open, m.file("models/none"), os.O_RDONLY)
        heads, lists, more = heads_and_lists(gw, since)
        assert got == "ENOENT", got
        assert len(heads) == 1 and not lists and not more, \
            "missing: %s %s %s" % (heads, lists, more)
        # Listed, it is a directory like any other.
        want = {k[7:] for k in keys if k.startswith("models/m")}
        assert set(os.listdir(m.file("models"))) == want | {"deep"}
        assert os.listdir(m.file("models/deep")) == ["x"]


def main():
    need_fuse()
    gw = names.Logged().start()
    for check in (many_directories, one_directory, cold_by_ls, ls_l_of_2000,
                  latency_of_ls_l):
        case(check.__name__.replace("_", " "), check, gw)
    for rule in ("models:1h:trusted", "models/:forever:trusted"):
        case("trusted, " + rule, trusted, gw, rule)
    for check in (first_entries, first_of_ls, two_readers,
                  parallel_look_ups):
        case(check.__name__.replace("_", " "), check)
    gw.stop()
    finish()


if __name__ == "__main__":
    main()
