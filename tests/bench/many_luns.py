#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What 256 LUNs on one gateway cost, beside tcmu-runner: start, end, threads, memory, descriptors, idle processor time, and
whether a LUN that is fenced again and again slows its neighbour; and how long an ABORT TASK on each of 48 LUNs takes, sent at
once while all have a load of writes; see README.md.

    python3 tests/bench/many_luns.py [--devices 256] [--only tcmu-rbd]
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import native_bench
from lib import isolation

IDLE_SECONDS = 10
# The victim is fenced again as soon as it is back: its next instance has a watch on the image.
LOOK_SECONDS = 0.2
LOAD = ("randread", 4096, 16)
ABORTED_LUNS = 48
ABORTED_LOAD = ("abort:write", 4096, 4)  # One after the other: the cluster has no room for random ones on so many images.


def footprint(pid):
    """(threads, private MiB, descriptors)."""
    def fields(name):
        with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
            return dict(line.split(":", 1) for line in file if ":" in line)
    memory = fields("smaps_rollup")
    private = sum(int(memory[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))
    return int(fields("status")["Threads"]), private / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def idle_percent(pid):
    """Of one processor."""
    before = native_bench.cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    return 100 * (native_bench.cpu_seconds(pid) - before) / IDLE_SECONDS


class Victim:
    """While it is entered: the instance that serves an image is blocklisted, and the next one, and so on."""

    def __init__(self, cluster, image):
        self.cluster, self.image = cluster, image
        self.fenced = []

    def __enter__(self):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def _run(self):
        while not self.stop.wait(LOOK_SECONDS):
            for address in self.cluster.watchers(self.image):
                if address not in self.fenced:
                    self.fenced.append(address)
                    self.cluster.command("osd blocklist", blocklistop="add", addr=address)


def neighbour(served, cluster, image, rounds):
    """(median and least to most of the p99's ratio beside a victim to without one, fences)."""
    victim, ratios = Victim(cluster, image), []
    kind, size, depth = LOAD
    for _ in range(rounds):
        quiet = served.measure(kind, size, depth)["p99_us"]
        with victim:
            ratios.append(served.measure(kind, size, depth)["p99_us"] / quiet)
    return statistics.median(ratios), min(ratios), max(ratios), len(victim.fenced)


def images(cluster, name, devices):
    names = [name] + [f"{name}-{number}" for number in range(1, devices)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda image: cluster.create_image(image, native_bench.SIZE), names))
    cluster.rbd("bench", "--io-type", "write", "--io-size", "4M", "--io-threads", "4", "--io-total", str(native_bench.SIZE),
                f"rbd/{name}", timeout=120)


def aborts(name, command, options):
    """ABORT TASKs of all rounds: how long until the last command of a round had ended, and the median one."""
    luns = min(ABORTED_LUNS, 1 + options.devices)
    served = native_bench.Served(name, command, f"rbd/rbd/{name}", options, luns, rings=luns)
    rounds = [served.measure(*ABORTED_LOAD) for _ in range(options.rounds)]
    served.stop()
    last = [found["last_ms"] for found in rounds]
    return (f"{statistics.median(last):.1f} ms ({min(last):.1f} to {max(last):.1f}), median command "
            f"{statistics.median(found['median_ms'] for found in rounds):.1f} ms")


def row(name, command, cluster, options):
    images(cluster, name, 1 + options.devices)
    alone = native_bench.Served(name, command, f"rbd/rbd/{name}", options)
    one = footprint(alone.pid)
    alone.stop()
    served = native_bench.Served(name, command, f"rbd/rbd/{name}", options, 1 + options.devices)
    time.sleep(2)  # What a start allocates for a moment is freed.
    threads, memory, files = ((many - first) / options.devices for many, first in zip(footprint(served.pid), one))
    idle = idle_percent(served.pid)
    beside = neighbour(served, cluster, f"{name}-1", options.rounds) if name == "tcmu-rbd" else None
    after = served.stop()
    slower = f"{beside[0]:.2f} ({beside[1]:.2f} to {beside[2]:.2f}), {beside[3]} fences" if beside else ""
    return (f"| {name} | {served.start_seconds:.1f} | {threads:.1f} | {memory:.2f} | {files:.1f} | {idle:.1f} | {slower} "
            f"| {aborts(name, command, options)} | {after:.1f} |")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=256, help="beside the one that has a load")
    parser.add_argument("--only", help="this daemon only")
    parser.add_argument("--build", default=os.path.join(HERE, os.pardir, os.pardir, "build"))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.alone, options.daemon, options.warm, options.seconds = False, [], 0.5, 2.0
    return options


def main():
    options = parse()

    def body():
        cluster = native_bench.start_cluster()
        os.environ["CEPH_CONF"] = cluster.conf
        print(f"{options.devices} idle LUNs and one with a load; per LUN where it says so\n")
        print("| who | all served after s | threads per LUN | private MiB per LUN | descriptors per LUN | idle, % of a processor "
              "| p99 of a neighbour beside a LUN that is fenced, to without "
              f"| {ABORTED_LUNS} aborts at once under load | all removed after s |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for name, command in native_bench.daemons(options).items():
            if options.only in (None, name):
                print(row(name, command, cluster, options), flush=True)

    isolation.run(body)


if __name__ == "__main__":
    main()
