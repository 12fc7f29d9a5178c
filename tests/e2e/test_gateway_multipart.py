#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway: uploads in parts."""
import harness
from s3client import (CHECKSUMS, STREAM, STREAM_TRAILER, UNSIGNED_TRAILER,
                      Client, Server, case, checksum, complete_xml,
                      content_md5, each, etag, in_threads, main, md5, mp_etag,
                      ok, part_query, refused, same)

MIB = 1 << 20
BIG = [harness.pattern(i, 0, 5 * MIB) for i in range(2)]
TAIL = harness.pattern(9, 0, 12345)


@case
def whole_life(t):
    b = t.bucket("mp")
    parts = BIG + [TAIL]
    up = t.s3.start_upload(b, "dir/k", x_amz_meta_color="red",
                           Content_Type="text/x", Cache_Control="no-store")
    tags = [(n, t.s3.put_part(b, "dir/k", up, n, d))
            for n, d in enumerate(parts, 1)]
    refused(t.s3.get(b, "dir/k"), 404, "NoSuchKey")
    same(t.s3.list(b).keys, [], "nothing before it is complete")
    r = ok(t.s3.complete(b, "dir/k", up, tags))
    same(r.xml().tag, "CompleteMultipartUploadResult")
    same((r.text("Bucket"), r.text("Key")), (b, "dir/k"))
    same(r.text("ETag"), mp_etag(parts))
    assert r.text("Location"), r
    for r in (ok(t.s3.head(b, "dir/k")), ok(t.s3.get(b, "dir/k"))):
        same((r["etag"], r["content-length"]),
             (mp_etag(parts), str(10 * MIB + len(TAIL))))
        same((r["x-amz-meta-color"], r["content-type"], r["cache-control"]),
             ("red", "text/x", "no-store"))
    same(md5(r.body), md5(b"".join(parts)))
    r = ok(t.s3.get(b, "dir/k", Range="bytes=%d-%d" % (
        5 * MIB - 10, 5 * MIB + 9)), 206)
    same(r.body, BIG[0][-10:] + BIG[1][:10], "across two parts")
    p = t.s3.list(b)
    same((p.text("Contents/ETag"), p.text("Contents/Size")),
         (mp_etag(parts), str(10 * MIB + len(TAIL))))
    same(t.s3.get(b, q=[("uploads", None)]).texts("Upload"), [])
    ok(t.s3.delete(b, "dir/k"), 204)
    ok(t.s3.delete(b), 204)


@case
def initiate_answer(t):
    b = t.bucket("mpi")
    r = ok(t.s3.call("POST", b, "a b/c", [("uploads", None)]))
    same(r.xml().tag, "InitiateMultipartUploadResult")
    same((r.text("Bucket"), r.text("Key")), (b, "a b/c"))
    again = t.s3.start_upload(b, "a b/c")
    assert again and again != r.text("UploadId"), "two uploads of a key"
    refused(t.s3.call("POST", t.name("no"), "k", [("uploads", None)]), 404,
            "NoSuchBucket")


@case
def one_small_part(t):
    """The last part may be of any size, and so the only one."""
    b = t.bucket("mps")
    for data in (b"x", b""):
        t.s3.multipart(b, "k", [data])
        r = ok(t.s3.get(b, "k"))
        same((r.body, r["etag"]), (data, mp_etag([data])))


@case
def part_numbers(t):
    """1 to 10000; gaps are well, and the order is that of the numbers."""
    b = t.bucket("mpn")
    up = t.s3.start_upload(b, "k")
    for n in ("0", "10001", "-1", "x", "", "1x", "4294967297", "1.0"):
        refused(t.s3.call("PUT", b, "k", part_query(up, n), body=b"x"), 400,
                "InvalidArgument", "InvalidPartNumber")
    tags = [(10000, t.s3.put_part(b, "k", up, 10000, TAIL)),
            (2, t.s3.put_part(b, "k", up, 2, BIG[1])),
            (1, t.s3.put_part(b, "k", up, 1, BIG[0]))]
    r = ok(t.s3.get(b, "k", [("uploadId", up)]))
    same(r.texts("Part/PartNumber"), ["1", "2", "10000"])
    ok(t.s3.complete(b, "k", up, sorted(tags)))
    same(md5(t.s3.get(b, "k").body), md5(b"".join(BIG) + TAIL))


