# SPDX-License-Identifier: Apache-2.0
"""Gateway and mount under the tool in S3RDMAFS_TEST_WRAP: the common paths
once each, because a tool such as valgrind makes each fifty times slower."""
import os

import harness as h


def read_all(m, want):
    for d, _, files in os.walk(m.path):
        for f in files:
            path = os.path.join(d, f)
            with open(path, "rb") as x:
                assert x.read() == want[os.path.relpath(path, m.path)], path
            os.listxattr(path)


def main():
    h.need_fuse()
    gw = h.Gateway(faults=["get:status=503:nth=3", "get:late=50:nth=5",
                           "get:refuse-token:nth=7"]).start()
    c = gw.client(read_timeout=300)
    c.create_bucket(Bucket="books")
    want = {}
    for i, size in enumerate((0, 1, 4097, 200 << 10, 9 << 20)):
        key = "dir%d/file" % i
        want[key] = h.pattern(i, 0, size)
        c.put_object(Bucket="books", Key=key, Body=want[key])
    up = c.create_multipart_upload(Bucket="books", Key="mp")["UploadId"]
    part = c.upload_part(Bucket="books", Key="mp", UploadId=up, PartNumber=1,
                         Body=b"x" * 10)
    c.complete_multipart_upload(
        Bucket="books", Key="mp", UploadId=up, MultipartUpload={
            "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    want["mp"] = b"x" * 10
    for mode in ("shm", "http"):
        m = h.Mount("s3://books", gw.url, opts={
            "transport": mode, "cache_size": "32MiB",
            "request.connect_timeout": "60s"}).start()
        read_all(m, want)
        assert not os.path.exists(m.file("none"))
        m.stats()
        m.ctl("drop")
        m.unmount()
    c.delete_objects(Bucket="books", Delete={"Objects": [{"Key": "mp"}]})
    gw.stop()


main()
