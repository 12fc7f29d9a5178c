#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server stalls past the request's time-out while it holds a token: first
in some of its answers, then, stopped by a signal, in all.  Reads go on by
HTTP or later, no byte is wrong, and RDMA is used again afterwards."""
import signal

import vmlib  # first: it makes the next two be found
from files import FULL, MIB, compile_c, note_skip
from harness import need_fuse, wait_for
from vmlib import (PROTOCOLS, RECOVERY, case, end_well, fault_while_reading,
                   finish, need_vm, populate, rc_gateway, rc_mount)

# The server writes when the client has given up, and its slot been fenced.
FAULTS = ("get:delay=4000:every=7:count=70", "get:late=3000:every=11:count=66")


def unknowns(m):
    return m.stats()["unknown_outcomes"]


def some(gw, mounts, before):
    for m, n in zip(mounts, before):
        wait_for(m.name + " to lose patience", lambda: unknowns(m) > n,
                 RECOVERY)


def all_of_them(gw, mounts, before):
    gw.signal(signal.SIGSTOP)
    try:
        for m, n in zip(mounts, before):
            wait_for(m.name + " to lose patience", lambda: unknowns(m) > n,
                     RECOVERY)
    finally:
        gw.signal(signal.SIGCONT)


def one_stall(gw, mounts, program, objects, stall):
    before = [unknowns(m) for m in mounts]
    note = fault_while_reading(mounts, program, objects,
                               lambda: stall(gw, mounts, before))
    for m in mounts:
        s = m.stats()
        assert s["quarantines"] and s["fences"], s
    return note


def main():
    need_fuse()
    need_vm()
    program = compile_c("randread.c")
    gw = rc_gateway(faults=FAULTS).start()
    gw.allow.append("warning:")
    objects = populate(gw, 4, 8 * MIB)
    mounts = [rc_mount(gw, p, ["warning:"], cache_size="32MiB",
                       request__attempt_timeout="2s").start()
              for p in PROTOCOLS]
    case("some answers stalled", one_stall, gw, mounts, program, objects, some)
    if FULL:  # half a minute of patience, and as long to come back
        case("the server stopped", one_stall, gw, mounts, program, objects,
             all_of_them)
    else:
        note_skip("the server stopped", "S3RDMAFS_TEST_FULL=1 does")
    end_well(mounts, [gw])
    finish()


if __name__ == "__main__":
    main()