@case
def part_again(t):
    """A number sent twice is replaced; parts not named are dropped."""
    b = t.bucket("mpr")
    up = t.s3.start_upload(b, "k")
    old = t.s3.put_part(b, "k", up, 1, BIG[1])
    e1 = t.s3.put_part(b, "k", up, 1, BIG[0])
    t.s3.put_part(b, "k", up, 2, BIG[1])
    e3 = t.s3.put_part(b, "k", up, 3, TAIL)
    refused(t.s3.complete(b, "k", up, [(1, old)]), 400, "InvalidPart")
    ok(t.s3.complete(b, "k", up, [(1, e1), (3, e3)]))
    r = ok(t.s3.get(b, "k"))
    same((md5(r.body), r["etag"]),
         (md5(BIG[0] + TAIL), mp_etag([BIG[0], TAIL])))


@case
def complete_refused(t):
    """Each refusal leaves the upload as it was; the last try succeeds."""
    b = t.bucket("mpc")
    up = t.s3.start_upload(b, "k")
    good = [(1, t.s3.put_part(b, "k", up, 1, BIG[0])),
            (2, t.s3.put_part(b, "k", up, 2, TAIL)),
            (3, t.s3.put_part(b, "k", up, 3, BIG[1]))]
    e1, e2, e3 = (e for _, e in good)
    for parts, *codes in (
            ([(1, '"%s"' % md5(b"x"))], "InvalidPart"),
            ([(1, e2)], "InvalidPart"),
            ([(1, e1), (4, e2)], "InvalidPart"),
            ([(1, "")], "InvalidPart", "MalformedXML"),
            ([(3, e3), (1, e1)], "InvalidPartOrder"),
            ([(1, e1), (1, e1)], "InvalidPartOrder", "InvalidPart"),
            ([(1, e1), (2, e2), (3, e3)], "EntityTooSmall")):
        refused(t.s3.complete(b, "k", up, parts), 400, *codes)
    refused(t.s3.get(b, "k"), 404, "NoSuchKey")
    ok(t.s3.complete(b, "k", up, [(1, e1.strip('"')), (3, e3.strip('"'))]))
    same(md5(t.s3.get(b, "k").body), md5(b"".join(BIG)))


@case
def complete_wants_xml(t):
    b = t.bucket("mpx")
    up = t.s3.start_upload(b, "k")
    e = t.s3.put_part(b, "k", up, 1, TAIL)
    good = complete_xml([(1, e)])
    for body in (b"", b"<CompleteMultipartUpload>", b"no xml", b"<Other/>",
                 complete_xml([]), complete_xml([("x", e)]), good[:-5],
                 b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                 b"</Part></CompleteMultipartUpload>"):
        refused(t.s3.call("POST", b, "k", [("uploadId", up)], body=body),
                400, "MalformedXML", "InvalidRequest", "InvalidPart",
                "InvalidArgument")
    xmlns = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + good.replace(
        b"Upload>", b"Upload" + xmlns + b">\n", 1)
    ok(t.s3.call("POST", b, "k", [("uploadId", up)], body=body))
    same(t.s3.get(b, "k").body, TAIL)


@case
def complete_twice(t):
    """AWS says the same again for a while, older servers say it is gone;
    but the object stays."""
    b = t.bucket("mp2")
    up = t.s3.start_upload(b, "k")
    tags = [(1, t.s3.put_part(b, "k", up, 1, TAIL))]
    ok(t.s3.complete(b, "k", up, tags))
    r = t.s3.complete(b, "k", up, tags)
    if r.status != 200:
        refused(r, 404, "NoSuchUpload")
    same(t.s3.get(b, "k").body, TAIL)


