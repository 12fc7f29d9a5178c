#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: who may do what - signatures in the header and in the URL.

Every refusal must also have no effect, so most cases end with a look at what
is stored.
"""
import re

from s3client import (EMPTY_SHA, STREAM, UNSIGNED, Server, Signer, amz_date,
                      case, each, etag, http_date, main, ok, refused, same)

DATA = b"the object" * 100


def stocked(t):
    b = t.bucket("auth")
    t.s3.store(b, "k", DATA)
    return b


def every_kind(b):
    """One request of each kind, as arguments of Client.call."""
    up = [("uploads", None)]
    return [("GET",), ("PUT", b + "-new"), ("HEAD", b), ("GET", b),
            ("GET", b, None, [("list-type", "2")]), ("GET", b, None, up),
            ("DELETE", b), ("GET", b, "k"), ("HEAD", b, "k"),
            ("PUT", b, "k", (), (), b"new"), ("DELETE", b, "k"),
            ("POST", b, "k", up), ("PUT", b, "c", (),
                                   [("x-amz-copy-source", b + "/k")]),
            ("POST", b, None, [("delete", None)], (), b"<Delete/>")]


def unchanged(t, b):
    same(t.s3.list(b).keys, ["k"])
    same(ok(t.s3.get(b, "k")).body, DATA)
    same(t.s3.head(b + "-new").status, 404)


def refuse_all(t, b, client, status, code, **sign):
    for args in every_kind(b):
        r = client.call(*args, **sign)
        if args[0] == "HEAD":
            same((r.status, r.body), (status, b""), args)
        else:
            refused(r, status, code)
    unchanged(t, b)


@case
def wrong_key_id(t):
    b = stocked(t)
    refuse_all(t, b, t.s3.other(ak="NOSUCHKEY"), 403, "InvalidAccessKeyId")
    for ak in (t.ak + "x", t.ak[:-1], t.ak.upper()):
        refused(t.s3.other(ak=ak).get(b, "k"), 403, "InvalidAccessKeyId")
    r = t.s3.other(ak="x" * 2000).get(b, "k")
    refused(r, r.status, "InvalidAccessKeyId", "AuthorizationHeaderMalformed")


@case
def wrong_secret(t):
    b = stocked(t)
    refuse_all(t, b, t.s3.other(sk="wrong"), 403, "SignatureDoesNotMatch")
    for sk in (t.sk + "x", t.sk[:-1], t.sk.upper()):
        refused(t.s3.other(sk=sk).get(b, "k"), 403, "SignatureDoesNotMatch")


@case
def anonymous(t):
    b = stocked(t)
    for args in every_kind(b):
        r = t.s3.anonymous(*args)
        if args[0] == "HEAD":
            same((r.status, r.body), (403, b""), args)
        else:
            refused(r, 403, "AccessDenied")
    unchanged(t, b)


@case
def clock_skew(t):
    b = stocked(t)
    for when in (-3600, 3600, -20 * 60, 20 * 60, -10 * 365 * 86400):
        refuse_all(t, b, t.s3, 403, "RequestTimeTooSkewed", when=when)
    for when in (-10 * 60, 10 * 60):
        ok(t.s3.call("GET", b, "k", when=when))


@case
def dates_that_are_none(t):
    b = stocked(t)
    for date in ("20200101", "x", "", "20209999T999999Z", amz_date()[:-1],
                 amz_date() + "Z", "99999999999999Z"):
        r = t.s3.call("GET", b, "k", date=date)
        assert r.status in (400, 403), (date, r)
        refused(r, r.status, "AccessDenied", "RequestTimeTooSkewed",
                "AuthorizationHeaderMalformed", "InvalidRequest",
                "SignatureDoesNotMatch")


@case
def wrong_scope(t):
    b = stocked(t)
    each([{"region": "eu-west-9"}, {"service": "ec2"}, {"region": ""}],
         lambda a: refused(t.s3.call("GET", b, "k", **a), 400,
                           "AuthorizationHeaderMalformed"))
    unchanged(t, b)


def with_header(t, b, change, key="k"):
    """GET with the Authorization header changed as told."""
    h, _ = t.s3.signed("GET", "/%s/%s" % (b, key), [], [], EMPTY_SHA)
    h = [(k, change(v) if k == "Authorization" else v) for k, v in h]
    return t.s3.send("GET", "/%s/%s" % (b, key), h)


@case
def malformed_authorization(t):
    b = stocked(t)
    ok(with_header(t, b, lambda v: v))
    ok(with_header(t, b, lambda v: v.replace(", ", ",")))
    for change in (
            lambda v: "AWS4-HMAC-SHA256",
            lambda v: "AWS4-HMAC-SHA256 x=y",
            lambda v: "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,"
                      "Signature=",
            lambda v: v.replace("Credential=", "Cred="),
            lambda v: v.replace("SignedHeaders=", "Headers="),
            lambda v: v.replace("Signature=", "Sig="),
            lambda v: v.replace("aws4_request", "aws5_request"),
            lambda v: v.replace("/us-east-1/", "/"),
            lambda v: re.sub(r"/2\d{7}/", "/19990101/", v),
            lambda v: re.sub(r"/2\d{7}/", "//", v),
            lambda v: v[:-1], lambda v: v + "0",
            lambda v: v.replace("Credential=", "Credential=" + "a" * 3000),
            lambda v: v.split(", SignedHeaders")[0]):
        r = with_header(t, b, change)
        assert r.status in (400, 403), r
        refused(r, r.status, "AuthorizationHeaderMalformed", "AccessDenied",
                "SignatureDoesNotMatch", "InvalidAccessKeyId",
                "IncompleteSignature", "InvalidArgument")


@case
def other_schemes(t):
    b = stocked(t)
    for v in ("AWS %s:c2lnbmF0dXJl" % t.ak, "Basic dGVzdDp0ZXN0", "Bearer x",
              "AWS4-HMAC-SHA1 Credential=x", "x", " "):
        r = with_header(t, b, lambda _, v=v: v)
        assert r.status in (400, 403), (v, r)
        refused(r, r.status, "InvalidRequest", "AccessDenied",
                "InvalidArgument", "AuthorizationHeaderMalformed",
                "SignatureDoesNotMatch", "InvalidAccessKeyId")


@case
def signature_covers_everything(t):
    """Changed after signing: method, path, query, a header, the host."""
    b = stocked(t)
    t.s3.store(b, "other", b"x")
    path = "/%s/k" % b
    h, _ = t.s3.signed("GET", path, [], [("x-amz-meta-x", "1")], EMPTY_SHA)
    ok(t.s3.send("GET", path, h))
    h2 = [(k, "2" if k == "x-amz-meta-x" else v) for k, v in h]
    h3 = [(k, "evil:1" if k == "Host" else v) for k, v in h]
    h4 = [(k, amz_date(-60) if k == "x-amz-date" else v) for k, v in h]
    h5 = [(k, UNSIGNED if k == "x-amz-content-sha256" else v) for k, v in h]
    for m, target, hh in (
            ("DELETE", path, h), ("GET", "/%s/other" % b, h),
            ("GET", path + "?partNumber=1", h), ("GET", path, h2),
            ("GET", path, h3), ("GET", path, h4), ("GET", path, h5)):
        refused(t.s3.send(m, target, hh), 403, "SignatureDoesNotMatch")
    ok(t.s3.delete(b, "other"), 204)
    unchanged(t, b)


@case
def headers_must_be_signed(t):
    """x-amz-* headers that came after the signing are somebody else's."""
    b = stocked(t)
    r = t.s3.call("PUT", b, "k", h={"x-amz-copy-source": b + "/x"},
                  unsigned=("x-amz-copy-source",))
    refused(r, 403, "AccessDenied")
    r = t.s3.call("PUT", b, "new", h={"x-amz-meta-a": "b"}, body=b"x",
                  unsigned=("x-amz-meta-a",))
    refused(r, 403, "AccessDenied")
    r = t.s3.call("GET", b, "k", unsigned=("host",))
    refused(r, 403, "AccessDenied", "SignatureDoesNotMatch")
    unchanged(t, b)


