#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times of aborts and of fail-over beside tcmu-runner, from one run: the same kernels, cluster and initiator.

    python3 tests/bench/abort_bench.py [ROUNDS]

Prints the medians as a table in Markdown. tcmu-runner has no abort: it needs about half a minute for most of the cases.
"""

import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "lab"))

from lib import cdb, daemon, isolation, recovery
from lib.lab import Lab, daemon_under_test
from lib.libiscsi import Session
from lib.lio import IscsiTarget
from lib.placement import image_beside_an_osd

MIB = 1 << 20
SIZE = 64 * MIB
PAGE = 4096
BLOCKS = PAGE // 512
# tcmu-runner's own, as ceph-iscsi sets it.
OPTIONS = {"tcmu-runner": ";osd_op_timeout=30", "tcmu-rbd": ""}
# A case that takes longer than this is reported as "longer".
PATIENCE_SECONDS = 100
ON_ITS_WAY_SECONDS = 0.5
SETTLED_SECONDS = 1

ABORTS = {
    "one ABORT TASK": (1, False),
    "16 ABORT TASKs sent together": (16, False),
    "48 ABORT TASKs sent together": (48, False),
    "LUN RESET over 16 commands": (16, True),
}
FAIL_OVERS = {
    "first gateway idle and healthy": "healthy",
    "first gateway stuck with writes on a hung OSD": "stuck",
    "first gateway stuck with writes that its host has aborted": "aborted",
    "first gateway frozen": "frozen",
    "first gateway dead": "dead",
}


class Served:
    """The image, served by one or two gateways with one kind of daemon."""

    def __init__(self, lab, kind):
        self.lab, self.kind = lab, kind
        self.image, victim, placement = image_beside_an_osd(lab.cluster, (f"{os.path.basename(kind)}-{n}" for n in range(200)), SIZE)
        self.victim = lab.cluster.osds[victim]
        blocks = placement.object_size // 512
        self.stuck_lba = placement.objects_on(victim)[0] * blocks
        self.healthy_lba = next(n for n in range(placement.object_count) if placement.data(n) != victim) * blocks
        self.parts = []

    def start(self, number):
        """The gateway of that number serves; returns a session with it."""
        gateway = self.lab.gateway(number)
        server = daemon.make(gateway, self.kind)
        server.start()
        self.name = server.name
        device = self.lab.device(gateway, self.image, SIZE, create=False, options=OPTIONS[server.name])
        device.set("cmd_time_out", 0)
        target = IscsiTarget(gateway).create()
        target.add_lun(device)
        session = Session(target.url())
        self.parts.append((gateway, server, device, target, session))
        return session

    def stop(self):
        for gateway, server, device, target, session in self.parts:
            if not gateway.alive():
                session.drop()
                continue
            session.close()
            target.remove_lun(device)
            target.delete()
            device.delete()
            server.stop()
        self.parts = []
        # One that hung for half a minute was marked down by the others, and comes back by itself.
        cluster = self.lab.cluster
        isolation.wait_until(lambda: cluster.command("osd stat")["num_up_osds"] == len(cluster.osds), 60, "all OSDs are up")

    def stuck_writes(self, session, count):
        lba, data = self.stuck_lba, b"s" * PAGE
        return [session.submit(cdb.write16(lba + 2 * BLOCKS * number, BLOCKS), data=data) for number in range(count)]

    def abort(self, count, reset):
        """Seconds until the last of the task managements is answered."""
        session = self.start(0)
        recovery.write(session, self.stuck_lba, bytes(MIB))
        self.victim.hang()
        try:
            commands = self.stuck_writes(session, count)
            session.linger(ON_ITS_WAY_SECONDS)
            started = time.monotonic()
            managements = [session.lun_reset()] if reset else [session.abort(each) for each in commands]
            seconds = until(lambda: session.poll(lambda: all(each.done for each in managements), PATIENCE_SECONDS), started)
        finally:
            self.victim.resume()
        session.poll(lambda: all(each.done for each in managements), PATIENCE_SECONDS)
        session.forget(*commands)
        self.stop()
        return seconds

    def fail_over(self, how):
        """Seconds until the first good write through the second gateway, on a healthy OSD."""
        here, there = self.start(0), self.start(1)
        gateway = self.lab.gateways[0]
        for lba in (self.stuck_lba, self.healthy_lba):
            recovery.write(here, lba, bytes(MIB), PATIENCE_SECONDS)  # with tcmu-runner the lock follows reads too: not there
        here.linger(SETTLED_SECONDS)
        stuck = self.break_it(how, gateway, here)
        started = time.monotonic()
        seconds = until(lambda: recovery.write(there, self.healthy_lba, b"t" * PAGE, PATIENCE_SECONDS), started)
        if stuck:
            self.victim.resume()
            here.poll(lambda: all(each.done for each in stuck), PATIENCE_SECONDS)
        elif how == "frozen":
            gateway.kill()  # tcmu-runner answers BUSY for minutes when it goes on
        self.stop()
        return seconds

    def break_it(self, how, gateway, session):
        """Returns the commands or aborts that are stuck for it; tcmu-runner's aborts are."""
        stuck = []
        if how in ("stuck", "aborted"):
            self.victim.hang()
            stuck = writes = self.stuck_writes(session, 8)
            session.linger(ON_ITS_WAY_SECONDS)
            if how == "aborted":
                stuck = [session.abort(each) for each in writes]
                session.linger(ON_ITS_WAY_SECONDS)
        elif how == "frozen":
            gateway.freeze()
        elif how == "dead":
            gateway.kill()
        return stuck


def until(action, started):
    try:
        action()
        return time.monotonic() - started
    except TimeoutError:
        return float("inf")


def summary(values):
    seconds = statistics.median(values)
    if seconds == float("inf"):
        return f"longer than {PATIENCE_SECONDS} s"
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def report(results):
    print("\n| medians | tcmu-rbd | tcmu-runner |\n|---|---|---|")
    for case in [*ABORTS, *FAIL_OVERS]:
        print(f"| {case} | {summary(results['tcmu-rbd', case])} | {summary(results['tcmu-runner', case])} |")


def main():
    rounds = int((sys.argv[1:] + ["1"])[0])

    def body():
        results = {}
        with Lab(daemon_under_test(), osds=3) as lab:
            servers = {kind: Served(lab, kind) for kind in (lab.kind, "tcmu-runner")}
            for number in range(rounds):
                for kind in ("tcmu-runner", lab.kind)[::1 if number % 2 else -1]:
                    for case in [*ABORTS, *FAIL_OVERS]:
                        served = servers[kind]
                        seconds = served.abort(*ABORTS[case]) if case in ABORTS else served.fail_over(FAIL_OVERS[case])
                        results.setdefault((served.name, case), []).append(seconds)
                        print(f"  round {number + 1}, {served.name:12} {case}: {summary([seconds])}", flush=True)
        report(results)
        return 0

    isolation.run(body)


if __name__ == "__main__":
    main()
