#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""s3rdmactl status names the device, its port and GID and the transport, and
where RDMA is not used, why."""
import vmlib  # first: it makes the next two be found
from files import MIB, Bucket, check_file
from harness import need_fuse, wait_for
from vmlib import (CLIENT, PROTOCOLS, RECOVERY, case, finish, need_vm,
                   rc_gateway, rc_mount, status, wire_down,
                   wire_up)

SIZE = 3 * MIB + 5


def opened(gw, protocol, **opts):
    m = rc_mount(gw, protocol, ["warning:", "error:"], cache_size="64MiB",
                 metadata__ttl="1s", **opts)
    return m.start()


def why(m):
    return status(m)["rail"]["0"].get("no_rdma", "")


def used(gw, protocol):
    m = opened(gw, protocol)
    check_file(m.file("o"), 1, SIZE)
    s = status(m)
    rail = s["rail"]["0"]
    want = {"transport": "rc", "protocol": protocol, "device": "rxe0",
            "port": 1, "gid": "::ffff:" + CLIENT, "address": CLIENT,
            "mtu": 4096, "bytes": SIZE, "endpoint": gw.url}
    got = {k: rail.get(k) for k in want}
    assert got == want, got
    assert "no_rdma" not in rail, rail
    assert s["transport.in_use"] == "rc", s
    assert s["transport.rdma_percent"] == 100, s
    text = m.ctl("status")
    for line in ("rail.0.device: rxe0", "rail.0.port: 1",
                 "rail.0.gid: ::ffff:" + CLIENT, "transport.in_use: rc"):
        assert line in text, text
    m.unmount()


def not_used(gw, protocol, words, **opts):
    """The bytes come by HTTP, and the reason has these words."""
    m = opened(gw, protocol, **opts)
    check_file(m.file("o"), 1, SIZE)
    s = status(m)
    assert s["transport.rdma_percent"] == 0, s
    said = why(m)
    assert all(w in said for w in words), "says: %s" % (said or s)
    assert said in m.ctl("status")
    m.unmount()
    return said


def declined(gw):
    """Without a connection nothing is known before the first transfer."""
    m = opened(gw, "hipobj-rc-v2")
    check_file(m.file("o"), 1, SIZE)
    wait_for("a reason: %s" % status(m), lambda: why(m))
    assert not m.stats()["bytes"]["rc"], m.stats()["bytes"]
    said = why(m)
    assert "declines" in said, said
    m.unmount()
    return said


def wire(gw):
    """Mounts that stood before it went down, and one made while it is."""
    mounts = [opened(gw, p) for p in PROTOCOLS]
    for m in mounts:
        check_file(m.file("o"), 1, SIZE)
    wire_down()
    try:
        late = opened(gw, PROTOCOLS[0])
        check_file(late.file("o"), 1, SIZE)
        assert not late.stats()["bytes"]["rc"], late.stats()["bytes"]
        mounts.append(late)
        for m in mounts:
            wait_for("the reason: %s" % status(m),
                     lambda: "rxe0" in why(m) and "down" in why(m), RECOVERY)
        said = why(late)
    finally:
        wire_up()
    for m in mounts:
        wait_for("no reason any more", lambda: not why(m), RECOVERY)
        assert status(m)["rail"]["0"]["device"] == "rxe0", status(m)
        m.unmount()
    return said


def refused_for_a_while(gw):
    """The server has forgotten the connection and makes no other at first:
    then it does, and nothing lesser has taken its place."""
    m = opened(gw, "auto")
    check_file(m.file("o"), 1, SIZE)
    gw.stop()
    gw.faults = ["connect:refuse-token:count=3"]
    gw.start()
    m.ctl("drop")
    check_file(m.file("o"), 1, SIZE)
    wait_for("the reason: %s" % status(m), lambda: "501" in why(m), RECOVERY)
    said = why(m)
    wait_for("no reason any more", lambda: not why(m), 20)
    rail = status(m)["rail"]["0"]
    assert rail["protocol"] == "persistent", rail
    m.ctl("drop")
    check_file(m.file("o"), 1, SIZE)
    assert status(m)["rail"]["0"]["bytes"] == rail["bytes"] + SIZE, status(m)
    m.unmount()
    return said


def main():
    need_fuse()
    need_vm()
    gw = rc_gateway().start()
    gw.allow.append("warning:")
    Bucket(gw, "bkt", create=False).fill("o", 1, SIZE)
    for protocol in PROTOCOLS:
        case(protocol + " is used", used, gw, protocol)
        case(protocol + ", a device that is not there", not_used, gw, protocol,
             ("mlx9_9",), transport__devices="mlx9_9")
    case("the wire is down", wire, gw)
    case("a connection refused for a while", refused_for_a_while, gw)
    case("the gateway ends well", gw.stop)
    off = rc_gateway(rdma="off", root=gw.root).start()
    case("a gateway without rdma", not_used, off, "persistent",
         ("RC connection", "501"))
    case("a gateway without rdma, hipobj-rc-v2", declined, off)
    case("the other gateway ends well", off.stop)
    finish()


if __name__ == "__main__":
    main()
