#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tcmu-rbd beside tcmu-runner and fio's rbd engine at native speed; see README.md.

    python3 tests/bench/native_bench.py             # the table; real librbd, a cluster of its own
    python3 tests/bench/native_bench.py --alone     # the daemon with an image that completes at once
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "lab"))

from lib import isolation, network
from lib.cluster import Cluster

MIB = 1 << 20
SIZE = 256 * MIB
CONFIG = "paths:\n  state_dir: {0}/{1}.state\n  control_socket: {0}/{1}.sock\n  lock_file: {0}/{1}.lock\n"


class Served:
    """A daemon that serves a device of its own, under ringbench; and idle ones, with images like the first one's. `rings`: so many
    of them, the first one included, can have a load."""

    def __init__(self, name, command, dev_config, options, devices=1, rings=1):
        self.name = name
        self.log = f"{isolation.directory()}/{name}.out"
        ringbench = [f"{options.build}/ringbench", "--daemon", command, "--preload", f"{options.build}/tcmu_shim.so", "--log", self.log,
                     "--size", str(SIZE), "--devices", str(devices), "--rings", str(rings), "--warm", str(options.warm), "--seconds",
                     str(options.seconds)]
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", sys.executable, f"{HERE}/native/fake_tree.py", dev_config, str(SIZE),
             str(devices), *ringbench], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _, pid, seconds = self._line("it did not get ready").split()
        self.pid, self.start_seconds = int(pid), float(seconds)

    def _line(self, otherwise):
        line = self.process.stdout.readline()
        if not line:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                sys.exit(f"{self.name}: {otherwise}\n{log.read()[-2000:]}")
        return line

    def measure(self, kind, size, depth):
        """`kind`: as ringbench has it; "abort:write" aborts one write of each ring."""
        self.process.stdin.write(f"{kind}:{size}:{depth}\n")
        self.process.stdin.flush()
        found = json.loads(self._line("it ended"))
        if found["failed"]:
            sys.exit(f"{self.name}: {found['failed']} commands failed")
        return found

    def stop(self):
        """Returns the seconds until the daemon had ended."""
        self.process.stdin.close()
        seconds = float(self._line("it did not end").split()[1])
        self.process.wait()
        return seconds


def cpu_seconds(pid):
    """Of all threads so far; the clock's id is that of clock_getcpuclockid()."""
    return time.clock_gettime((~pid << 3) | 2)


class Fio:
    """fio's rbd engine: what librbd itself gives, with the cost of fio's own generator."""

    name = "fio rbd"

    def __init__(self, conf, image, options):
        self.conf, self.image, self.seconds = conf, image, options.seconds

    def measure(self, kind, size, depth):
        process = subprocess.Popen(
            ["fio", "--name=raw", "--ioengine=rbd", "--thread", "--clientname=admin", "--pool=rbd", f"--rbdname={self.image}",
             f"--rw={kind}", f"--bs={size}", f"--iodepth={depth}", f"--size={SIZE}", "--time_based",
             f"--runtime={int(self.seconds * 1000) + 400}ms", "--ramp_time=500ms", "--norandommap", "--output-format=json"],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "CEPH_CONF": self.conf})
        time.sleep(1.1)  # It connects, then the ramp; its own figure of the CPU is that of one thread.
        before, begin = cpu_seconds(process.pid), time.monotonic()
        time.sleep(self.seconds / 2)
        cpu = (cpu_seconds(process.pid) - before) / (time.monotonic() - begin)
        output = process.communicate()[0]
        job = json.loads(output[output.index("{"):])["jobs"][0]
        found = job["read" if "read" in kind else "write"]
        return {"iops": found["iops"], "cpu_us": cpu * 1e6 / found["iops"], "kicks": None, "switches": None,
                "p50_us": found["clat_ns"]["percentile"]["50.000000"] / 1e3,
                "p99_us": found["clat_ns"]["percentile"]["99.000000"] / 1e3}

    def stop(self):
        pass


def start_cluster():
    for command in (["link", "set", "lo", "up"], ["addr", "add", f"{network.HOST_ADDRESS}/32", "dev", "lo"]):
        subprocess.run(["ip", *command], check=True)
    cluster = Cluster(isolation.directory())
    cluster.start()
    # tcmu-runner switches the cache off; fio must not have one either.
    cluster.write_conf(cluster.conf, rbd_cache="false")
    return cluster


