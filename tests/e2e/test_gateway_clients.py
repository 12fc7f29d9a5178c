#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The S3 gateway under the clients that people have: awscli, s3cmd and
boto3's transfer manager, from Debian and unchanged."""
import filecmp
import hashlib
import io
import json
import os
import tempfile
import time

import harness
from s3client import Server, case, main, md5, need, ok, same

MIB = 1 << 20
BIG_SIZE = 21 * MIB + 12345
NAMES = {"plain.txt": 10, "empty": 0, "sp ace.bin": 4097, "pl+us%41": 4095,
         "sub/dir/deep": 70000, "sub/quo'te\"": 5, "sub/caf\u00e9": 6,
         "\U0001f600": 7, "sub/&<>": 8, "sub/" + "n" * 200: 9,
         "big": 9 * MIB + 1}


def folder():
    return tempfile.mkdtemp(prefix="work-", dir=harness.DIR)


def write(path, seed, size):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(harness.pattern(seed, 0, size))
    return path


def tree(top=None):
    """A folder with a file for each of NAMES.  They are of a minute ago, for
    S3 has whole seconds, and a file as young as its object looks newer."""
    top = top or folder()
    past = time.time() - 60
    for i, (name, size) in enumerate(NAMES.items()):
        os.utime(write(os.path.join(top, name), i, size), (past, past))
    return top


def same_file(a, b):
    assert filecmp.cmp(a, b, shallow=False), "%s and %s differ" % (a, b)


def same_tree(a, b):
    def names(top):
        return sorted(os.path.relpath(os.path.join(d, f), top)
                      for d, _, fs in os.walk(top) for f in fs)

    same(names(b), names(a))
    for n in names(a):
        same_file(os.path.join(a, n), os.path.join(b, n))


def big_file():
    return write(os.path.join(folder(), "big.bin"), 77, BIG_SIZE)


# --- awscli ------------------------------------------------------------------

def aws(t, *args, check=True, **kw):
    r = harness.run(["aws", "--endpoint-url", t.url] + list(args), t.env(),
                    check, **kw)
    return r.stdout.decode() if check else r


@case
def aws_s3(t):
    need("aws")
    b = "s3://" + t.name("aws")
    aws(t, "s3", "mb", b)
    assert b[5:] in aws(t, "s3", "ls")
    src = write(os.path.join(folder(), "a b.txt"), 1, 1000)
    aws(t, "s3", "cp", src, b + "/x/a b.txt")
    aws(t, "s3", "cp", b + "/x/a b.txt", src + ".back")
    same_file(src, src + ".back")
    assert "PRE x/" in aws(t, "s3", "ls", b)
    assert "1000 a b.txt" in aws(t, "s3", "ls", b + "/x/")
    aws(t, "s3", "mv", b + "/x/a b.txt", b + "/y")
    assert "1000 y" in aws(t, "s3", "ls", "--recursive", b)
    assert "PRE" not in aws(t, "s3", "ls", b)
    aws(t, "s3", "rm", b + "/y")
    same(aws(t, "s3", "ls", b).strip(), "")
    aws(t, "s3", "rb", b)
    assert b[5:] not in aws(t, "s3", "ls")


@case
def aws_multipart(t):
    """cp cuts at 8 MiB; up, down, and by pipe."""
    need("aws")
    b, big = t.bucket("awsmp"), big_file()
    url = "s3://%s/big" % b
    aws(t, "s3", "cp", big, url)
    assert "-3" in t.s3.head(b, "big")["etag"], "not sent in parts"
    aws(t, "s3", "cp", url, big + ".back")
    same_file(big, big + ".back")
    with open(big, "rb") as f:
        aws(t, "s3", "cp", "-", url + ".pipe", stdin=f)
    out = harness.run(["aws", "--endpoint-url", t.url, "s3", "cp",
                       url + ".pipe", "-"], t.env()).stdout
    same(hashlib.md5(out).hexdigest(), md5(open(big, "rb").read()))
    same(t.s3.list(b).keys, ["big", "big.pipe"])


