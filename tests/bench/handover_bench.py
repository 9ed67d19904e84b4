#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of a hand-over between two healthy gateways goes, at native speed: the steps of both daemons' flight recorders.

    python3 tests/bench/handover_bench.py [HAND-OVERS]
"""

import os
import re
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from datetime import datetime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import native_bench
from lib import isolation

BUILD = os.path.abspath(os.path.join(HERE, os.pardir, os.pardir, "build"))
# A gateway keeps the lock for 200 ms at least.
HOLD_SECONDS = 0.3
# (who, state of its lock, what that is): the first of these begins the hand-over.
STEPS = (("other", "acquiring", "the other gateway needs the lock"), ("owner", "releasing", "the owner has drained"),
         ("owner", "unowned", "the owner has released it"), ("other", "owned", "the other gateway owns it"))


def gateway(name):
    options = Namespace(build=BUILD, warm=0.0, seconds=0.02)
    return native_bench.Served(name, f"{BUILD}/tcmu-rbd --config {native_bench.config_of(name)}", "rbd/rbd/shared", options)


def lock_times(name):
    """{state: when the LUN's lock was last in it}."""
    socket = f"{isolation.directory()}/{name}.sock"
    output = subprocess.run([f"{BUILD}/tcmu-rbdctl", "--socket", socket, "trace", "user_0/disk0"], capture_output=True, text=True,
                            check=True).stdout
    found = re.findall(r"^(\S+Z)\s+lock: (\w+)", output, re.M)
    return {state: datetime.fromisoformat(when).timestamp() for when, state in found}


def hand_over(owner, other):
    """Milliseconds from the request to each of STEPS."""
    time.sleep(HOLD_SECONDS)
    other.measure("randwrite", 4096, 1)
    times = {"owner": lock_times(owner.name), "other": lock_times(other.name)}
    begin = times["other"]["acquiring"]
    return [1000 * (times[who][state] - begin) for who, state, _ in STEPS]


def main():
    count = int((sys.argv[1:] + ["20"])[0])

    def body():
        cluster = native_bench.start_cluster()
        os.environ["CEPH_CONF"] = cluster.conf
        cluster.create_image("shared", native_bench.SIZE)
        owner, other = gateway("one"), gateway("two")
        owner.measure("randwrite", 4096, 1)
        rounds = []
        for _ in range(count):
            rounds.append(hand_over(owner, other))
            owner, other = other, owner
        print(f"{count} hand-overs; ms since the request, median (least to most)\n\n| step | ms |\n|---|---|")
        for (_, _, name), values in zip(STEPS, zip(*rounds)):
            print(f"| {name} | {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f}) |")
        for server in (owner, other):
            server.stop()

    isolation.run(body)


if __name__ == "__main__":
    main()
