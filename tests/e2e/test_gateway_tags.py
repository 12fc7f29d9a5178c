#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: the tags of objects, by ?tagging and by x-amz-tagging."""
import threading
import time
import urllib.parse

from s3client import (Client, Server, case, each, etag, in_threads, main,
                      mp_etag, ok, refused, same, xml_text)

MIB = 1 << 20
DATA = bytes(range(250)) * 4
TAGGING = [("tagging", None)]
WIDE = "\U0001f600"


def tagging_xml(tags):
    return ("<Tagging><TagSet>" + "".join(
        "<Tag><Key>%s</Key><Value>%s</Value></Tag>" % (
            xml_text(k), xml_text(v)) for k, v in tags)
        + "</TagSet></Tagging>").encode()


def form(tags):
    return urllib.parse.urlencode(tags)


def put_xml(t, b, key, body):
    return t.s3.call("PUT", b, key, TAGGING, body=body)


def put_tags(t, b, key, tags):
    return put_xml(t, b, key, tagging_xml(tags))


def delete_tags(t, b, key):
    return t.s3.call("DELETE", b, key, TAGGING)


def get_tags(c, b, key):
    r = ok(c.call("GET", b, key, TAGGING))
    same(r.xml().tag, "Tagging")
    return list(zip(r.texts("TagSet/Tag/Key"), r.texts("TagSet/Tag/Value")))


def tagged(t, b, key, tags):
    """The object has these tags, and its head and body tell how many."""
    same(get_tags(t.s3, b, key), tags)
    count = str(len(tags)) if tags else None
    same(ok(t.s3.head(b, key))["x-amz-tagging-count"], count, "HEAD")
    same(ok(t.s3.get(b, key))["x-amz-tagging-count"], count, "GET")


def marks(r):
    return r["etag"], r["last-modified"], r["x-amz-meta-color"]


# --- ?tagging ----------------------------------------------------------------

@case
def life(t):
    b = t.bucket("life")
    tags = [("b", "1"), ("a", ""), ("c d", "+-=._:/@ "), ("\u00e9", WIDE)]
    for key in ("k", "odd//key", "dir/k"):
        t.s3.store(b, key, DATA, x_amz_meta_color="red")
        tagged(t, b, key, [])
        r = ok(put_tags(t, b, key, tags))
        same(r.body, b"")
        tagged(t, b, key, tags)
        ok(put_tags(t, b, key, [("new", "1")]))
        tagged(t, b, key, [("new", "1")])
        same(ok(delete_tags(t, b, key), 204).body, b"")
        tagged(t, b, key, [])
        ok(delete_tags(t, b, key), 204)
        ok(put_tags(t, b, key, tags))
        ok(put_tags(t, b, key, []))
        tagged(t, b, key, [])
        same(t.s3.get(b, key).body, DATA)


@case
def nothing_else_changes(t):
    b = t.bucket("else")
    t.s3.store(b, "k", DATA, x_amz_meta_color="red")
    was = marks(t.s3.head(b, "k"))
    listed = t.s3.list(b).text("Contents/LastModified")
    time.sleep(1.1)  # the header has whole seconds
    for change in (lambda: put_tags(t, b, "k", [("a", "b")]),
                   lambda: delete_tags(t, b, "k")):
        ok(change(), 200, 204)
        same(marks(t.s3.head(b, "k")), was)
        same(marks(t.s3.get(b, "k")), was)
        same(t.s3.list(b).text("Contents/LastModified"), listed)
        same(t.s3.list(b).text("Contents/ETag"), was[0])


@case
def the_next_object_has_none(t):
    b = t.bucket("next")

    def tagged_one():
        t.s3.store(b, "k", DATA)
        ok(put_tags(t, b, "k", [("a", "b")]))

    tagged_one()
    t.s3.store(b, "k", DATA)
    tagged(t, b, "k", [])
    tagged_one()
    ok(t.s3.delete(b, "k"), 204)
    t.s3.store(b, "k", DATA)
    tagged(t, b, "k", [])
    tagged_one()
    t.s3.multipart(b, "k", [DATA])
    tagged(t, b, "k", [])


@case
def missing(t):
    b, no = t.bucket("none"), t.name("no")
    for m, body in (("GET", b""), ("PUT", tagging_xml([("a", "b")])),
                    ("DELETE", b"")):
        refused(t.s3.call(m, b, "k", TAGGING, body=body), 404, "NoSuchKey")
        refused(t.s3.call(m, no, "k", TAGGING, body=body), 404,
                "NoSuchBucket")
    same(t.s3.list(b).keys, [])


