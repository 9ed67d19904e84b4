#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tcmu-rbd beside tcmu-runner, through the whole path: fio -> kernel (tcm_loop, TCMU) -> daemon -> librbd -> OSD.

    python3 tests/bench/peer_bench.py [ROUNDS] [SECONDS]

One kernel, one cluster, one image; the two daemons serve it in turn, round by round, so that the machine's drift hits both. Prints
each case's IOPS and the daemon's processor time per I/O: the best round (the median), and the ratio of the best, since whatever else
the machine does can only slow a round down. A user-mode kernel makes every system call dear: the ratios mean something, the figures
themselves do not.
"""

import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "lab"))

from lib import daemon, isolation
from lib.initiator import Fio
from lib.lab import Lab, daemon_under_test
from lib.lio import LoopTarget

MIB = 1 << 20
SIZE = 256 * MIB
CASES = [(rw, depth) for rw in ("randread", "randwrite") for depth in (1, 32)]


def processor_seconds(gateway, pid):
    """User and system time of a process so far: fields 14 and 15 of its stat, in clock ticks."""
    fields = gateway.files(["read", f"/proc/{pid}/stat"])[0].rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(gateway, server, disk, rw, depth, seconds):
    """(IOPS, processor microseconds of the daemon per I/O) of one case."""
    before = processor_seconds(gateway, server.pid)
    output = Fio(gateway, disk, name="bench", rw=rw, bs="4k", iodepth=depth, runtime=seconds, time_based=1, verify=None,
                 verify_fatal=None, verify_dump=None, verify_backlog=None, serialize_overlap=None).run(
                     seconds + 60, "--output-format=json")
    side = json.loads(output[output.index("{"):])["jobs"][0]["read" if rw == "randread" else "write"]
    return side["iops"], 1e6 * (processor_seconds(gateway, server.pid) - before) / side["total_ios"]


def serve_round(lab, kind, seconds, results):
    """All cases with one daemon, started and stopped for it."""
    gateway = lab.gateway()
    server = daemon.make(gateway, kind)
    server.start()
    device = lab.device(gateway, "bench", SIZE, create=False)
    target = LoopTarget(gateway).create()
    target.add_lun(device)
    for case in CASES:
        figures = measure(gateway, server, target.disk(), *case, seconds)
        results.setdefault((server.name, case), []).append(figures)
        print(f"  {server.name:12} {case[0]:9} depth {case[1]:2}: {figures[0]:7.0f} IOPS, {figures[1]:6.0f} us/IO", flush=True)
    target.remove_lun(device)
    target.delete()
    device.delete()
    server.stop()


def report(results):
    print("\n| 4 KiB | tcmu-rbd IOPS | tcmu-runner IOPS | ratio | tcmu-rbd CPU us/IO | tcmu-runner CPU us/IO | ratio |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        ours, peers = (list(zip(*results[name, case])) for name in ("tcmu-rbd", "tcmu-runner"))
        cells = [f"{case[0]}, depth {case[1]}"]
        for mine, its, best in zip(ours, peers, (max, min)):
            cells += [f"{best(values):.0f} ({statistics.median(values):.0f})" for values in (mine, its)] + [f"{best(mine) / best(its):.2f}"]
        print(f"| {' | '.join(cells)} |")


def main():
    rounds, seconds = (int(word) for word in (sys.argv[1:] + ["7", "3"][len(sys.argv) - 1:])[:2])

    def body():
        results = {}
        with Lab(daemon_under_test()) as lab:
            lab.cluster.create_image("bench", SIZE)
            # Written whole first: reads of objects that aren't there would measure something else.
            lab.cluster.rbd("bench", "--io-type", "write", "--io-size", "4M", "--io-total", str(SIZE), "bench")
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                for kind in ("tcmu-runner", lab.kind)[::1 if number % 2 else -1]:
                    serve_round(lab, kind, seconds, results)
        report(results)
        return 0

    isolation.run(body)


if __name__ == "__main__":
    main()
