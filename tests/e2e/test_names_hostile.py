#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that lists badly (badlist.py).  Whatever it answers for one
directory, the daemon lives, asks a bounded number of times, shows no name that
is not below that directory, stays small, and serves all other directories."""
import os
import subprocess
import sys
import tempfile
import time

import badlist
import names
from badlist import HEAD, TAIL, common, content, encoded, page
from files import PLAIN, case, error_name, finish, mount
from harness import DIR, SLOW, clean_env, need_fuse

POOL, MORE = 64 << 20, 64 << 20
REQUESTS = 3000   # of one listing, and of what follows from it
SECONDS = 6 * SLOW
# What the daemon may say of such a server.
SAYS = ["what is none", "in no order", "have no path", "s3: ", "namespace: "]

GOOD = ["good/f%03d" % i for i in range(50)] + \
    ["good/sub%d/x%d" % (i, j) for i in range(5) for j in range(5)]
HOSTILE = []  # (name, answer, names that may be shown, names that must be)


NO_WALK = set()


def hostile(may=None, must=(), ranges=False, walk=True):
    """A case: an answer for "evil/".  may: names that may be shown, None for
    any sane one; must: those that must be, or the listing be an error.
    ranges: it also answers where a range of the directory is asked for; else
    there is nothing behind any name, so that the daemon makes no ranges."""
    def register(f):
        def answer(ask):
            if ask.start and not ask.token and not ranges:
                return page([])
            return f(ask)
        HOSTILE.append((f.__name__, answer, may, set(must)))
        if not walk:
            NO_WALK.add(f.__name__)
        return f
    return register


def key(name):
    return content(encoded(("evil/" + name) if isinstance(name, str)
                           else b"evil/" + name))


def some(first, n, form="k%06d"):
    return [key(form % i) for i in range(first, first + n)]


def named(first, n, form="k%06d"):
    return {form % i for i in range(first, first + n)}


# ---- tokens ----

@hostile()
def token_repeated(ask):
    return page(some(0, 100), "T")


@hostile()
def token_repeated_with_new_keys(ask):
    return page(some(ask.n * 10, 10), "T")


@hostile()
def token_cycle_of_3(ask):
    at = ask.at() % 3
    return page(some(at * 100, 100), "t%d" % ((at + 1) % 3))


@hostile()
def endless_same_page(ask):
    return page(some(0, 1000), "t%d" % (ask.at() + 1))


@hostile()
def endless_same_key(ask):
    return page(some(0, 1), "t%d" % (ask.at() + 1))


@hostile()
def endless_empty(ask):
    return page([], "t%d" % (ask.at() + 1))


@hostile()
def endless_odd_keys(ask):
    """Keys that have no path, on and on: each page adds nothing."""
    return page([key("a//%d" % i) for i in range(20)],
                "t%d" % (ask.at() + 1))


@hostile()
def endless_outside(ask):
    return page([content("elsewhere/%d" % i) for i in range(20)],
                "t%d" % (ask.at() + 1))


@hostile()
def truncated_without_token(ask):
    return page(some(0, 10), more=True)


@hostile()
def empty_token(ask):
    return page(some(0, 10), "", more=True)


@hostile()
def huge_token(ask):
    return page(some(0, 10), "T" * 100000)


@hostile()
def token_of_5000(ask):
    return page(some(ask.n * 10, 10), "%05d" % ask.n + "T" * 5000)


@hostile()
def two_tokens(ask):
    if ask.token:
        return page(some(10, 10))
    return page(some(0, 10), "t1</NextContinuationToken>"
                "<NextContinuationToken>t2")


@hostile()
def token_in_a_comment(ask):
    if ask.token == "t2":
        return page(some(10, 10))
    return page(["<!-- <NextContinuationToken>bad</NextContinuationToken>"
                 "<IsTruncated>true</IsTruncated> -->"] + some(0, 10), "t2")


@hostile()
def token_in_a_key(ask):
    return page(["<Contents><Key>evil/x<NextContinuationToken>t</"
                 "NextContinuationToken></Key></Contents>"] + some(0, 3))


# ---- order ----

ORDERED = 5


@hostile(must=named(0, ORDERED * 100))
def pages_backwards(ask):
    at = ask.at()
    return page(some((ORDERED - 1 - at) * 100, 100),
                "t%d" % (at + 1) if at < ORDERED - 1 else None)


@hostile(must=named(0, 500))
def keys_backwards(ask):
    return page(some(0, 500)[::-1])


@hostile(must=named(0, 300))
def keys_again_over_pages(ask):
    at = ask.at()
    return page(some(max(0, at * 100 - 7), 100 + min(at * 100, 7)),
                "t%d" % (at + 1) if at < 2 else None)


@hostile(must=named(0, 100))
def each_key_twice(ask):
    return page([k for k in some(0, 100) for _ in range(2)])


@hostile(may={"x", "x-", "x0"}, must={"x", "x-", "x0"})
def file_and_directory_over_pages(ask):
    pages = [[key("x")], [key("x-")], [common("evil/x/")], [key("x0")]]
    at = ask.at()
    return page(pages[at], "t%d" % (at + 1) if at < 3 else None)


@hostile(may={"x", "x-", "x0"}, must={"x", "x-", "x0"})
def directory_before_the_file(ask):
    pages = [[common("evil/x/")], [key("x-")], [key("x0")], [key("x")]]
    at = ask.at()
    return page(pages[at], "t%d" % (at + 1) if at < 3 else None)


@hostile(may={"x", "y"}, must={"x", "y"})
def prefix_again(ask):
    pages = [[common("evil/x/")] * 3, [common("evil/x/"), common("evil/y/")]]
    at = ask.at()
    return page(pages[at], "t1" if at < 1 else None)


# ---- names ----

@hostile(may={"ok", "zz"}, must={"ok"})
def dots(ask):
    return page([common("../"), common("evil/../"), common("evil/./"),
                 common("evil//"), common("/"), common(""), common("evil/"),
                 common("evil"), content("/etc/passwd"), content("evil//a"),
                 content(".."), content("evil/.."), content("evil/."),
                 content("evil/"), content("evil"), content(""),
                 content("evil/../../etc/passwd"), content("evil/./b"),
                 key("ok")])


@hostile(may={"ok", "a", "in", "b"}, must={"ok"})
def slashes_in_names(ask):
    return page([content("evil/a/b/c"), content("evil/in/../../x"),
                 common("evil/b/c/d/"), key("ok")])


@hostile(may={"mine"}, must={"mine"})
def outside_the_prefix(ask):
    return page([content("good/f000"), content("good/intruder"),
                 content("zzz"), common("good/"), common("other/"),
                 content("evilx"), content("evi"), key("mine"),
                 content("Evil/x"), content("good/evil/x")])


@hostile(may={b"\xff\xfe", b"\xc3\x28", b"ok", b"\xed\xa0\x80"},
         must={"ok"})
def invalid_utf8_encoded(ask):
    return page([key(b"\xc3\x28"), key(b"\xff\xfe"), key(b"\xed\xa0\x80"),
                 key("ok")])


@hostile(may={"ok"})
def invalid_utf8_raw(ask):
    return page([key("ok")])[:-len(TAIL)] + \
        b"<Contents><Key>evil/\xff\xfe\xc3</Key></Contents>" + TAIL.encode()


@hostile(may={"ok"})
def nul_encoded(ask):
    return page([content("evil/a%00b"), content("evil/%00"),
                 content("evil/o%6b"), content("evil/x%00/../y")])


@hostile(may={"ok"})
def nul_raw(ask):
    return page(["<Contents><Key>evil/a&#0;b</Key></Contents>", key("ok")])


@hostile(may={"ok", "%zz", "a%", "%"})
def broken_escapes(ask):
    return page([content("evil/%zz"), content("evil/a%"),
                 content("evil/%"), key("ok")])


@hostile(may={"ok"}, must={"ok"})
def keys_of_5000(ask):
    return page([key("x" * 5000), key("y/" * 2500), key("z" * 256),
                 common("evil/" + "w" * 4000 + "/"), key("ok")])


@hostile(may={"ok"})
def keys_of_a_megabyte(ask):
    return page([key("x" * (1 << 20)), key("ok")])


@hostile(may={"ok", "a\nb", "a\rb", "\x01", "\x7f"})
def control_characters(ask):
    return page([key("\x01"), key("a\nb"), key("a\rb"), key("ok"),
                 key("\x7f")])


# ---- attributes ----

@hostile(may={"a", "b", "c", "d", "e"})
def odd_sizes(ask):
    return page([content("evil/" + n, s) for n, s in zip(
        "abcde", ("0", str(2 ** 63 - 1), str(2 ** 63), str(2 ** 64 - 1),
                  "00007"))])


@hostile(may={"a", "b"})
def negative_size(ask):
    return page([content("evil/a", "-1"), content("evil/b", "1")])


@hostile(may={"a", "b"})
def size_too_large(ask):
    return page([content("evil/a", str(2 ** 64)), content("evil/b", "x")])


@hostile(may={"a", "b"}, must={"a", "b"})
def odd_times_and_etags(ask):
    return page(["<Contents><Key>evil/a</Key><LastModified>9999999-99-99T"
                 "</LastModified><ETag>%s</ETag><Size>1</Size></Contents>"
                 % ("e" * 5000),
                 "<Contents><Key>evil/b</Key><LastModified></LastModified>"
                 "<ETag>&quot;\n&quot;</ETag><Size>1</Size><StorageClass>%s"
                 "</StorageClass></Contents>" % ("S" * 5000)])


# ---- documents ----

NAMES = len(HOSTILE)  # those before; test_names_documents.py has the rest

@hostile()
def entity_bomb(ask):
    bomb = '<!DOCTYPE b [<!ENTITY a0 "ha">' + "".join(
        '<!ENTITY a%d "%s">' % (i, "&a%d;" % (i - 1) * 10)
        for i in range(1, 12)) + "]>"
    return HEAD.replace("\n<", "\n" + bomb + "<", 1).encode() + \
        b"<Contents><Key>evil/&a11;</Key></Contents>" + TAIL.encode()


@hostile()
def external_entity(ask):
    return HEAD.replace("\n<", '\n<!DOCTYPE b [<!ENTITY x SYSTEM '
                        '"file:///etc/passwd">]><', 1).encode() + \
        b"<Contents><Key>evil/&x;</Key></Contents>" + TAIL.encode()


@hostile()
def deep_nesting(ask):
    return (HEAD + "<a>" * 200000 + "</a>" * 200000 + TAIL).encode()


@hostile()
def attributes_without_end(ask):
    return (HEAD + "<Contents " + " ".join(
        'a%d="%s"' % (i, "x" * 100) for i in range(50000)) + "/>" +
        TAIL).encode()


@hostile()
def truncated_xml(ask):
    return page(some(0, 100))[:-400]


@hostile()
def no_xml(ask):
    return b"<html><body>It works!</body></html>"


@hostile()
def empty_body(ask):
    return b""


@hostile()
def another_document(ask):
    return b"<?xml version='1.0'?><ListAllMyBucketsResult/>"


@hostile()
def wrong_encoding(ask):
    return page(some(0, 10)).replace(b"UTF-8", b"UTF-16")


@hostile()
def page_of_200_mb(ask):
    def body():
        yield HEAD.encode()
        chunk = "".join(some(0, 1000)).encode()
        for _ in range(200 * (1 << 20) // len(chunk)):
            yield chunk
        yield TAIL.encode()
    return 200, {}, body()


@hostile()
def white_space_of_200_mb(ask):
    return 200, {}, (b" " * (1 << 20) for _ in range(200))


@hostile()
def one_text_of_12_mb(ask):
    return page(["<Contents><Key>evil/" + "x" * (12 << 20) +
                 "</Key></Contents>"])


@hostile(must=named(0, 500), ranges=True)
def ignores_start_after(ask):
    """Every range gets all names from the first on."""
    at = ask.at()
    return page(some(at * 100, 100), "t%d" % (at + 1) if at < 4 else None)


@hostile(must=named(0, 8000), ranges=True)
def large_pages(ask):
    """12 MB each, padded; each range of the directory at a time."""
    n, size = 8000, 1000
    first = 0
    if ask.token:
        first = ask.at()
    elif ask.start:
        first = next((i for i in range(n)
                      if "evil/k%06d" % i > ask.start), n)
    if ask.max < 1000:
        return page(some(first, 1)) if first < n else page([])
    if first >= n:
        return page([])
    pad = "<!--" + "x" * 12000 + "-->"
    return page([k + pad for k in some(first, min(size, n - first))],
                "t%d" % (first + size) if first + size < n else None)


@hostile(walk=False)
def many_prefixes(ask):
    """A page of 200,000 directories: no server of S3 sends so many."""
    return page([common("evil/p%06d/" % i) for i in range(200000)]
                if ask.delimiter else [])


# ---- HTTP ----

@hostile()
def length_too_large(ask):
    body = page(some(0, 100))
    return 200, {"Content-Length": str(len(body) + 1000)}, iter([body])


@hostile()
def length_too_small(ask):
    body = page(some(0, 100))
    return 200, {"Content-Length": str(len(body) - 1000)}, iter([body])


@hostile()
def length_that_is_none(ask):
    return 200, {"Content-Length": "99999999999999999999999"}, \
        iter([page(some(0, 10))])


@hostile()
def error_403(ask):
    return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"


@hostile()
def redirects_to_itself(ask):
    return 301, {"Location": "/here?list-type=2&prefix=evil/"}, b""


@hostile()
def status_204(ask):
    return 204, {"Content-Length": "0"}, b""


# ---- the check ----

class Hangs(AssertionError):
    pass


def read_names(m, name, seconds):
    """The names that a process of its own reads, and its last word if it
    failed.  Who hangs cannot be ended before the daemon is."""
    out, err = (tempfile.TemporaryFile(dir=DIR) for _ in range(2))
    p = subprocess.Popen(
        [sys.executable, "-c",
         "import os,sys\nfor e in os.scandir(os.fsencode(sys.argv[1])):\n"
         "  sys.stdout.buffer.write(e.name + b'\\0')\n", m.file(name)],
        env=clean_env(), stdout=out, stderr=err)
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        p.kill()
        raise Hangs("no end after %d s" % seconds)
    out.seek(0)
    err.seek(0)
    text = err.read().decode().strip().rpartition("\n")[2]
    assert not p.returncode or text, "exit %d" % p.returncode
    return out.read().split(b"\0")[:-1], text if p.returncode else ""


def others_are_served(m):
    assert set(os.listdir(m.file("good"))) == \
        {"f%03d" % i for i in range(50)} | {"sub%d" % i for i in range(5)}
    assert os.listdir(m.file("good/sub3")) == ["x%d" % j for j in range(5)]
    assert os.stat(m.file("good/f007")).st_size == \
        badlist.Server.size_of("good/f007")


def memory(m, what):
    if PLAIN:
        most = names.peak(m)
        assert most <= POOL + MORE, "%s: %d MiB resident at a time" % (
            what, most >> 20)


def look(server, m, name, may, must):
    """Twice what the hostile directory holds; the others in between."""
    before, said = server.total, ""
    for turn in range(2):
        try:
            shown, said = read_names(m, "evil", SECONDS)
        except Hangs as e:
            raise Hangs("%s and %d requests" % (e, server.total - before))
        asked = server.total - before
        assert asked <= REQUESTS, "%d requests" % asked
        assert len(shown) == len(set(shown)), "a name twice"
        for n in shown:
            assert n not in (b"", b".", b"..") and b"/" not in n and \
                len(n) <= 255, n[:300]
        if may is not None:
            ok = {n if isinstance(n, bytes) else n.encode() for n in may}
            assert set(shown) <= ok, "shows %s" % sorted(
                set(shown) - ok)[:5]
        want = {n.encode() for n in must}
        assert said or want <= set(shown), "%d missing, as %s" % (
            len(want - set(shown)), sorted(want - set(shown))[:3])
        for n in shown[:3]:
            error_name(os.lstat, os.path.join(os.fsencode(m.file("evil")),
                                              n))
        others_are_served(m)
    memory(m, name)
    assert set(os.listdir(m.path)) == {"evil", "good"}, os.listdir(m.path)
    if name in NO_WALK:
        return "%d requests, %d MiB" % (asked, names.peak(m) >> 20)
    # What a walk asks for, too.
    p = subprocess.Popen(["find", m.path], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        p.wait(SECONDS)
    except subprocess.TimeoutExpired:
        p.kill()
        raise Hangs("find has no end, %d requests" % (server.total - before))
    asked = server.total - before
    assert asked <= 2 * REQUESTS, "%d requests, with find" % asked
    others_are_served(m)
    memory(m, name + ", find")
    return "%d requests, %s, %d MiB" % (
        asked, "an error" if said else "%d names" % len(shown),
        names.peak(m) >> 20)


def one(server, name, answer, may, must):
    server.hostile, server.counts = {"evil/": answer}, {}
    m = mount(server, "s3://bad", mode="http", allow=SAYS,
              metadata__ttl="1s", request__deadline="%ds" % SLOW,
              request__attempt_timeout="%ds" % SLOW)
    try:
        note = look(server, m, name, may, must)
    except BaseException:
        alive = m.alive()
        m.kill()  # who hangs in the mount ends with it
        m._detach()
        if not alive:
            raise AssertionError("the daemon ended: " + m.text()[-1500:])
        raise
    finally:
        server.hostile = {}
    m.unmount()
    return note


def endless_new(server):
    """Ever new keys: who reads may stop at any time, others are served, and
    the mount ends when it is told to."""
    server.hostile = {"evil/": lambda ask: page(
        some(ask.n * 100, 100, "k%012d"), "t%d" % (ask.at() + 1))}
    m = mount(server, "s3://bad", mode="http", allow=SAYS)
    entries = os.scandir(m.file("evil"))
    seen = set()
    end = time.monotonic() + 4 * SLOW
    while time.monotonic() < end:
        n = next(entries).name
        assert n not in seen, "twice: " + n
        seen.add(n)
        if len(seen) % 500 == 0:
            others_are_served(m)
    entries.close()
    memory(m, "endless")
    others_are_served(m)
    begin = time.monotonic()
    m.unmount()
    took = time.monotonic() - begin
    assert took < 15 * SLOW, "unmounting took %d s" % took
    server.hostile = {}
    return "%d names read" % len(seen)


def deep_keys(server):
    """Hundreds of directories in each key: a page of them, listed by refresh
    in one piece, is no reason to grow."""
    count, levels = 200, 500
    server.set_keys(GOOD + ["deep/%03d/" % i + "a/" * levels + "x"
                            for i in range(count)])
    m = mount(server, "s3://bad", mode="http", allow=SAYS)
    try:
        for _ in range(2):  # the second time against what is known
            out = m.ctl("refresh", "deep")
            assert "%d files" % count in out, out
            memory(m, "deep")
        assert len(os.listdir(m.file("deep"))) == count
        assert os.stat(m.file("deep/007/" + "a/" * 400)).st_size == 0
        others_are_served(m)
        note = "%d MiB" % (names.peak(m) >> 20)
    finally:
        server.set_keys(GOOD + ["evil/x"])
        m.unmount()
    return note


def large_after_bad(server):
    """One directory that comes in another order must not spoil the mount for
    a directory that is large, and in order."""
    count = 75000
    big = ["big/" + "%06d-" % i + "n" * 220 for i in range(count)]
    server.set_keys(GOOD + ["evil/x"] + big)
    server.hostile = {"evil/": keys_backwards}
    m = mount(server, "s3://bad", mode="http", allow=SAYS)
    try:
        assert len(read_names(m, "evil", SECONDS)[0]) == 500
        got = read_names(m, "big", 60 * SLOW)
        assert not got[1] and len(set(got[0])) == count, "%d of %d: %s" % (
            len(got[0]), count, got[1])
        memory(m, "large")
    finally:
        server.hostile = {}
        server.set_keys(GOOD + ["evil/x"])
        m.unmount()


def run_cases(cases, more):
    need_fuse()
    server = badlist.Server(GOOD + ["evil/x"])
    only = sys.argv[1:]
    for name, answer, may, must in cases:
        if not only or name in only:
            case(name.replace("_", " "), one, server, name, answer, may,
                 must)
    for check in more:
        if not only or check.__name__ in only:
            case(check.__name__.replace("_", " "), check, server)
    finish()


if __name__ == "__main__":
    run_cases(HOSTILE[:NAMES], (endless_new, deep_keys))