@case
def not_the_plain_request(t):
    """?tagging beside another sub-resource or with another method is never
    the object's own request."""
    b = t.bucket("plain")
    t.s3.store(b, "k", DATA)
    same(t.s3.call("HEAD", b, "k", TAGGING).status, 501)
    each([("POST", "k", []), ("PUT", "k", [("acl", None)]),
          ("PUT", "k", [("versionId", "1")]), ("GET", None, []),
          ("PUT", None, []), ("DELETE", None, [])],
         lambda m, k, q: refused(t.s3.call(m, b, k, TAGGING + q), 501,
                                 "NotImplemented"))
    h = [("x-amz-copy-source", b + "/k")]
    refused(t.s3.call("PUT", b, "new", TAGGING, h, tagging_xml([])), 404,
            "NoSuchKey")
    same(ok(t.s3.get(b, "k")).body, DATA)
    same(t.s3.list(b).keys, ["k"])


# --- limits ------------------------------------------------------------------

BAD = [([("k" * 129, "v")], "InvalidTag"),
       ([("\u00e9" * 129, "v")], "InvalidTag"),
       ([("k" * 5000, "v")], "InvalidTag"),
       ([("k", "v" * 257)], "InvalidTag"), ([("k", WIDE * 257)], "InvalidTag"),
       ([("k", "v" * 5000)], "InvalidTag"),
       ([("aws:k", "v")], "InvalidTag"), ([("Aws:k", "v")], "InvalidTag"),
       ([("a&b", "v")], "InvalidTag"), ([("k", "a<b")], "InvalidTag"),
       ([("k", "a\tb")], "InvalidTag"), ([("k\n", "v")], "InvalidTag"),
       ([("k", "\x7f")], "InvalidTag"),
       ([("k%d" % i, "v") for i in range(11)], "BadRequest"),
       ([("k%d" % i, "v") for i in range(1000)], "BadRequest")]
GOOD = [[("k" * 128, "v" * 256)], [("\u00e9" * 128, "\u00fc" * 256)],
        [(WIDE * 128, WIDE * 256)], [("k%d" % i, "v") for i in range(10)],
        [("k", ""), ("K", ""), ("k ", "")], [("aws", "aws:")]]


@case
def limits(t):
    b = t.bucket("lim")
    t.s3.store(b, "k", DATA)
    for tags in GOOD:
        ok(put_tags(t, b, "k", tags))
        tagged(t, b, "k", tags)
        t.s3.store(b, "new", DATA, x_amz_tagging=form(tags))
        tagged(t, b, "new", tags)
    ok(t.s3.delete(b, "new"), 204)
    ok(put_tags(t, b, "k", [("stays", "1")]))

    def check(tags, code):
        refused(put_tags(t, b, "k", tags), 400, code)
        refused(t.s3.put(b, "new", DATA, x_amz_tagging=form(tags)), 400, code)

    each(BAD, check)
    for tags in ([("k", "1"), ("k", "2")], [("", "v")]):
        refused(put_tags(t, b, "k", tags), 400, "InvalidTag")
        refused(t.s3.put(b, "new", DATA, x_amz_tagging=form(tags)), 400,
                "InvalidArgument")
    tagged(t, b, "k", [("stays", "1")])
    same(t.s3.list(b).keys, ["k"])


@case
def as_much_as_the_file_system_takes(t):
    """Where attributes have 4 KiB, the largest set is refused in one piece."""
    b = t.bucket("much")
    t.s3.store(b, "k", DATA)
    ok(put_tags(t, b, "k", [("stays", "1")]))
    for c in ("x", WIDE):
        most = [(c * 127 + str(i), c * 256) for i in range(10)]
        r = put_tags(t, b, "k", most)
        if r.status == 200:
            tagged(t, b, "k", most)
            ok(put_tags(t, b, "k", [("stays", "1")]))
        else:
            refused(r, 400, "MetadataTooLarge")
        tagged(t, b, "k", [("stays", "1")])
    same(ok(t.s3.get(b, "k")).body, DATA)


