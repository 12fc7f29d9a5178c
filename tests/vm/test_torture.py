#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that stalls, breaks off and writes late, over real verbs, against
a pool of few slots that are used again and again: every byte is looked at.
transport.require keeps it all on RDMA, so that no fallback hides anything."""
import vmlib  # first: it makes the next two be found
from files import FULL, MIB, compile_c, ok, randread, randread_result
from harness import need_fuse
from vmlib import (PROTOCOLS, case, finish, need_vm, pool_is_whole, populate,
                   rc_gateway, rc_mount, targets)

SECONDS = 180 if FULL else 12
# 16 slots of 1 MiB, and about as many of 128 KiB.
POOL, SLOT = "19MiB", "1MiB"
OBJECT = 7 * MIB
# Late ones come while the slot is in quarantine, or long used by others.
FAULTS = ("get:late=30:every=11", "get:late=700:every=13",
          "get:late=3500:every=17", "get:reset:every=19",
          "get:delay=2500:every=37")


def torture(m, program, objects):
    proc = randread(program, targets(m, objects), SECONDS, threads=8)
    r = randread_result(proc, SECONDS)
    assert not r["errors"], r
    pool_is_whole(m)
    s = m.stats()
    assert s["quarantines"] and s["fences"], s
    assert s["bytes"]["rc"] and not s["bytes"]["http"], s["bytes"]
    return "%d reads, longest %.1f s, %d MiB by rc, %d requests, " \
        "%d retries, %d quarantines, %d fences" % (
            r["reads"], r["longest_ms"] / 1000, s["bytes"]["rc"] >> 20,
            s["requests"]["get"] + s["requests"]["other"],
            s["requests"]["retries"], s["quarantines"], s["fences"])


def one_protocol(gw, protocol, program, objects):
    # What the server does wrong is warned of.
    m = rc_mount(gw, protocol, ["warning:"], cache_size=POOL,
                 staging__slot=SLOT, transport__require="true",
                 request__attempt_timeout="2s").start()
    assert 14 <= m.stats()["pool"]["slots"] <= 48, m.stats()["pool"]
    note = torture(m, program, objects)
    m.unmount()
    return note


def main():
    need_fuse()
    need_vm()
    program = compile_c("randread.c")
    gw = rc_gateway(faults=FAULTS).start()
    gw.allow.append("warning:")
    objects = populate(gw, 4, OBJECT)
    for protocol in PROTOCOLS:
        case(protocol + ", late writes", one_protocol, gw, protocol, program,
             objects)
    case("the gateway ends well", gw.stop)
    finish()


if __name__ == "__main__":
    main()
