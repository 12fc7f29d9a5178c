#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""s3rdma-bench: every row that this machine can measure gives figures that can
be, and the files that it writes are what they shall be.  How fast anything is
is not asked here."""
import json
import os
import shutil
import subprocess

from files import case, finish
from harness import BUILD, DIR, clean_env, need_fuse, run

BENCH = os.path.join(BUILD, "tools/bench/s3rdma-bench")
SMALL = ["--size", "64MiB", "--files", "200", "--rounds", "1"]
# Of these one may be installed here; how they behave is theirs.
OTHERS = ("s3fs.", "rclone.", "mount-s3.", "geesefs.", "goofys.")


def bench(*args):
    r = subprocess.run([BENCH, *args], env=clean_env(), capture_output=True,
                       text=True, timeout=200)
    assert r.returncode == 0, (r.returncode, r.stderr[-2000:])
    return r.stdout


def rows():
    return [line.split()[0] for line in bench("--list").splitlines()]


def every_row():
    mine = [r for r in rows() if not r.startswith(OTHERS)]
    out = os.path.join(DIR, "bench.json")
    text = bench(*SMALL, "--only", ",".join(mine), "--json", out)
    with open(out) as f:
        got = json.load(f)
    assert got["object_bytes"] == 64 << 20 and got["files"] == 200, got
    by_id = {r["id"]: r for r in got["rows"]}
    assert sorted(by_id) == sorted(mine), set(mine) ^ set(by_id)
    for name, r in by_id.items():
        assert r["mib_per_s"] > 0, r
        assert r["name"] in text, name
        if name != "curl.one":
            assert 0 < r["p50_s"] <= r["p99_s"], r
    for name in ("http.seq", "shm.seq", "random256k.d20", "small.http"):
        # What is random comes to the same place twice, now and then.
        least = 0.5 if name.startswith("random") else 0.9
        assert least < by_id[name]["fetched_per_read"] < 1.2, by_id[name]
    assert by_id["warm.seq"]["fetched_per_read"] == 0, by_id["warm.seq"]
    # What waits 20 ms at the server cannot be read faster.
    assert by_id["random256k.d20"]["p50_s"] > 0.018, by_id["random256k.d20"]
    ratios = {r["name"]: r for r in got["ratios"]}
    r = ratios["shm / http"]
    want = by_id["shm.seq"]["mib_per_s"] / by_id["http.seq"]["mib_per_s"]
    assert abs(r["value"] - want) < 0.01 * want, (r, want)
    assert r["met"] == (r["value"] >= r["bar"]), r
    return "%d rows, %d ratios" % (len(mine), len(ratios))


def pictures():
    if not shutil.which("gnuplot"):
        return "left out: gnuplot is not installed"
    out = os.path.join(DIR, "plots")
    bench(*SMALL, "--only", "tmpfs.seq,warm.seq", "--plots", out)
    with open(os.path.join(out, "sequential.svg")) as f:
        svg = f.read()
    assert "<svg" in svg and "warm.seq" in svg, svg[:500]


def scenes():
    return {n for n in os.listdir("/dev/shm") if n.startswith("s3rdma-bench-")}


def nothing_left(before):
    left = scenes() - before
    for name in left:
        shutil.rmtree(os.path.join("/dev/shm", name), ignore_errors=True)
    assert not left, left
    assert b"s3rdma-bench" not in run(["cat", "/proc/mounts"]).stdout


def wrong_usage():
    for args in (["--size", "x"], ["--rounds", "0"], ["--rounds", "99"],
                 ["--files", "3"], ["--size", "1KiB"], ["more"]):
        r = subprocess.run([BENCH, *args], env=clean_env(),
                           capture_output=True, text=True)
        assert r.returncode == 2 and "usage:" in r.stderr, (args, r)


def main():
    need_fuse()
    before = scenes()
    case("wrong usage", wrong_usage)
    case("every row", every_row)
    case("pictures", pictures)
    case("nothing is left", lambda: nothing_left(before))
    finish()


if __name__ == "__main__":
    main()