@case
def header_values_are_trimmed(t):
    """Spaces around a value and runs of them inside do not count."""
    b = stocked(t)
    ok(t.s3.call("GET", b, "k", h={"x-amz-meta-a": "  a   b  "}))
    ok(t.s3.call("GET", b, "k", h={"X-Amz-Meta-EMPTY": ""}))


@case
def query_is_canonical(t):
    """Order, empty values, repeated names, and what needs encoding."""
    b = stocked(t)
    for q in ([("z", "1"), ("a", "2")], [("a", "2"), ("A", "1")],
              [("p", ""), ("q", None)], [("x", "b"), ("x", "a")],
              [("s p", "a b+c&d=e/f?g%h~\u00e9")], [("a-b", "1"), ("a", "2")],
              [("a", "="), ("b", "==")]):
        same(ok(t.s3.get(b, "k", q)).body, DATA, q)


@case
def query_as_sent(t):
    """The same query in other spellings: lower-case hex, + for a space is
    not a space, and needless encoding."""
    b = stocked(t)
    t.s3.store(b, "p/x", b"x")
    h, _ = t.s3.signed("GET", "/" + b, [("prefix", "p/")], [], EMPTY_SHA)
    for target in ("?prefix=p%2F", "?prefix=p%2f", "?prefix=p/",
                   "?prefix=%70/", "?%70refix=p/"):
        r = ok(t.s3.send("GET", "/" + b + target, h))
        same(r.texts("Contents/Key"), ["p/x"], target)
    ok(t.s3.delete(b, "p/x"), 204)


