#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: listings, both versions, against a sorted model.

The keys are chosen so that the order of their bytes differs from the order of
a directory walk (a- a. a/ a0) and of UTF-16 (U+FFEE before an emoji).
"""
import datetime

from s3client import (Server, case, entries_of, etag, main, model_list, ok,
                      refused, same)

KEYS = ["a", "a-b", "a.b", "a/b", "a/b/c", "a/b/d", "a/b-c", "a/c", "a0",
        "A", "b/", "b/x", "b//x", "c//", "d/e/f/g", "z z", "z+z", "z%20z",
        "\u00e9", "e\u0301", "\uffee", "\U0001f600/x", "\U0001f600",
        "&<>\"'", "~", "-", "0/1/2", "0/1/3", "0-1", "0.1"]


def stocked(t, keys=tuple(KEYS)):
    b = t.bucket("list")
    for k in keys:
        t.s3.store(b, k, k.encode())
    return b


def pages(t, b, v, **args):
    """The entries of every page; no page may be longer than it may be."""
    out = []
    while True:
        p = t.s3.list(b, v, **args)
        got = entries_of(p)
        limit = min(int(args.get("max_keys", 1000)), 1000)
        assert len(got) <= limit, (args, p.reply)
        if v == 2:
            same(p.text("KeyCount"), str(len(got)), "KeyCount")
        out.append(got)
        if not p.truncated:
            assert p.text("NextContinuationToken") is None, p.reply
            assert p.text("NextMarker") is None, p.reply
            return out
        same(len(got), limit, "a truncated page is full")
        if v == 2:
            args["continuation_token"] = p.text("NextContinuationToken")
        else:
            args["marker"] = p.next_marker()


@case
def element_by_element(t):
    """All that a listing says of an object, in both versions."""
    b = stocked(t, ["one", "two/three"])
    for v in (1, 2):
        p = t.s3.list(b, v)
        r = p.reply
        assert b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' in r.body
        same(p.text("Name"), b)
        same(p.text("Prefix"), "")
        same(p.text("MaxKeys"), "1000")
        same(p.text("IsTruncated"), "false")
        same(p.text("EncodingType"), None)
        same(r.texts("Contents/Key"), ["one", "two/three"])
        same(r.texts("Contents/Size"), ["3", "9"])
        same(r.texts("Contents/ETag"), [etag(b"one"), etag(b"two/three")])
        same(r.texts("Contents/StorageClass"), ["STANDARD"] * 2)
        for d in r.texts("Contents/LastModified"):
            at = datetime.datetime.strptime(d, "%Y-%m-%dT%H:%M:%S.%fZ")
            assert abs((at - datetime.datetime.utcnow())
                       .total_seconds()) < 120, d


@case
def last_modified_agrees(t):
    """A listing and a HEAD tell the same time, to the second."""
    b = stocked(t, ["one"])
    at = t.s3.list(b).text("Contents/LastModified")
    head = datetime.datetime.strptime(t.s3.head(b, "one")["last-modified"],
                                      "%a, %d %b %Y %H:%M:%S GMT")
    same(at[:19], head.strftime("%Y-%m-%dT%H:%M:%S"))


@case
def order_is_of_bytes(t):
    b = stocked(t)
    want = sorted(KEYS, key=lambda k: k.encode())
    for v in (1, 2):
        for enc in ({}, {"encoding_type": "url"}):
            same(t.s3.list(b, v, **enc).keys, want, (v, enc))


@case
def prefix_and_delimiter(t):
    b = stocked(t)
    for prefix in ("", "a", "a/", "a/b", "a/b/", "b/", "b//", "none", "0/",
                   "0/1/", "\U0001f600", "z", "&", "a/b/c"):
        for delim in ("", "/", "b", "/b", "-", "//", "\u00e9", "zz"):
            want = model_list(KEYS, prefix, delim)
            for v in (1, 2):
                p = t.s3.list(b, v, prefix=prefix, delimiter=delim,
                              encoding_type="url")
                same(entries_of(p), want, (v, prefix, delim))
                same(p.dec(p.text("Prefix")), prefix)
                same(p.dec(p.text("Delimiter") or ""), delim)


@case
def paging(t):
    """Every page size and every delimiter: each entry once, in order."""
    b = stocked(t)
    for delim in ("", "/", "b"):
        want = model_list(KEYS, "", delim)
        for size in (1, 2, 3, 7, len(want) - 1, len(want), len(want) + 1):
            for v in (1, 2):
                got = pages(t, b, v, delimiter=delim, max_keys=size,
                            encoding_type="url")
                same(sum(got, []), want, (v, delim, size))
                same(len(got), -(-len(want) // size), "pages")


@case
def paging_of_common_prefixes(t):
    """A prefix with many keys is one entry, on one page only, and the next
    page starts behind all of it."""
    keys = ["%s/%02d" % (d, i) for d in "pqrs" for i in range(20)] + ["q-"]
    b = stocked(t, keys)
    for size in (1, 2, 3):
        for v in (1, 2):
            got = sum(pages(t, b, v, delimiter="/", max_keys=size), [])
            same([n for _, n in got], ["p/", "q-", "q/", "r/", "s/"])


@case
def max_keys(t):
    b = stocked(t)
    for v in (1, 2):
        p = t.s3.list(b, v, max_keys=0)
        same((p.keys, p.truncated, p.text("MaxKeys")), ([], False, "0"))
        assert p.text("NextContinuationToken") is None, p.reply
        p = t.s3.list(b, v, max_keys=1)
        same((p.keys, p.truncated, p.text("MaxKeys")),
             ([min(KEYS, key=lambda k: k.encode())], True, "1"))
        for n in (1000, 2000, 2147483647):
            p = t.s3.list(b, v, max_keys=n)
            same((len(p.keys), p.truncated), (len(KEYS), False))
        for n in ("-1", "x", "1x", "99999999999999999999", "1.5"):
            refused(t.s3.get(b, q=[("list-type", str(v)), ("max-keys", n)]),
                    400, "InvalidArgument")


@case
def thousand_at_most(t):
    """However many are asked for; and the second page brings the rest."""
    b = t.bucket("many")
    keys = ["%04d/%s" % (i, "x" * (i % 7)) for i in range(1005)]
    for k in keys:
        ok(t.s3.put(b, k))
    for v in (1, 2):
        for n in ({}, {"max_keys": 1000}, {"max_keys": 2000}):
            p = t.s3.list(b, v, **n)
            same((len(p.keys), p.truncated), (1000, True), (v, n))
            same(t.s3.list_all(b, v, **n)[0], keys)
            d = t.s3.list(b, v, delimiter="/", **n)
            same((len(d.prefixes), d.truncated), (1000, True), (v, n))
    t.s3.empty_bucket(b)
    ok(t.s3.delete(b), 204)


@case
def start_after(t):
    b = stocked(t)
    for after in KEYS + ["", "a/", "b", "zzz", "\U0010ffff", "!", "a/b/cc"]:
        p = t.s3.list(b, start_after=after, encoding_type="url")
        same(entries_of(p), model_list(KEYS, marker=after), after)
        if after:
            same(p.dec(p.text("StartAfter")), after)
        p = t.s3.list(b, 1, marker=after, encoding_type="url")
        same(entries_of(p), model_list(KEYS, marker=after), after)
        same(p.dec(p.text("Marker")), after)
    for after in ("a", "a/b", "a/b/c", "0", "b/x", "a/zz"):
        p = t.s3.list(b, start_after=after, prefix="a/", encoding_type="url")
        same(entries_of(p), model_list(KEYS, "a/", marker=after), after)


@case
def start_after_with_delimiter(t):
    """Where start-after is inside a common prefix, the prefix may come or
    not: AWS does not say.  Where it is not, there is one answer."""
    b = stocked(t)
    for after in KEYS + ["a/", "b", "0/", "a/a", "a/zz", "d/e/f/g/h", "!"]:
        for v, arg in ((2, "start_after"), (1, "marker")):
            p = t.s3.list(b, v, delimiter="/", encoding_type="url",
                          **{arg: after})
            want = [model_list(KEYS, "", "/", after, s) for s in (True, False)]
            assert entries_of(p) in want, (v, after, entries_of(p), want)


@case
def marker_is_a_common_prefix(t):
    """So V1 pages, whose NextMarker is the prefix: it is not repeated."""
    b = stocked(t)
    p = t.s3.list(b, 1, delimiter="/", marker="a/", encoding_type="url")
    same(entries_of(p), model_list(KEYS, "", "/", "a/"))


@case
def next_marker_needs_a_delimiter(t):
    b = stocked(t)
    p = t.s3.list(b, 1, max_keys=2)
    same((p.truncated, p.text("NextMarker")), (True, None))
    p = t.s3.list(b, 1, max_keys=2, delimiter="/")
    same((p.truncated, p.text("NextMarker")), (True, p.keys[-1]))


@case
def continuation(t):
    b = stocked(t)
    p = t.s3.list(b, max_keys=5, start_after="a", prefix="")
    token = p.text("NextContinuationToken")
    # The token wins over start-after, and it is told back.
    n = t.s3.list(b, max_keys=5, start_after="zzz", continuation_token=token)
    same(n.text("ContinuationToken"), token)
    want = [k for _, k in model_list(KEYS, marker="a")]
    same(p.keys + n.keys, want[:10])
    # The same token again brings the same page, also after a deletion.
    again = t.s3.list(b, max_keys=5, continuation_token=token)
    same(again.keys, n.keys)
    ok(t.s3.delete(b, p.keys[-1]), 204)
    again = t.s3.list(b, max_keys=5, continuation_token=token)
    same(again.keys, n.keys)


@case
def continuation_is_checked(t):
    b = stocked(t, ["a"])
    for token in ("", "bogus!", "%%%", "a" * 5000):
        refused(t.s3.get(b, q=[("list-type", "2"),
                               ("continuation-token", token)]),
                400, "InvalidArgument")


@case
def owner(t):
    b = stocked(t, ["a"])
    me = ok(t.s3.get(None)).text("Owner/ID")
    same(t.s3.list(b).text("Contents/Owner/ID"), None)
    same(t.s3.list(b, fetch_owner="false").text("Contents/Owner/ID"), None)
    same(t.s3.list(b, fetch_owner="true").text("Contents/Owner/ID"), me)
    same(t.s3.list(b, 1).text("Contents/Owner/ID"), me)


@case
def encoding_type(t):
    """With url every name in the answer is encoded, + and % above all."""
    keys = ["a+b/c d", "a+b/%41", "a+b/\x01\x02", "a+b/\r\n", "a+b/\u00e9"]
    b = stocked(t, keys)
    for v in (1, 2):
        p = t.s3.list(b, v, encoding_type="url", prefix="a+b/")
        same(p.text("EncodingType"), "url")
        same(p.keys, sorted(keys, key=lambda k: k.encode()))
        same(p.dec(p.text("Prefix")), "a+b/")
        for raw in p.reply.texts("Contents/Key"):
            assert raw.isascii() and " " not in raw and "\r" not in raw, raw
            assert "a%2Bb" in raw or "a%2bb" in raw, raw
        p = t.s3.list(b, v, encoding_type="url", delimiter="+")
        same((p.prefixes, p.dec(p.text("Delimiter"))), (["a+"], "+"))
        p = t.s3.list(b, v, encoding_type="url", delimiter="/")
        same(p.prefixes, ["a+b/"])
        refused(t.s3.get(b, q=[("list-type", str(v)),
                               ("encoding-type", "rot13")]),
                400, "InvalidArgument")


@case
def white_space_in_plain_xml(t):
    """Without encoding-type, line ends and markup survive an XML reader."""
    keys = ["cr\rx", "lf\nx", "crlf\r\nx", "tab\tx", " lead", "trail ",
            "]]>", "<!--", "&amp;"]
    b = stocked(t, keys)
    for v in (1, 2):
        same(t.s3.list(b, v).keys, sorted(keys))


@case
def missing_bucket(t):
    no = t.name("no")
    refused(t.s3.get(no), 404, "NoSuchBucket")
    refused(t.s3.get(no, q=[("list-type", "2")]), 404, "NoSuchBucket")


@case
def empty_bucket(t):
    b = t.bucket("empty")
    for v in (1, 2):
        p = t.s3.list(b, v, delimiter="/")
        same((p.keys, p.prefixes, p.truncated), ([], [], False))


@case
def deleted_folders_are_gone(t):
    """A common prefix lives as long as a key under it, not longer."""
    b = stocked(t, ["x/y/z/1", "x/y/2"])
    ok(t.s3.delete(b, "x/y/z/1"), 204)
    same(t.s3.list(b, delimiter="/", prefix="x/y/").prefixes, [])
    same(t.s3.list(b, delimiter="/").prefixes, ["x/"])
    ok(t.s3.delete(b, "x/y/2"), 204)
    p = t.s3.list(b, delimiter="/")
    same((p.keys, p.prefixes), ([], []))
    ok(t.s3.delete(b), 204)


@case
def listing_by_boto3(t):
    b, c = stocked(t), t.boto()
    want = sorted(KEYS, key=lambda k: k.encode())
    for op in ("list_objects", "list_objects_v2"):
        for size in (1, 4, 1000):
            got = []
            for p in c.get_paginator(op).paginate(
                    Bucket=b, PaginationConfig={"PageSize": size}):
                got += [o["Key"] for o in p.get("Contents", ())]
            same(got, want, (op, size))


main(Server(), ceph={
    "max_keys": "no 400 for odd numbers",
    "thousand_at_most": "more than 1000 are sent when asked for",
    "start_after": "StartAfter is not encoded",
    "next_marker_needs_a_delimiter": "always sent",
    "continuation_is_checked": "any token is taken for a key",
    "encoding_type": "some names are not encoded",
})