@case
def aws_multipart_copy(t):
    """From one key to another by UploadPartCopy; awscli asks for the tags of
    the source first."""
    need("aws")
    b, big = t.bucket("awscp"), harness.pattern(77, 0, BIG_SIZE)
    t.s3.store(b, "big", big, Content_Type="text/x", x_amz_meta_a="b",
               x_amz_tagging="c=d&e%20f=%C3%A9")
    aws(t, "s3", "cp", "s3://%s/big" % b, "s3://%s/copy" % b)
    r = ok(t.s3.get(b, "copy"))
    same(md5(r.body), md5(big))
    same((r["content-type"], r["x-amz-meta-a"]), ("text/x", "b"))
    same(json.loads(aws(t, "s3api", "get-object-tagging", "--bucket", b,
                        "--key", "copy"))["TagSet"],
         [{"Key": "c", "Value": "d"}, {"Key": "e f", "Value": "\u00e9"}])


@case
def aws_sync(t):
    need("aws")
    b, src, dst = t.bucket("awssync"), tree(), folder()
    url = "s3://%s/pre fix" % b
    aws(t, "s3", "sync", src, url)
    same(t.s3.list(b).keys, sorted(
        ("pre fix/" + n for n in NAMES), key=lambda k: k.encode()))
    aws(t, "s3", "sync", url, dst)
    same_tree(src, dst)
    same(aws(t, "s3", "sync", src, url).strip(), "", "nothing to do")
    os.unlink(os.path.join(src, "empty"))
    write(os.path.join(src, "plain.txt"), 99, 11)
    aws(t, "s3", "sync", "--delete", src, url)
    aws(t, "s3", "sync", "--delete", url, dst)
    same_tree(src, dst)
    aws(t, "s3", "rm", "--recursive", "s3://%s/pre fix/sub" % b)
    same([k for k in t.s3.list(b).keys if "/sub/" in k], [])
    aws(t, "s3", "rb", "--force", "s3://" + b)
    same(t.s3.head(b).status, 404)


@case
def aws_s3api(t):
    need("aws")
    b = t.bucket("awsapi")
    src = write(os.path.join(folder(), "f"), 3, 5000)

    def api(*args):
        out = aws(t, "s3api", *args, "--bucket", b)
        return json.loads(out) if out.strip() else {}

    api("put-object", "--key", "dir/k", "--body", src, "--metadata",
        "color=red,shape=round", "--content-type", "text/x")
    r = api("head-object", "--key", "dir/k")
    same((r["ContentLength"], r["ContentType"], r["Metadata"]),
         (5000, "text/x", {"color": "red", "shape": "round"}))
    r = api("get-object", "--key", "dir/k", "--range", "bytes=10-19",
            src + ".range")
    same(r["ContentRange"], "bytes 10-19/5000")
    with open(src + ".range", "rb") as f:
        same(f.read(), harness.pattern(3, 10, 10))
    for i in range(5):
        t.s3.store(b, "k%d" % i, b"x")
    for op in ("list-objects", "list-objects-v2"):
        r = api(op, "--page-size", "2", "--prefix", "k")
        same([o["Key"] for o in r["Contents"]], ["k%d" % i for i in range(5)])
    r = api("list-objects-v2", "--delimiter", "/")
    same(r["CommonPrefixes"], [{"Prefix": "dir/"}])
    r = api("copy-object", "--key", "c", "--copy-source", b + "/dir/k")
    same(ok(t.s3.get(b, "c")).body, harness.pattern(3, 0, 5000))
    r = api("delete-objects", "--delete",
            json.dumps({"Objects": [{"Key": "k%d" % i} for i in range(5)]}))
    same(len(r["Deleted"]), 5)
    api("delete-object", "--key", "c")
    same(t.s3.list(b).keys, ["dir/k"])
    tags = [{"Key": "a b", "Value": "c"}, {"Key": "d", "Value": ""}]
    api("put-object-tagging", "--key", "dir/k", "--tagging",
        json.dumps({"TagSet": tags}))
    same(api("get-object-tagging", "--key", "dir/k")["TagSet"], tags)
    api("delete-object-tagging", "--key", "dir/k")
    same(api("get-object-tagging", "--key", "dir/k")["TagSet"], [])
    api("put-object", "--key", "t", "--body", src, "--tagging", "a=b+c")
    same(api("get-object-tagging", "--key", "t")["TagSet"],
         [{"Key": "a", "Value": "b c"}])