@case
def documents(t):
    """A document that says anything but tags changes nothing."""
    b = t.bucket("doc")
    t.s3.store(b, "k", DATA)
    ok(put_tags(t, b, "k", [("stays", "1")]))
    one = b"<Tag><Key>a</Key><Value>b</Value></Tag>"
    whole = b"<Tagging><TagSet>%s</TagSet></Tagging>"

    def check(doc):
        refused(put_xml(t, b, "k", doc), 400, "MalformedXML")

    each([b"", b"no xml", b"<Tagging>", b"<Tagging/>", b"<Other/>",
          b"<TagSet>" + one + b"</TagSet>", b"<Tagging>" + one + b"</Tagging>",
          whole % one + b"x", whole % b"<Tag/>", whole % b"<Key>a</Key>",
          whole % b"<Tag><Key>a</Key></Tag>",
          whole % b"<Tag><Value>a</Value></Tag>",
          whole % (b"<Tag><Key>a</Key></Tag>" + one),
          whole % b"<Tag><Key>a</Key><Key>b</Key><Value>c</Value></Tag>",
          whole % b"<Tag><Key>a</Key><Value>b</Value><X/></Tag>",
          whole % b"<Tag><Key><x>a</x></Key><Value>b</Value></Tag>",
          whole % (one + b"<Other/>"),
          b"<Tagging><TagSet/><TagSet/></Tagging>",
          b"<Tagging><TagSet/><Other/></Tagging>"], check)
    tagged(t, b, "k", [("stays", "1")])
    odd = (b"<?xml version='1.0'?><!-- c --><Tagging xmlns='http://s3.amazon"
           b"aws.com/doc/2006-03-01/'>\n <TagSet> <Tag>\n<Value>b<!-- x -->c"
           b"</Value><Key><![CDATA[a ]]>&#xe9;</Key></Tag></TagSet></Tagging>")
    ok(put_xml(t, b, "k", odd))
    tagged(t, b, "k", [("a \u00e9", "bc")])


@case
def body_is_checked(t):
    b = t.bucket("body")
    t.s3.store(b, "k", DATA)
    doc = tagging_xml([("a", "b")])
    refused(t.s3.call("PUT", b, "k", TAGGING,
                      [("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")], doc),
            400, "BadDigest")
    refused(t.s3.call("PUT", b, "k", TAGGING, body=doc, payload="0" * 64),
            400, "XAmzContentSHA256Mismatch")
    tagged(t, b, "k", [])


# --- x-amz-tagging -----------------------------------------------------------

@case
def with_the_object(t):
    b = t.bucket("with")
    for header, tags in (("", []), ("&", []), ("a", [("a", "")]),
                         ("a=1&b=", [("a", "1"), ("b", "")]),
                         ("a+b=c%20d%2B", [("a b", "c d+")])):
        t.s3.store(b, "k", DATA, x_amz_tagging=header)
        tagged(t, b, "k", tags)
    t.s3.store(b, "old", DATA)

    def check(header):
        for key in ("old", "new"):
            refused(t.s3.put(b, key, b"x", x_amz_tagging=header), 400,
                    "InvalidArgument")
        refused(t.s3.call("POST", b, "new", [("uploads", None)],
                          [("x-amz-tagging", header)]), 400,
                "InvalidArgument")

    each(["=", "=v", "a=b=c", "a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%00",
          "a=%FF", "%C3=a"], check)
    same(ok(t.s3.get(b, "old")).body, DATA)
    same(t.s3.list(b).keys, ["k", "old"])
    same(t.s3.get(b, q=[("uploads", None)]).texts("Upload"), [])


@case
def with_a_presigned_url(t):
    """A signer may put the header into the query; AWS takes it there."""
    b = t.bucket("pre")
    url = t.s3.presign("PUT", b, "k", q=[("x-amz-tagging", "a=b%2B&c=d+e")])
    ok(t.s3.send_presigned("PUT", url, body=DATA))
    tagged(t, b, "k", [("a", "b+"), ("c", "d e")])
    other = url.replace("c%3Dd", "c%3Dx")
    assert other != url, url
    refused(t.s3.send_presigned("PUT", other, body=DATA), 403,
            "SignatureDoesNotMatch")


@case
def of_an_upload(t):
    b = t.bucket("mp")
    parts = [b"a" * (5 * MIB), b"b"]
    t.s3.multipart(b, "k", parts, x_amz_tagging="b=1&a=%C3%A9",
                   x_amz_meta_color="red")
    tagged(t, b, "k", [("b", "1"), ("a", "\u00e9")])
    r = t.s3.head(b, "k")
    same((r["etag"], r["x-amz-meta-color"]), (mp_etag(parts), "red"))
    up = t.s3.start_upload(b, "k2", x_amz_tagging="a=b")
    same(len(t.s3.get(b, q=[("uploads", None)]).texts("Upload/UploadId")), 1)
    ok(t.s3.abort(b, "k2", up), 204)