def config_of(name):
    path = f"{isolation.directory()}/{name}.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(isolation.directory(), name))
    return path


def daemons(options):
    """{name: command}. Each has files of its own."""
    found = {} if options.alone else {"tcmu-runner": f"tcmu-runner -l {isolation.directory()}/log"}
    found["tcmu-rbd"] = f"{options.build}/instant_daemon CONFIG {SIZE}" if options.alone else f"{options.build}/tcmu-rbd --config CONFIG"
    found |= dict(other.split("=", 1) for other in options.daemon)
    return {name: command.replace("CONFIG", config_of(name)) for name, command in found.items()}


def start(options):
    if options.alone:
        return [Served(name, command, "rbd/rbd/image", options) for name, command in daemons(options).items()]
    cluster = start_cluster()
    os.environ["CEPH_CONF"] = cluster.conf
    servers = [] if options.no_fio else [Fio(cluster.conf, "fio", options)]
    images = [server.image for server in servers] + list(daemons(options))
    for image in images:
        cluster.create_image(image, SIZE)
        cluster.rbd("bench", "--io-type", "write", "--io-size", "4M", "--io-threads", "4", "--io-total", str(SIZE), f"rbd/{image}",
                    timeout=120)
    return servers + [Served(name, command, f"rbd/rbd/{name}", options) for name, command in daemons(options).items()]


def measure(servers, options):
    """{case: {name: [outcome of each round]}}; slices alternate, so that what else the machine does hits all alike."""
    found = {}
    for number in range(options.rounds):
        for kind in options.kinds.split(","):
            for depth in map(int, options.depths.split(",")):
                for server in servers if number % 2 == 0 else servers[::-1]:
                    outcomes = found.setdefault((kind, depth), {}).setdefault(server.name, [])
                    outcomes.append(server.measure(kind, options.bytes, depth))
    return found


def ratio(ours, theirs, key):
    """The median of the rounds' ratios, and its quartiles."""
    ratios = [mine[key] / other[key] for mine, other in zip(ours, theirs)]
    if ours is theirs or len(ratios) < 4:
        return f"{statistics.median(ratios):.3f}"
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{median:.3f}; {low:.3f} to {high:.3f}"


def table(found, options):
    base = "tcmu-rbd" if options.alone else "tcmu-runner"
    yield (f"{options.rounds} alternating rounds of {options.seconds:g} s; median (least to most) "
           f"[median and quartiles of the rounds' ratios to {base}]")
    yield ""
    yield f"| {options.bytes} bytes | who | IOPS | CPU us/IO | switches per I/O | kicks per I/O | p50 us | p99 us |"
    yield "|---|---|---|---|---|---|---|---|"
    for (kind, depth), by_name in found.items():
        first = by_name[base]
        for name, outcomes in by_name.items():
            def median(key, values=outcomes):
                return statistics.median(outcome[key] for outcome in values)
            def few(key, values=outcomes):
                return "" if values[0][key] is None else f"{statistics.median(outcome[key] for outcome in values):.2f}"
            spread = [outcome["iops"] for outcome in outcomes]
            yield (f"| {kind}, depth {depth} | {name} | {median('iops'):.0f} ({min(spread):.0f} to {max(spread):.0f}) "
                   f"[{ratio(outcomes, first, 'iops')}] | {median('cpu_us'):.1f} [{ratio(outcomes, first, 'cpu_us')}] "
                   f"| {few('switches')} | {few('kicks')} | {median('p50_us'):.0f} | {median('p99_us'):.0f} |")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="without a cluster")
    parser.add_argument("--no-fio", action="store_true")
    parser.add_argument("--build", default=os.path.join(HERE, os.pardir, os.pardir, "build"))
    parser.add_argument("--daemon", action="append", default=[], help="NAME=COMMAND of one more; CONFIG is replaced by a config file")
    parser.add_argument("--kinds", default="randread,randwrite")
    parser.add_argument("--depths", default="1,16,64")
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warm", type=float, default=0.2, help="seconds before each measurement")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    return options


def main():
    options = parse()

    def body():
        servers = start(options)
        print("\n".join(table(measure(servers, options), options)), flush=True)
        for server in servers:
            server.stop()

    isolation.run(body)


if __name__ == "__main__":
    main()