@case
def aws_errors(t):
    """awscli tells the error's code and message, which must be there."""
    need("aws")
    b = t.bucket("awserr")
    r = aws(t, "s3api", "get-object", "--bucket", b, "--key", "none",
            "/dev/null", check=False)
    same(r.returncode, 254)
    assert b"(NoSuchKey)" in r.stderr, r.stderr
    r = aws(t, "s3", "ls", "s3://" + t.name("no"), check=False)
    assert r.returncode and b"(NoSuchBucket)" in r.stderr, r.stderr
    r = harness.run(["aws", "--endpoint-url", t.url, "s3", "ls"],
                    dict(t.env(), AWS_SECRET_ACCESS_KEY="wrong"), False)
    assert b"(SignatureDoesNotMatch)" in r.stderr, r.stderr


@case
def aws_presign(t):
    need("aws")
    need("curl")
    b = t.bucket("awspre")
    t.s3.store(b, "a b+c", b"by curl")
    url = aws(t, "s3", "presign", "s3://%s/a b+c" % b).strip()
    same(harness.run(["curl", "-sS", "-f", url]).stdout, b"by curl")


# --- s3cmd -------------------------------------------------------------------

class S3cmd:
    """s3cmd with a configuration of its own."""

    def __init__(self, t):
        need("s3cmd")
        self.cfg = os.path.join(folder(), "s3cfg")
        host = "%s:%d" % (t.host, t.port)
        with open(self.cfg, "w") as f:
            f.write("[default]\naccess_key = %s\nsecret_key = %s\n"
                    "host_base = %s\nhost_bucket = %s\nuse_https = False\n"
                    "multipart_chunk_size_mb = 5\n" % (t.ak, t.sk, host, host))

    def __call__(self, *args, check=True):
        r = harness.run(["s3cmd", "-c", self.cfg, "--no-progress"]
                        + list(args), check=check)
        assert b"Traceback" not in r.stderr, r.stderr
        return r.stdout.decode() if check else r


@case
def s3cmd_basics(t):
    s3 = S3cmd(t)
    b = "s3://" + t.name("s3cmd")
    s3("mb", b)
    assert b in s3("ls")
    src = write(os.path.join(folder(), "a b.txt"), 1, 1000)
    s3("put", src, b + "/x/a b.txt")
    s3("get", b + "/x/a b.txt", src + ".back")
    same_file(src, src + ".back")
    assert b + "/x/\n" in s3("ls", b), "the folder is not listed"
    assert b + "/x/a b.txt" in s3("ls", b + "/x/")
    assert "1000" in s3("du", b)
    out = s3("info", b + "/x/a b.txt")
    assert "1000" in out and hashlib.md5(
        open(src, "rb").read()).hexdigest() in out, out
    assert b in s3("info", b)
    s3("cp", b + "/x/a b.txt", b + "/copy+1")
    s3("mv", b + "/x/a b.txt", b + "/moved")
    same(sorted(l.split("  ")[-1].strip() for l in s3(
        "ls", "-r", b).splitlines()), [b + "/copy+1", b + "/moved"])
    for n in ("copy+1", "moved"):
        s3("get", "--force", b + "/" + n, src + ".back")
        same_file(src, src + ".back")
        s3("del", b + "/" + n)
    s3("rb", b)
    assert b not in s3("ls")


@case
def s3cmd_metadata(t):
    s3, b = S3cmd(t), t.bucket("s3meta")
    src = write(os.path.join(folder(), "f"), 1, 10)
    s3("put", "--add-header=x-amz-meta-color:red", "--mime-type=text/x", src,
       "s3://%s/f" % b)
    r = t.s3.head(b, "f")
    same((r["x-amz-meta-color"], r["content-type"]), ("red", "text/x"))


@case
def s3cmd_multipart(t):
    s3, b, big = S3cmd(t), t.bucket("s3mp"), big_file()
    s3("put", big, "s3://%s/big" % b)
    assert "-5" in t.s3.head(b, "big")["etag"], "not sent in parts"
    s3("get", "s3://%s/big" % b, big + ".back")
    same_file(big, big + ".back")
    up = t.s3.start_upload(b, "left")
    assert up in s3("multipart", "s3://" + b)
    s3("abortmp", "s3://%s/left" % b, up)
    assert up not in s3("multipart", "s3://" + b)