@case
def of_a_copy(t):
    b = t.bucket("cp")
    t.s3.store(b, "a", DATA, x_amz_tagging="a=1&b=2", x_amz_meta_color="red")
    both = [("a", "1"), ("b", "2")]

    def copy(key, **h):
        return t.s3.put(b, key, x_amz_copy_source=b + "/a", **h)

    for h, tags, color in (
            ({}, both, "red"),
            ({"x_amz_tagging": "n=1"}, both, "red"),
            ({"x_amz_tagging_directive": "COPY"}, both, "red"),
            ({"x_amz_tagging_directive": "COPY", "x_amz_tagging": "n=1"},
             both, "red"),
            ({"x_amz_tagging_directive": "REPLACE", "x_amz_tagging": "n=1"},
             [("n", "1")], "red"),
            ({"x_amz_tagging_directive": "REPLACE"}, [], "red"),
            ({"x_amz_metadata_directive": "REPLACE"}, both, None)):
        ok(copy("k", **h))
        tagged(t, b, "k", tags)
        same(t.s3.head(b, "k")["x-amz-meta-color"], color)
    tagged(t, b, "a", both)
    refused(copy("x", x_amz_tagging_directive="MAYBE"), 400,
            "InvalidArgument")
    for header, code in (("a=1&a=2", "InvalidArgument"),
                         ("a=<", "InvalidTag")):
        refused(copy("x", x_amz_tagging_directive="REPLACE",
                     x_amz_tagging=header), 400, code)
    same(t.s3.list(b).keys, ["a", "k"])
    ok(copy("a", x_amz_metadata_directive="REPLACE"))
    tagged(t, b, "a", both)


# --- many at once ------------------------------------------------------------

@case
def whole_sets_only(t):
    """Readers see one set or the other; an object that came between does not
    get the tags of the one before."""
    b, stop = t.bucket("race"), threading.Event()
    sets = [[("%s%d" % (c, i), c * 50) for i in range(5)] for c in "ab"]
    fresh = [("fresh", "1")]
    t.s3.store(b, "k", DATA, x_amz_tagging=form(fresh))

    def client():
        return Client(t.host, t.port, t.ak, t.sk)

    def tag(tags):
        c = client()
        while not stop.is_set():
            ok(c.call("PUT", b, "k", TAGGING, body=tagging_xml(tags)))

    def replace():
        c = client()
        while not stop.is_set():
            c.store(b, "k", DATA, x_amz_tagging=form(fresh))
            time.sleep(0.002)

    def look():
        c = client()
        try:
            for _ in range(300):
                got = get_tags(c, b, "k")
                assert got == fresh or got in sets, got
                r = ok(c.get(b, "k"))
                same((r.body, r["etag"]), (DATA, etag(DATA)))
        finally:
            stop.set()

    in_threads([lambda: tag(sets[0]), lambda: tag(sets[1]), replace, look])
    t.s3.store(b, "k", DATA)
    tagged(t, b, "k", [])


@case
def after_a_restart(t):
    t.must_be_ours()
    b = t.bucket("again")
    t.s3.store(b, "k", DATA, x_amz_tagging="a=b")
    t.s3.store(b, "odd//k", DATA)
    ok(put_tags(t, b, "odd//k", [("c", "d")]))
    up = t.s3.start_upload(b, "mp", x_amz_tagging="e=f")
    part = t.s3.put_part(b, "mp", up, 1, DATA)
    was = marks(t.s3.head(b, "odd//k"))
    t.s3.close()
    t.gw.stop()
    t.gw.start()
    ok(t.s3.complete(b, "mp", up, [(1, part)]))
    for key, tag in (("k", ("a", "b")), ("odd//k", ("c", "d")),
                     ("mp", ("e", "f"))):
        tagged(t, b, key, [tag])
    same(marks(t.s3.head(b, "odd//k")), was)


# --- clients -----------------------------------------------------------------

@case
def by_boto3(t):
    b, c = t.bucket("boto"), t.boto()
    at = {"Bucket": b, "Key": "k"}
    tags = [{"Key": "a b", "Value": "1+2"},
            {"Key": "\u00e9", "Value": ""}]
    c.put_object(Body=DATA, Tagging="a=b&c=d%20e", **at)
    same(c.get_object_tagging(**at)["TagSet"],
         [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d e"}])
    same(c.get_object(**at)["TagCount"], 2)
    c.put_object_tagging(Tagging={"TagSet": tags}, **at)
    same(c.get_object_tagging(**at)["TagSet"], tags)
    c.copy_object(CopySource=at, Bucket=b, Key="c", Tagging="x=y",
                  TaggingDirective="REPLACE")
    same(c.get_object_tagging(Bucket=b, Key="c")["TagSet"],
         [{"Key": "x", "Value": "y"}])
    c.delete_object_tagging(**at)
    same(c.get_object_tagging(**at)["TagSet"], [])
    assert "TagCount" not in c.get_object(**at)
    try:
        c.put_object_tagging(Tagging={"TagSet": [tags[0]] * 2}, **at)
        raise AssertionError("took a key twice")
    except c.exceptions.ClientError as e:
        same(e.response["Error"]["Code"], "InvalidTag")


main(Server(), ceph={
    "limits": "other codes",
    "documents": "takes what the schema has not",
    "with_the_object": "takes what is no form",
    "with_a_presigned_url": "headers only",
    "not_the_plain_request": "knows many of them",
})
