#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The README's picture: a host writes steadily, an OSD hangs, the host aborts and fails over, and the OSD resumes.

LAB_TIMELINE=DIR: writes what happened to DIR/tcmu-rbd.json or DIR/tcmu-runner.json; timeline/draw.py draws it. With
TCMU_RBD=tcmu-runner the scenario is the same, and little is asserted.
"""

import json
import os
import re
import statistics
from datetime import datetime

from lib import recovery, testing
from lib.lab import daemon_under_test
from lib.placement import image_beside_an_osd
from lib.recovery import MIB
from lib.steady_host import PAGE, SteadyHost

SIZE = 256 * MIB
# Each of these writes its own object, half of them on the OSD that stops: 20 writes a second in all.
WRITERS = 4
INTERVAL_SECONDS = 0.4
ABORT_SECONDS = 3
# Since the load began. A fence comes 5 s after an aborted write did not end.
STOP, FAIL_OVER, RESUME, END = 8, 21, 28, 36
# The longest answer to an abort, pause by a fence or a fail-over, and wait after the OSD resumes. Measured: 20 ms, 1 s, 0.1 s; the rest is
# for a slow and shared machine.
ANSWER_SECONDS, PAUSE_SECONDS, RECOVERY_SECONDS = 1, 5, 8
PATIENCE_SECONDS = 60
PEER = daemon_under_test() == "tcmu-runner"
# As ceph-iscsi sets it.
OPTIONS = {"options": ";osd_op_timeout=30"} if PEER else {}


def seconds(timestamp):
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


class TimelineTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        self.image, self.osd, placement = image_beside_an_osd(self.cluster, (self.image_name() for _ in range(200)), SIZE)
        objects = {"stuck": placement.objects_on(self.osd)}
        objects["healthy"] = [n for n in range(placement.object_count) if n not in objects["stuck"]]
        blocks = placement.object_size // 512
        self.blocks = {f"{kind} {n}": objects[kind][n] * blocks for n in range(WRITERS) for kind in ("healthy", "stuck")}

    def serve(self):
        device, target = self.lun(SIZE, image=self.image, create=False, **OPTIONS)
        paths = [self.session(target)]
        second, _, target = self.peer(device, **OPTIONS)
        paths.append(self.session(target))
        self.gateways = [self.gateway, second]
        for lba in self.blocks.values():
            recovery.write(paths[0], lba, bytes(PAGE))
        return paths

    def versions(self):
        """Of the daemon, the gateways' kernel, and the cluster."""
        words = {"daemon": self.gateway.output(f"{self.daemon.argv[0]} --version || :"),  # tcmu-runner's status is 1
                 "kernel": self.gateway.output("uname -r"), "ceph": self.cluster.command("version")["version"]}
        return {name: re.search(r"\d+(?:\.\d+)+", text).group() for name, text in words.items()}

    def run_scenario(self, host):
        """When what happened, in seconds since the load began."""
        victim, times = self.cluster.osds[self.osd], {}
        host.run(STOP)
        self.hang(victim)
        times["stopped"] = host.now()
        host.run(FAIL_OVER)
        host.fail_over()
        times["failed_over"] = host.now()
        host.run(RESUME)
        self.resume(victim)
        times["resumed"] = host.now()
        host.run(END)
        host.finish(PATIENCE_SECONDS)
        times["ended"] = host.now()
        return times

    def stories(self, number):
        gateway = self.gateways[number]
        shown = json.loads(gateway.output(f"{self.client(gateway)} trace {self.image} --json"))["devices"][0]
        self.assertEqual(shown["events"], shown["kept"], "the flight recorder has kept all of it")
        return shown["stories"]

    def events(self, number, aborts):
        """What the flight recorder has of the LUN, in the host's time: both have the aborts, by which the clocks are compared."""
        events = [(seconds(story["time"]), story["steps"][0]["what"]) for story in self.stories(number) if story["op"] is None]
        sent = sorted(each["sent"] for each in aborts if each["path"] == number)
        seen = [time for time, what in events if what.startswith("ABORT_TASK")]
        self.assertEqual(len(seen), len(sent), "the daemon saw each ABORT TASK that the host sent")
        begin = statistics.median(there - here for there, here in zip(seen, sent))
        return [{"at": round(time - begin, 3), "what": what} for time, what in events if time >= begin]

    def test_a_host_while_an_osd_hangs(self):
        paths = self.serve()
        self.cluster.command("osd set", key="nodown")  # as an OSD whose heartbeats go on
        record = {"daemon": self.daemon.name, "versions": self.versions(), "abort_after": ABORT_SECONDS,
                  "writes_per_second": round(len(self.blocks) / INTERVAL_SECONDS)}
        host = SteadyHost(paths, self.blocks, INTERVAL_SECONDS, ABORT_SECONDS)
        record |= {**self.run_scenario(host), **host.record()}
        record["gateways"] = [] if PEER else [self.events(number, record["aborts"]) for number in range(2)]
        self.save(record)
        for writer in host.writers:
            self.assertEqual(recovery.read(host.path, writer.lba, PAGE // 512), writer.data(), writer.name)
        self.report_figures(record)
        if not PEER:
            self.assert_served(record)
            self.assert_recorded(record)

    def save(self, record):
        directory = os.environ.get("LAB_TIMELINE")
        if directory:
            os.makedirs(directory, exist_ok=True)
            with open(f"{directory}/{self.daemon.name}.json", "w", encoding="utf-8") as file:
                file.write("{" + ",\n".join(f"{json.dumps(key)}: {self.lines(value)}" for key, value in record.items()) + "}\n")

    @staticmethod
    def lines(value):
        return "[\n" + ",\n".join(map(json.dumps, value)) + "]" if isinstance(value, list) else json.dumps(value)

    # --- results ---

    @staticmethod
    def healthy(record, since, until):
        """Writes on the other OSDs that were answered in that time."""
        return [each for each in record["writes"] if each["writer"].startswith("healthy") and since <= each["answered"] < until]

    def report_figures(self, record):
        slowest = max(each["answered"] - each["sent"] for each in record["aborts"])
        self.report(f"{len(record['aborts'])} aborts, the slowest answered in {1000 * slowest:.1f} ms")
        for name, since, until in (("before the fail-over", "stopped", "failed_over"), ("after it", "failed_over", "resumed")):
            writes = self.healthy(record, record[since], record[until])
            longest = max((each["answered"] - each["sent"] for each in writes), default=0)
            self.report(f"healthy OSDs, {name}: {len(writes)} writes, the longest {longest:.2f} s")

    def assert_served(self, record):
        for each in record["aborts"]:
            self.assertEqual(each["response"], 0, each)
            self.assertLess(each["answered"] - each["sent"], ANSWER_SECONDS, each)
        self.assertGreaterEqual({each["writer"] for each in record["aborts"]}, {name for name in self.blocks if "stuck" in name})
        for each in self.healthy(record, 0, END):
            self.assertLess(each["answered"] - each["sent"], PAUSE_SECONDS, each)
        for since, until in ((STOP, FAIL_OVER), (FAIL_OVER, RESUME)):
            usual = WRITERS * (until - since) / INTERVAL_SECONDS
            self.assertGreater(len(self.healthy(record, since, until)), usual / 3)
        for each in record["writes"]:
            self.assertLess(each["answered"], max(each["sent"], RESUME) + RECOVERY_SECONDS, each)

    def assert_recorded(self, record):
        """The flight recorder has the fence, the move of the lock, and the OSD."""
        first, second = ([each["what"] for each in events if STOP < each["at"] < RESUME] for events in record["gateways"])
        self.assertIn("lock: fencing", first)
        self.assertEqual(first[-1], "lock: unowned")
        self.assertIn("lock: owned", second)
        steps = [step["what"] for story in self.stories(0) if story["op"] == "WRITE(16)" for step in story["steps"]]
        self.assertIn(f"hung, on osd.{self.osd}", steps)


if __name__ == "__main__":
    testing.main(osds=3)