@case
def key_in_other_spellings(t):
    """A path percent-encoded otherwise than SigV4 says is still the key."""
    b = stocked(t)
    t.s3.store(b, "a b(1)", b"x")
    h, _ = t.s3.signed("GET", "/%s/a%%20b%%281%%29" % b, [], [], EMPTY_SHA)
    for target in ("/a%20b%281%29", "/a%20b(1)", "/%61%20b(1)"):
        same(ok(t.s3.send("GET", "/" + b + target, h)).body, b"x", target)


@case
def seed_signature_of_chunks(t):
    """A wrong secret is refused before any chunk is looked at."""
    b = stocked(t)
    bad = t.s3.other(sk="wrong")
    refused(bad.put_chunked(b, "k", DATA), 403, "SignatureDoesNotMatch")
    # A header that promises chunks for a body that has none.
    r = t.s3.call("PUT", b, "k", body=b"plain", payload=STREAM,
                  h={"x-amz-decoded-content-length": "5"})
    assert r.status in (400, 403), r
    t.s3.close()
    unchanged(t, b)


# --- presigned ---------------------------------------------------------------

@case
def presigned(t):
    b = stocked(t)
    for m in ("GET", "HEAD"):
        r = ok(t.s3.send_presigned(m, t.s3.presign(m, b, "k")))
        same((r["etag"], r.body), (etag(DATA), DATA if m == "GET" else b""))
    r = ok(t.s3.send_presigned("PUT", t.s3.presign("PUT", b, "new k"),
                               body=b"put"))
    same(ok(t.s3.get(b, "new k")).body, b"put")
    ok(t.s3.send_presigned("DELETE", t.s3.presign("DELETE", b, "new k")), 204)
    u = t.s3.presign("GET", b, "k",
                     q=[("response-content-type", "text/x; a=b")])
    same(ok(t.s3.send_presigned("GET", u))["content-type"], "text/x; a=b")
    u = t.s3.presign("GET", b, "k")
    same(ok(t.s3.send_presigned("GET", u, [("Range", "bytes=1-3")]),
            206).body, DATA[1:4])


@case
def presigned_by_boto3(t):
    import urllib.parse
    b, c = stocked(t), t.boto(signature_version="s3v4")

    def target(op, **args):
        u = urllib.parse.urlsplit(c.generate_presigned_url(
            op, Params=dict(Bucket=b, **args), ExpiresIn=60))
        return u.path + "?" + u.query

    same(ok(t.s3.send_presigned("GET", target("get_object", Key="k"))).body,
         DATA)
    ok(t.s3.send_presigned("PUT", target("put_object", Key="a b+c/\u00e9"),
                           body=b"new"))
    same(ok(t.s3.get(b, "a b+c/\u00e9")).body, b"new")


@case
def presigned_and_time(t):
    b = stocked(t)

    def ask(**args):
        return t.s3.send_presigned("GET", t.s3.presign("GET", b, "k",
                                                       **args))

    refused(ask(when=-120, expires=60), 403, "AccessDenied")
    refused(ask(when=-3600, expires=3540), 403, "AccessDenied")
    refused(ask(when=7200, expires=60), 403, "AccessDenied")
    ok(ask(when=-7200, expires=10000))  # no skew rule, only the expiry
    ok(ask(expires=604800))
    assert ask(when=-2, expires=0).status in (400, 403)
    each([604801, -1, "x", "", "99999999999999999999", "60x", " 60"],
         lambda e: refused(ask(expires=e), 400,
                           "AuthorizationQueryParametersError"))
    expired = t.s3.presign("PUT", b, "k", when=-120, expires=60)
    refused(t.s3.send_presigned("PUT", expired, body=b"x"), 403,
            "AccessDenied")
    unchanged(t, b)