@case
def complete_with_condition(t):
    b = t.bucket("mpw")
    e = t.s3.store(b, "k", b"first")
    for h in ({"If-None-Match": "*"}, {"If-Match": '"x"'}):
        up = t.s3.start_upload(b, "k")
        tags = [(1, t.s3.put_part(b, "k", up, 1, TAIL))]
        refused(t.s3.complete(b, "k", up, tags, h), 412,
                "PreconditionFailed")
        same(t.s3.get(b, "k").body, b"first")
    up = t.s3.start_upload(b, "k")
    tags = [(1, t.s3.put_part(b, "k", up, 1, TAIL))]
    ok(t.s3.complete(b, "k", up, tags, {"If-Match": e}))
    up = t.s3.start_upload(b, "new")
    tags = [(1, t.s3.put_part(b, "new", up, 1, TAIL))]
    ok(t.s3.complete(b, "new", up, tags, {"If-None-Match": "*"}))


@case
def no_such_upload(t):
    b = t.bucket("mpu")
    real = t.s3.start_upload(b, "k")
    t.s3.put_part(b, "k", real, 1, TAIL)
    for key, up in (("k", "bogus"), ("k", "../../x"), ("k", "a" * 300),
                    ("other", real), ("k", "."), ("k", "%00"),
                    ("k", "/etc")):
        e = [(1, etag(TAIL))]
        refused(t.s3.call("PUT", b, key, part_query(up, 1), body=b"x"), 404,
                "NoSuchUpload")
        refused(t.s3.get(b, key, [("uploadId", up)]), 404, "NoSuchUpload")
        refused(t.s3.complete(b, key, up, e), 404, "NoSuchUpload")
        refused(t.s3.abort(b, key, up), 404, "NoSuchUpload")
    same(t.s3.list(b).keys, [])
    ok(t.s3.complete(b, "k", real, [(1, etag(TAIL))]))


@case
def abort(t):
    b = t.bucket("mpa")
    t.s3.store(b, "k", b"before")
    up = t.s3.start_upload(b, "k")
    e = t.s3.put_part(b, "k", up, 1, TAIL)
    same(ok(t.s3.abort(b, "k", up), 204).body, b"")
    refused(t.s3.abort(b, "k", up), 404, "NoSuchUpload")
    refused(t.s3.complete(b, "k", up, [(1, e)]), 404, "NoSuchUpload")
    refused(t.s3.call("PUT", b, "k", part_query(up, 2), body=b"x"), 404,
            "NoSuchUpload")
    same(ok(t.s3.get(b, q=[("uploads", None)])).texts("Upload"), [])
    same(t.s3.get(b, "k").body, b"before")
    ok(t.s3.delete(b, "k"), 204)
    ok(t.s3.delete(b), 204)


@case
def list_parts(t):
    b = t.bucket("mpl")
    up = t.s3.start_upload(b, "k")
    datas = [b"%d" % n * n for n in range(1, 13)]
    for n in (12, 1, 10, 2, 9, 3, 11, 4, 5, 6, 7, 8):
        t.s3.put_part(b, "k", up, n, datas[n - 1])
    r = ok(t.s3.get(b, "k", [("uploadId", up)]))
    same(r.xml().tag, "ListPartsResult")
    same((r.text("Bucket"), r.text("Key"), r.text("UploadId")), (b, "k", up))
    same(r.texts("Part/PartNumber"), [str(n) for n in range(1, 13)])
    same(r.texts("Part/ETag"), [etag(d) for d in datas])
    same(r.texts("Part/Size"), [str(len(d)) for d in datas])
    same((r.text("IsTruncated"), r.text("MaxParts")), ("false", "1000"))
    same(r.text("StorageClass"), "STANDARD")
    got, marker = [], "0"
    for i in range(3):
        r = ok(t.s3.get(b, "k", [("uploadId", up), ("max-parts", "5"),
                                 ("part-number-marker", marker)]))
        got += r.texts("Part/PartNumber")
        same(r.text("IsTruncated"), "true" if i < 2 else "false")
        same(r.text("PartNumberMarker"), marker)
        marker = r.text("NextPartNumberMarker")
    same(got, [str(n) for n in range(1, 13)])


