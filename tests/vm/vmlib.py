# SPDX-License-Identifier: Apache-2.0
"""What the tests over real verbs share.  They run inside the machine that
tests/vm/vm makes: rxe0 with 10.99.0.1 (the mounts) and rxe1 with 10.99.0.2
(the gateway) at the two ends of one wire.  A second wire, rxe2 and rxe3 with
10.99.1.1 and 10.99.1.2, comes by second_wire()."""
import json
import os
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "e2e"))
import files
import harness
from harness import DIR, Gateway, Mount, run, skip, wait_for

CLIENT, SERVER = "10.99.0.1", "10.99.0.2"
PROTOCOLS = ("persistent", "hipobj-rc-v2")
# Longer than what a mount leaves a server alone that failed (30 s).
RECOVERY = 90
MIB = files.MIB


def need_vm():
    if not os.path.isdir("/sys/class/infiniband/rxe1"):
        skip("no rxe0 and rxe1 here: run this by tests/vm/run")


def rc_gateway(faults=(), args=(), rdma="rc", wire=0, **kw):
    """A gateway, not started, with a bucket "bkt"; .access is its log."""
    end = 2 * wire + 1
    gw = Gateway(rdma=rdma, host=address(end), faults=faults, **kw)
    gw.access = os.path.join(DIR, "access-%d" % gw.port)
    gw.args = ["--access-log", gw.access] + list(args)
    if rdma != "off":
        gw.args += ["--rdma-device", "rxe%d" % end]
    os.makedirs(os.path.join(gw.root, "bkt"), exist_ok=True)
    return gw


def rc_mount(gw, protocol, allow=(), **opts):
    """A mount, not started, by rc; in opts two underscores are a dot."""
    o = {"transport.mode": "rc", "transport.devices": "rxe0",
         "transport.rc_protocol": protocol, "transport.min_size": "1"}
    o.update((k.replace("__", "."), v) for k, v in opts.items())
    m = Mount("s3://bkt", gw.url, opts=o)
    m.name, m.allow = protocol, list(allow)
    return m


def status(m):
    return json.loads(m.ctl("status", "--json"))


def counter(device, name):
    with open("/sys/class/infiniband/%s/ports/1/hw_counters/%s" %
              (device, name)) as f:
        return int(f.read())


def queue_pairs(device):
    """How many queue pairs of programs the device has."""
    out = run(["rdma", "-j", "res", "show", "qp", "link", device + "/1"])
    return sum(1 for q in json.loads(out.stdout or b"[]")
               if q.get("type") == "RC")


# The wire and the devices ---------------------------------------------------