@case
def presigned_tampered(t):
    b = stocked(t)
    u = t.s3.presign("GET", b, "k")
    for bad in (u.replace("X-Amz-Expires=300", "X-Amz-Expires=301"),
                u + "&response-content-type=text/html",
                u.replace("/k?", "/other?"), u[:-1]
                + ("0" if u[-1] != "0" else "1")):
        assert bad != u
        refused(t.s3.send_presigned("GET", bad), 403,
                "SignatureDoesNotMatch")
    refused(t.s3.send_presigned("PUT", u, body=b"x"), 403,
            "SignatureDoesNotMatch")
    refused(t.s3.send_presigned("GET", t.s3.presign("GET", b, "k", sk="x")),
            403, "SignatureDoesNotMatch")
    refused(t.s3.send_presigned("GET", t.s3.presign("GET", b, "k", ak="x")),
            403, "InvalidAccessKeyId")
    unchanged(t, b)


@case
def presigned_incomplete(t):
    b = stocked(t)
    u = t.s3.presign("GET", b, "k")
    path, query = u.split("?")
    for gone in ("Algorithm", "Credential", "Date", "Expires",
                 "SignedHeaders", "Signature"):
        q = "&".join(p for p in query.split("&")
                     if not p.startswith("X-Amz-%s=" % gone))
        r = t.s3.send_presigned("GET", path + "?" + q)
        assert r.status in (400, 403), (gone, r)
        refused(r, r.status, "AuthorizationQueryParametersError",
                "AccessDenied", "InvalidRequest")
    r = t.s3.send_presigned("GET", u.replace("AWS4-HMAC-SHA256",
                                             "AWS4-HMAC-MD5"))
    refused(r, 400, "AuthorizationQueryParametersError", "InvalidRequest")


@case
def both_ways_of_signing(t):
    """AWS takes one mechanism a request."""
    b = stocked(t)
    u = t.s3.presign("GET", b, "k")
    r = t.s3.send_presigned("GET", u, [("Authorization", "AWS4-HMAC-SHA256 "
                                        "Credential=x, SignedHeaders=host, "
                                        "Signature=0")])
    assert r.status in (400, 403), r


@case
def presigned_signed_headers(t):
    """A header that the URL names must come, and with that value."""
    b = stocked(t)
    u = t.s3.presign("PUT", b, "new", h=[("content-type", "text/x")])
    for h in ([], [("Content-Type", "text/y")]):
        refused(t.s3.send_presigned("PUT", u, h, b"x"), 403,
                "SignatureDoesNotMatch", "AccessDenied")
    ok(t.s3.send_presigned("PUT", u, [("Content-Type", "text/x")], b"x"))
    same(t.s3.head(b, "new")["content-type"], "text/x")


@case
def date_header_instead(t):
    """Without x-amz-date the Date header is what was signed."""
    b = stocked(t)
    s = Signer(t.ak, t.sk, amz_date())
    h = [("Host", t.s3.netloc), ("x-amz-content-sha256", EMPTY_SHA),
         ("Date", s.date)]
    sig, names = s.request("GET", "/%s/k" % b, [], h, EMPTY_SHA)
    h.append(("Authorization", "AWS4-HMAC-SHA256 Credential=%s/%s, "
              "SignedHeaders=%s, Signature=%s" % (t.ak, s.scope, names, sig)))
    r = t.s3.send("GET", "/%s/k" % b, h)
    if r.status != 200:  # an honest refusal is enough
        refused(r, 403, "AccessDenied")
    h = [(k, http_date(0) if k == "Date" else v) for k, v in h]
    assert t.s3.send("GET", "/%s/k" % b, h).status == 403


main(Server(), ceph={
    "wrong_scope": "any region is accepted",
    "anonymous": "ListBuckets and new buckets answer otherwise",
    "dates_that_are_none": "takes a date without Z",
    "query_is_canonical": "values of one name are not sorted",
    "presigned_and_time": "takes a URL of the future",
    "presigned_incomplete": "AccessDenied",
})