@case
def list_uploads(t):
    b = t.bucket("mpq")
    keys = ["a", "a/b", "a/c", "b", "b c+", "c"]
    ups = {k: sorted(t.s3.start_upload(b, k) for _ in range(2))
           for k in keys}

    def ask(**args):
        q = [("uploads", None)] + [(k.replace("_", "-"), v)
                                   for k, v in args.items()]
        return ok(t.s3.get(b, q=q))

    r = ask()
    same(r.xml().tag, "ListMultipartUploadsResult")
    same(r.text("Bucket"), b)
    same(r.texts("Upload/Key"), [k for k in keys for _ in range(2)])
    for k in keys:
        same(sorted(u.findtext("UploadId") for u in r.xml().findall("Upload")
                    if u.findtext("Key") == k), ups[k])
    for d in r.texts("Upload/Initiated"):
        assert d.endswith("Z"), r
    same(r.text("IsTruncated"), "false")
    same(ask(prefix="a/").texts("Upload/Key"), ["a/b"] * 2 + ["a/c"] * 2)
    r = ask(delimiter="/")
    same(r.texts("CommonPrefixes/Prefix"), ["a/"])
    same(sorted(set(r.texts("Upload/Key"))), ["a", "b", "b c+", "c"])


@case
def list_uploads_in_pages(t):
    b = t.bucket("mpp")
    want = set()
    for k in ("a", "b", "c"):
        want |= {(k, t.s3.start_upload(b, k)) for _ in range(3)}
    for size in (1, 2, 4, 9):
        got, key, up = [], "", ""
        while True:
            r = ok(t.s3.get(b, q=[("uploads", None),
                                  ("max-uploads", str(size)),
                                  ("key-marker", key),
                                  ("upload-id-marker", up)]))
            page = list(zip(r.texts("Upload/Key"),
                            r.texts("Upload/UploadId")))
            assert len(page) <= size, r
            got += page
            if r.text("IsTruncated") == "false":
                break
            key, up = r.text("NextKeyMarker"), r.text("NextUploadIdMarker")
        same(len(got), 9, size)
        same(set(got), want, size)
    # Without an upload-id-marker all uploads of the marker's key are done.
    r = ok(t.s3.get(b, q=[("uploads", None), ("key-marker", "a")]))
    same(r.texts("Upload/Key"), ["b"] * 3 + ["c"] * 3)


@case
def parts_are_checked(t):
    b = t.bucket("mpk")
    up = t.s3.start_upload(b, "k")
    q = part_query(up, 1)

    def put(h=(), **kw):
        return t.s3.call("PUT", b, "k", q, h, TAIL, **kw)

    refused(put({"Content-MD5": content_md5(b"x")}), 400, "BadDigest")
    refused(put({"Content-MD5": "x"}), 400, "InvalidDigest")
    refused(put(payload="0" * 64), 400, "XAmzContentSHA256Mismatch")
    refused(put(length=None), 411, "MissingContentLength")
    t.s3.close()
    for name in CHECKSUMS:
        refused(put({"x-amz-checksum-" + name: checksum(name, b"x")}), 400,
                "BadDigest")
    same(ok(t.s3.get(b, "k", [("uploadId", up)])).texts("Part"), [])


@case
def parts_in_chunks(t):
    """aws-chunked parts, as SDKs send them; a wrong one is not there."""
    b = t.bucket("mph")
    up = t.s3.start_upload(b, "k", x_amz_checksum_algorithm="CRC32")
    tr = [("x-amz-checksum-crc32", checksum("crc32", TAIL))]
    for kind in (STREAM, UNSIGNED_TRAILER, STREAM_TRAILER):
        r = ok(t.s3.put_chunked(b, "k", TAIL, kind=kind,
                                trailer=None if kind == STREAM else tr,
                                q=part_query(up, 1)))
        same(r["etag"], etag(TAIL))
    bad = [("x-amz-checksum-crc32", checksum("crc32", b"x"))]
    refused(t.s3.put_chunked(
        b, "k", TAIL, kind=UNSIGNED_TRAILER, trailer=bad,
        h=[("x-amz-sdk-checksum-algorithm", "CRC32")],
        q=part_query(up, 2)), 400, "BadDigest")
    r = ok(t.s3.get(b, "k", [("uploadId", up)]))
    same(r.texts("Part/PartNumber"), ["1"])
    # SDKs name the checksum of a part again when they complete.
    body = complete_xml([(1, etag(TAIL))]).replace(
        b"</Part>", b"<ChecksumCRC32>%s</ChecksumCRC32></Part>"
        % tr[0][1].encode())
    ok(t.s3.call("POST", b, "k", [("uploadId", up)], body=body))
    r = ok(t.s3.get(b, "k"))
    same((r.body, r["etag"]), (TAIL, mp_etag([TAIL])))