def address(end):
    """Wire n has the ends 2n, the mounts', and 2n + 1, the gateway's."""
    return "10.99.%d.%d" % (end // 2, end % 2 + 1)


def ethernet(end):
    return "02:00:0a:63:%02x:%02x" % (end // 2, end % 2 + 1)


def both_ways(wire, text):
    """The lines of text for each end {a} and the other {b}."""
    return [line.format(a=a, b=b, A=address(a), B=address(b), E=ethernet(b))
            for a, b in ((2 * wire, 2 * wire + 1), (2 * wire + 1, 2 * wire))
            for line in text]


def ip_batch(lines):
    run(["ip", "-batch", "-"], input=("\n".join(lines) + "\n").encode())


NEIGHBOUR = ("neigh replace {B} lladdr {E} dev rdma{a} nud permanent",
             "route replace {B} dev rdma{a} src {A} table 10{a}")
# As stage 2 of tests/vm/vm has it for the first, and why.
RULES = ("addr add {A}/24 dev rdma{a}", "link set rdma{a} up",
         "rule add pref 1{a} iif rdma{a} lookup local",
         "rule add pref 2{a} from {A} to {B} lookup 10{a}",
         "rule add pref 3{a} oif rdma{a} to {B} lookup 10{a}")


def second_wire():
    ip_batch(["link add rdma2 mtu 9000 address %s type veth peer name rdma3 "
              "mtu 9000 address %s" % (ethernet(2), ethernet(3))] +
             both_ways(1, RULES) + both_ways(1, NEIGHBOUR))
    for device in ("rxe2", "rxe3"):
        make_device(device)


def wire_down(wire=0):
    run(["ip", "link", "set", "rdma%d" % (2 * wire), "down"])


def wire_up(wire=0):
    """With it went its neighbours and routes."""
    ip_batch(["link set rdma%d up" % (2 * wire)] +
             both_ways(wire, NEIGHBOUR))


def wire_silent(wire, yes=True):
    """Its links stay up, and nothing comes through from the mounts' end."""
    run(["tc", "qdisc", "add" if yes else "del", "dev",
         "rdma%d" % (2 * wire), "root", "netem", "loss", "100%"])


def make_device(device):
    run(["rdma", "link", "add", device, "type", "rxe", "netdev",
         device.replace("rxe", "rdma")])
    for name in os.listdir("/dev/infiniband"):
        os.chmod(os.path.join("/dev/infiniband", name), 0o666)


def device_down(device):
    """Started, not waited for: the kernel may wait for the device's users."""
    return subprocess.Popen(["rdma", "link", "delete", device],
                            env=harness.clean_env())


def device_up(device, deleting):
    try:
        rc = deleting.wait(RECOVERY)
    except subprocess.TimeoutExpired:
        deleting.kill()
        raise AssertionError("%s is still held: %s" % (
            device, run(["rdma", "res", "show"]).stdout.decode()))
    assert rc == 0, "rdma link delete %s: %d" % (device, rc)
    make_device(device)


# Readers --------------------------------------------------------------------

class Readers(threading.Thread):
    """randread again and again until finish(), so that a test can wait for
    what it wants to see and not for a time."""

    def __init__(self, program, targets, threads=6, most=2 * MIB, turn=2,
                 may=()):
        super().__init__(daemon=True)
        self.args = (program, targets, turn, threads, False, most)
        self.turn, self.may, self.ending = turn, may, threading.Event()
        self.reads = self.longest = 0
        self.errors, self.wrong = {}, None
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                self.one_turn()
        except Exception as e:
            self.wrong = e

    def one_turn(self):
        r = files.randread_result(files.randread(*self.args), self.turn)
        self.reads += r["reads"]
        self.longest = max(self.longest, r["longest_ms"])
        for k, n in r["errors"].items():
            self.errors[k] = self.errors.get(k, 0) + n

    def finish(self):
        self.ending.set()
        self.join(200)
        assert not self.is_alive(), "reads hang"
        if self.wrong:
            raise self.wrong
        assert self.reads, "nothing was read"
        assert set(self.errors) <= set(self.may), "errors: %s" % self.errors
        return "%d reads, longest %.1f s%s" % (
            self.reads, self.longest / 1000,
            ", %s" % self.errors if self.errors else "")


def populate(gw, n, size):
    """n objects of that size through the gateway: [(key, seed, size)]."""
    bucket = files.Bucket(gw, "bkt", create=False)
    objects = [("o%d" % i, (i + 1) << 36, size + i * 1237) for i in range(n)]
    for key, seed, length in objects:
        bucket.fill(key, seed, length)
    return objects


def targets(m, objects):
    return [(m.file(key), seed, size) for key, seed, size in objects]


def wait_rc_grows(m, what, by=MIB, seconds=RECOVERY):
    """RDMA is used, from now on."""
    before = m.stats()["bytes"]["rc"]
    try:
        wait_for(what, lambda: m.stats()["bytes"]["rc"] >= before + by,
                 seconds)
    except AssertionError as e:
        raise AssertionError("%s; %s; bytes %s, declines %d, unknown %d" % (
            e, status(m)["rail"]["0"], m.stats()["bytes"],
            m.stats()["declines"], m.stats()["unknown_outcomes"]))


def pool_is_whole(m):
    files.settled(m, 60)
    s = m.stats()
    assert not s["failed_fences"], "failed fences: %d" % s["failed_fences"]


def while_reading(mounts, program, objects, act, threads=6):
    """act(), while programs read from each mount: then no read has failed, no
    byte was wrong and no slot is gone."""
    readers = [Readers(program, targets(m, objects), threads) for m in mounts]
    try:
        act()
    finally:
        notes = [r.finish() for r in readers]
    for m in mounts:
        pool_is_whole(m)
    return "; ".join("%s: %s" % (m.name, n) for m, n in zip(mounts, notes))


def fault_while_reading(mounts, program, objects, inject):
    """RDMA is used before the fault, and again after it."""
    def act():
        for m in mounts:
            wait_rc_grows(m, "%s: bytes by rc before it" % m.name)
        inject()
        for m in mounts:
            wait_rc_grows(m, "%s: bytes by rc after it" % m.name)
    return while_reading(mounts, program, objects, act)


def end_well(mounts, gateways):
    for m in mounts:
        files.ok("%s: %s" % (m.name, {k: v for k, v in m.stats().items() if k
                                      in ("bytes", "quarantines", "fences",
                                          "declines", "unknown_outcomes")}))
        case(m.name + " ends well", m.unmount)
    for gw in gateways:
        case("the gateway ends well", gw.stop)


def case(text, check, *args, **kw):
    """As that of files, and how long it took, and until when."""
    def timed():
        begun = time.monotonic()
        note = check(*args, **kw)
        end = time.monotonic()
        return "%.1f s, at %.0f s%s" % (end - begun, end,
                                        "; " + note if note else "")
    files.case(text, timed)


def finish():
    """As that of files, but the logs are kept where there is a place."""
    out = os.environ.get("RDMA_VM_OUT")
    if files._failed and out:
        for name in os.listdir(DIR):
            if name.endswith(".log") or name.startswith("access"):
                shutil.copy(os.path.join(DIR, name), out)
        with open(os.path.join(out, "dmesg"), "wb") as f:
            f.write(run(["dmesg"], check=False).stdout)
    files.finish()