@case
def s3cmd_sync(t):
    s3, b, src, dst = S3cmd(t), t.bucket("s3sync"), tree(), folder()
    s3("sync", src + "/", "s3://%s/pre/" % b)
    same(t.s3.list(b).keys, sorted(("pre/" + n for n in NAMES),
                                   key=lambda k: k.encode()))
    s3("sync", "s3://%s/pre/" % b, dst + "/")
    same_tree(src, dst)
    os.unlink(os.path.join(src, "plain.txt"))
    s3("sync", "--delete-removed", src + "/", "s3://%s/pre/" % b)
    assert "pre/plain.txt" not in t.s3.list(b).keys
    s3("del", "-r", "--force", "s3://%s/pre/" % b)
    same(t.s3.list(b).keys, [])


@case
def s3cmd_errors(t):
    s3, b = S3cmd(t), t.bucket("s3err")
    r = s3("get", "s3://%s/none" % b, "/dev/null", check=False)
    assert r.returncode, r
    t.s3.store(b, "k", b"x")
    r = s3("rb", "s3://" + b, check=False)
    assert r.returncode and b"BucketNotEmpty" in r.stderr, r.stderr


# --- boto3 -------------------------------------------------------------------

def transfer(**args):
    from boto3.s3.transfer import TransferConfig
    return TransferConfig(multipart_threshold=5 * MIB,
                          multipart_chunksize=5 * MIB, **args)


@case
def boto3_files(t):
    b, c, big = t.bucket("botof"), t.boto(), big_file()
    c.upload_file(big, b, "big", Config=transfer(),
                  ExtraArgs={"Metadata": {"a": "b"},
                             "ContentType": "text/x"})
    r = c.head_object(Bucket=b, Key="big")
    same((r["ContentLength"], r["Metadata"], r["ContentType"]),
         (BIG_SIZE, {"a": "b"}, "text/x"))
    assert r["ETag"].endswith('-5"'), r["ETag"]
    c.download_file(b, "big", big + ".back", Config=transfer())
    same_file(big, big + ".back")
    c.copy({"Bucket": b, "Key": "big"}, b, "copy", Config=transfer())
    out = io.BytesIO()
    c.download_fileobj(b, "copy", out, Config=transfer(max_concurrency=3))
    same(md5(out.getvalue()), md5(open(big, "rb").read()))


@case
def boto3_tree(t):
    """All the odd names by the resource interface, small and large."""
    b, c, src, dst = t.bucket("botot"), t.boto(), tree(), folder()
    for name in NAMES:
        c.upload_file(os.path.join(src, name), b, name, Config=transfer())
    for o in c.list_objects_v2(Bucket=b)["Contents"]:
        path = os.path.join(dst, o["Key"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        c.download_file(b, o["Key"], path, Config=transfer())
        same(o["Size"], NAMES[o["Key"]])
    same_tree(src, dst)


@case
def boto3_streams(t):
    """A body without end until it ends, and a reader that stops early."""
    b, c = t.bucket("botos"), t.boto()
    data = harness.pattern(5, 0, 12 * MIB)
    c.upload_fileobj(io.BytesIO(data), b, "k", Config=transfer())
    body = c.get_object(Bucket=b, Key="k")["Body"]
    same(md5(body.read(MIB)), md5(data[:MIB]))
    body.close()
    same(md5(c.get_object(Bucket=b, Key="k")["Body"].read()), md5(data))


@case
def boto3_waits(t):
    """Waiters poll with HEAD until the answer is what they wait for."""
    b, c = t.bucket("botow"), t.boto()
    c.put_object(Bucket=b, Key="k", Body=b"x")
    c.get_waiter("bucket_exists").wait(Bucket=b)
    c.get_waiter("object_exists").wait(Bucket=b, Key="k")
    c.delete_object(Bucket=b, Key="k")
    c.get_waiter("object_not_exists").wait(Bucket=b, Key="k")


main(Server(), ceph={"aws_errors": "no Message, on which awscli fails"})