@case
def parts_at_once(t):
    """Sixteen threads send parts of one upload, and each twice."""
    b = t.bucket("mpz")
    up = t.s3.start_upload(b, "k")
    datas = [harness.pattern(i, 0, 300000) for i in range(16)]

    def send(i):
        c = Client(t.host, t.port, t.ak, t.sk)
        c.put_part(b, "k", up, i + 1, TAIL)
        return i + 1, c.put_part(b, "k", up, i + 1, datas[i])

    tags = in_threads([lambda i=i: send(i) for i in range(16)])
    r = ok(t.s3.get(b, "k", [("uploadId", up)]))
    same(r.texts("Part/ETag"), [etag(d) for d in datas])
    refused(t.s3.complete(b, "k", up, tags), 400, "EntityTooSmall")
    ok(t.s3.abort(b, "k", up), 204)


@case
def completed_at_once(t):
    """Eight threads complete eight uploads of one key: the object is one of
    them, whole; and none of the uploads stays."""
    b = t.bucket("mpo")
    jobs = []
    for i in range(8):
        datas = [harness.pattern(50 + i, 0, 5 * MIB), b"%d" % i]
        up = t.s3.start_upload(b, "k", x_amz_meta_i=str(i))
        jobs.append((up, [(n, t.s3.put_part(b, "k", up, n, d))
                          for n, d in enumerate(datas, 1)], datas))

    def finish(up, tags):
        return ok(Client(t.host, t.port, t.ak, t.sk).complete(
            b, "k", up, tags))

    in_threads([lambda j=j: finish(*j[:2]) for j in jobs])
    r = ok(t.s3.get(b, "k"))
    datas = jobs[int(r["x-amz-meta-i"])][2]
    same((md5(r.body), r["etag"]), (md5(b"".join(datas)), mp_etag(datas)))
    same(ok(t.s3.get(b, q=[("uploads", None)])).texts("Upload"), [])


@case
def completed_and_aborted_at_once(t):
    """Whichever comes first, the object is whole or not there at all."""
    b = t.bucket("mpb")
    for i in range(10):
        key = "k%d" % i
        up = t.s3.start_upload(b, key)
        tags = [(1, t.s3.put_part(b, key, up, 1, BIG[0])),
                (2, t.s3.put_part(b, key, up, 2, TAIL))]
        c, a = in_threads([
            lambda: Client(t.host, t.port, t.ak, t.sk).complete(
                b, key, up, tags),
            lambda: Client(t.host, t.port, t.ak, t.sk).abort(b, key, up)])
        assert a.status in (204, 404), a
        r = t.s3.get(b, key)
        if c.status != 200:
            refused(c, c.status, "NoSuchUpload", "InvalidPart")
        same(r.status == 200, c.status == 200, "complete said %r" % c)
        if r.status == 200:
            same(r["etag"], mp_etag([BIG[0], TAIL]))
            same(md5(r.body), md5(BIG[0] + TAIL))
        same(ok(t.s3.get(b, q=[("uploads", None)])).texts("Upload"), [])


# --- UploadPartCopy ----------------------------------------------------------

