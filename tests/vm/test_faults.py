#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server killed, the wire cut, a device taken away, all in the middle of
transfers by rc: no wrong byte, no failed read, no slot lost, and RDMA is used
again afterwards.  A mount of each hand-shake meets the faults at once."""
import signal

import vmlib  # first: it makes the next two be found
from files import FULL, MIB, compile_c, note_skip
from harness import need_fuse, wait_for
from vmlib import (PROTOCOLS, RECOVERY, case, device_down, device_up, end_well,
                   fault_while_reading, finish, need_vm, populate, rc_gateway,
                   rc_mount, status, wire_down, wire_up)


def wait_trouble(mounts, before):
    """Until each mount has felt it: bytes by HTTP, or a request made anew."""
    for m, b in zip(mounts, before):
        wait_for(m.name + " to notice", lambda: (
            m.stats()["bytes"]["http"] > b["bytes"]["http"] or
            m.stats()["requests"]["retries"] > b["requests"]["retries"]),
            RECOVERY)


def kill(gw, mounts):
    before = [m.stats() for m in mounts]
    gw.proc.send_signal(signal.SIGKILL)
    gw.proc.wait()
    wait_trouble(mounts, before)
    gw.start()


def cut(gw, mounts):
    wire_down()
    try:
        for m in mounts:
            wait_for(m.name + " to say why", lambda: "no_rdma" in
                     status(m)["rail"]["0"], RECOVERY)
            before = m.stats()["bytes"]["http"]
            wait_for(m.name + " to go by http",
                     lambda: m.stats()["bytes"]["http"] > before, RECOVERY)
    finally:
        wire_up()


def remove(device):
    def carry_out(gw, mounts):
        before = [m.stats() for m in mounts]
        deleting = device_down(device)
        try:
            wait_trouble(mounts, before)
        finally:
            device_up(device, deleting)
    return carry_out


far_device = remove("rxe1")
FAULTS = (("the gateway killed", kill), ("the wire cut", cut),
          ("the mount's device removed", remove("rxe0")),
          ("the gateway's device removed", far_device))
LONG = (far_device,)  # half a minute, until it is asked again


def main():
    need_fuse()
    need_vm()
    program = compile_c("randread.c")
    gw = rc_gateway().start()
    gw.allow.append("warning:")
    objects = populate(gw, 6, 10 * MIB)
    # As long as a cut wire holds those up that are on it.
    mounts = [rc_mount(gw, p, ["warning:"], cache_size="32MiB",
                       request__attempt_timeout="5s").start()
              for p in PROTOCOLS]
    for text, inject in FAULTS:
        if inject in LONG and not FULL:
            note_skip(text, "S3RDMAFS_TEST_FULL=1 does")
            continue
        case(text, fault_while_reading, mounts, program, objects,
             lambda: inject(gw, mounts))
    end_well(mounts, [gw])
    finish()


if __name__ == "__main__":
    main()