@case
def part_copy(t):
    b = t.bucket("mpy")
    t.s3.store(b, "src 1+", BIG[0] + BIG[1])
    up = t.s3.start_upload(b, "k")
    src = ("x-amz-copy-source", "/%s/src%%201%%2B" % b)
    r = ok(t.s3.call("PUT", b, "k", part_query(up, 1), [
        src, ("x-amz-copy-source-range", "bytes=1-%d" % (5 * MIB))]))
    one = (BIG[0] + BIG[1])[1:5 * MIB + 1]
    same(r.xml().tag, "CopyPartResult")
    same(r.text("ETag"), etag(one))
    assert r.text("LastModified").endswith("Z"), r
    r = ok(t.s3.call("PUT", b, "k", part_query(up, 2), [src]))
    same(r.text("ETag"), etag(BIG[0] + BIG[1]))
    e3 = t.s3.put_part(b, "k", up, 3, TAIL)
    ok(t.s3.complete(b, "k", up, [(1, etag(one)),
                                  (2, etag(BIG[0] + BIG[1])), (3, e3)]))
    parts = [one, BIG[0] + BIG[1], TAIL]
    r = ok(t.s3.get(b, "k"))
    same((md5(r.body), r["etag"]), (md5(b"".join(parts)), mp_etag(parts)))


@case
def part_copy_refused(t):
    b = t.bucket("mpv")
    e = t.s3.store(b, "src", TAIL)
    up = t.s3.start_upload(b, "k")

    def copy(source, q=None, **h):
        h = [("x-amz-copy-source", source)] + [
            ("x-amz-copy-source-" + k.replace("_", "-"), v)
            for k, v in h.items()]
        return t.s3.call("PUT", b, "k", q or part_query(up, 1), h)

    each(["bytes=5-2", "bytes=-5", "bytes=5-", "0-5", "bytes=a-b",
          "bytes=0-1,3-4", "bytes=0-5x"],
         lambda bad: refused(copy(b + "/src", range=bad), 400,
                             "InvalidArgument"))
    r = copy(b + "/src", range="bytes=0-%d" % len(TAIL))
    assert r.status in (400, 416), r
    refused(copy(b + "/none"), 404, "NoSuchKey")
    refused(copy(t.name("no") + "/src"), 404, "NoSuchBucket")
    refused(copy(b + "/src", part_query("bogus", 1)), 404, "NoSuchUpload")
    refused(copy(b + "/src", part_query(up, 10001)), 400, "InvalidArgument")
    refused(copy(b + "/src", if_match='"x"'), 412, "PreconditionFailed")
    refused(copy(b + "/src", if_none_match=e), 412, "PreconditionFailed")
    same(ok(t.s3.get(b, "k", [("uploadId", up)])).texts("Part"), [])
    ok(copy(b + "/src", if_match=e))


@case
def multipart_by_boto3(t):
    b, c = t.bucket("mpt"), t.boto()
    up = c.create_multipart_upload(Bucket=b, Key="k", Metadata={"a": "b"})
    ids = {"Bucket": b, "Key": "k", "UploadId": up["UploadId"]}
    parts = [{"PartNumber": n, "ETag": c.upload_part(
        PartNumber=n, Body=d, **ids)["ETag"]} for n, d in enumerate(BIG, 1)]
    same([p["PartNumber"] for p in c.list_parts(**ids)["Parts"]], [1, 2])
    same(c.list_multipart_uploads(Bucket=b)["Uploads"][0]["Key"], "k")
    r = c.complete_multipart_upload(MultipartUpload={"Parts": parts}, **ids)
    same(r["ETag"], mp_etag(BIG))
    r = c.get_object(Bucket=b, Key="k")
    same((md5(r["Body"].read()), r["Metadata"]),
         (md5(b"".join(BIG)), {"a": "b"}))


main(Server(), ceph={
    "part_numbers": "takes 10001",
    "part_again": "all parts must be named",
    "complete_refused": "InvalidPart for the wrong order",
    "no_such_upload": "NoSuchKey for some",
    "abort": "500 when aborted again",
    "completed_and_aborted_at_once": "500 when aborted",
    "list_uploads": "b after b c+",
    "list_uploads_in_pages": "starts with the marker's key",
    "parts_are_checked": "takes Transfer-Encoding",
    "part_copy_refused": "416",
})
