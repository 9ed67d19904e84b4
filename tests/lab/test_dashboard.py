#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes two gateways while an OSD hangs; it answers each query of the dashboard and evaluates the alert rules.

LAB_DASHBOARD=DIR: writes the answers to DIR/answers.json; dashboard/draw.py draws the panels of it.
"""

import json
import os
import re
import shutil
import time

from lib import cdb, copying, recovery, testing
from lib.placement import image_beside_an_osd
from lib.prometheus import Prometheus
from lib.recovery import MIB

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
MONITORING = f"{ROOT}/packaging/monitoring"
PORT = 10009
SIZE = 64 * MIB
BLOCKS = 8
# As short as the run; Grafana's rate interval is four times the scrape interval.
SCRAPE_SECONDS = 0.2
RATE_INTERVAL = "1s"
PATIENCE_SECONDS = 30
# Values of the panel of the lock.
NOT_OWNED, OWNED, FENCING = 0, 1, 3
# What the scenario does not have: nothing else may be empty.
RIGHTLY_EMPTY = {"Answers that are not GOOD: {{kind}} medium error"}


def replace_variables(query):
    """As Grafana does it with all of everything selected."""
    return re.sub(r"\$(gateway|pool|image|operation)\b", ".*", query.replace("$__rate_interval", RATE_INTERVAL))


class DashboardTest(copying.CopyTestCase):
    daemon_options = {"config": f"metrics: {{address: 0.0.0.0, port: {PORT}}}\n"}

    def setUp(self):
        if not shutil.which("prometheus"):
            self.skipTest("Prometheus is missing: install what packaging/deps.sh --list check prints")
        super().setUp()
        with open(f"{MONITORING}/tcmu-rbd.dashboard.json", encoding="utf-8") as file:
            self.board = json.load(file)
        self.image, self.osd, placement = image_beside_an_osd(self.cluster, (self.image_name() for _ in range(200)), SIZE)
        blocks = placement.object_size // 512
        self.stuck = placement.objects_on(self.osd)[0] * blocks
        self.healthy = next(n for n in range(placement.object_count) if placement.data(n) != self.osd) * blocks
        device, target = self.lun(SIZE, image=self.image, create=False, control=copying.CONTROL)
        self.here = self.session(target)
        second, _, target = self.peer(device)
        self.there = self.session(target)
        self.gateways = [self.gateway, second]
        self.prometheus = Prometheus([f"{each.address}:{PORT}" for each in self.gateways], f"{1000 * SCRAPE_SECONDS:.0f}ms",
                                     f"{MONITORING}/tcmu-rbd.rules.yaml").start()
        self.addCleanup(self.prometheus.stop)

    def load(self, session, seconds):
        """A little of everything, beside the OSD that hangs."""
        data, until = self.random.randbytes(512 * BLOCKS), time.monotonic() + seconds
        while time.monotonic() < until:
            lba = self.healthy + BLOCKS * self.random.randrange(64)
            recovery.write(session, lba, data)
            for _ in range(3):
                recovery.read(session, lba, BLOCKS)
            self.good(session, cdb.unmap(), cdb.unmap_parameters(self.healthy + 4096, 128))
            self.good(session, cdb.write_same16(self.healthy + 2048, 128), bytes(512))
            session.command(cdb.read16(SIZE // 512, 1), read=512)  # out of range: CHECK CONDITION
            session.linger(0.1)

    def copy_some(self):
        name = self.name(self.here)
        first = self.healthy // copying.BLOCKS
        self.copy(self.here, [name], [(0, 0, copying.BLOCKS, first * copying.BLOCKS, (first + 2) * copying.BLOCKS)]).wait().good()

    def run_scenario(self):
        self.load(self.here, 6)
        self.copy_some()
        self.good(self.here, cdb.synchronize_cache10())
        self.hang(self.cluster.osds[self.osd])
        data = bytes(512 * BLOCKS)
        stuck = [self.here.submit(cdb.write16(self.stuck + BLOCKS * n, BLOCKS), data=data) for n in range(4)]
        stuck.append(self.here.submit(cdb.write16(self.stuck, BLOCKS), data=data))
        self.load(self.here, 6)
        self.assertFalse([str(each) for each in stuck if each.done], "they hang")
        aborts = [self.here.abort(each) for each in stuck]
        self.here.poll(lambda: all(each.done for each in aborts), PATIENCE_SECONDS, "the aborts are answered")
        self.here.forget(*stuck)
        self.load(self.here, 9)
        self.load(self.there, 4)
        self.resume(self.cluster.osds[self.osd])
        self.load(self.there, 3)

    def answers(self, begin):
        """The panels of the dashboard, each target with the series of its answer."""
        end, panels = time.time(), []
        for panel in self.board["panels"]:
            targets = [{**target, "series": self.prometheus.range(replace_variables(target["expr"]), begin, end, SCRAPE_SECONDS)}
                       for target in panel.get("targets", ())]
            panels.append({**panel, "targets": targets})
        directory = os.environ.get("LAB_DASHBOARD")
        if directory:
            os.makedirs(directory, exist_ok=True)
            with open(f"{directory}/answers.json", "w", encoding="utf-8") as file:
                json.dump({"begin": begin, "end": end, "step": SCRAPE_SECONDS, "panels": panels}, file)
        return panels

    def test_each_panel_has_its_answer(self):
        begin = time.time()
        self.run_scenario()
        time.sleep(2 * SCRAPE_SECONDS)
        self.panels = self.answers(begin)
        empty = {f"{panel['title']}: {target['legendFormat']}" for panel in self.panels for target in panel["targets"]
                 if not any(value == value for _, values in target["series"] for _, value in values)}
        self.assertEqual(empty, RIGHTLY_EMPTY)
        self.assert_values()
        self.assert_rules(begin)

    # --- what the panels say ---

    def values(self, title, legend):
        """The values of each series of a panel's target, by its labels in the legend."""
        panel = next(each for each in self.panels if each["title"] == title)
        target = next(each for each in panel["targets"] if each["legendFormat"] == legend)
        names = re.findall(r"{{(\w+)}}", legend)
        return {tuple(labels[name] for name in names): [value for _, value in values] for labels, values in target["series"]}

    def highest(self, title):
        return max(self.values(title, "")[()])

    def assert_values(self):
        self.assertEqual(self.values("LUNs served", "")[()][-1], 2)
        self.assertEqual(self.highest("LUNs not served"), 0)
        self.assertGreaterEqual(self.highest("Fences, 24 h"), 1)
        self.assertGreaterEqual(self.highest("Aborted commands, 1 h"), 5)
        self.assertGreater(self.highest("Oldest command"), 5)
        self.assertEqual(set(self.values("Size of images", "{{pool}}")["rbd",]), {SIZE})
        hung = self.values("Hung commands by OSD", "osd.{{osd}}")
        self.assertGreaterEqual(max(hung[str(self.osd),]), 4)
        self.assertLessEqual(set(hung), {(str(self.osd),), ("unknown",)})
        lock = self.values("Lock of each image, by gateway", "{{pool}}/{{image}} {{instance}}")
        first, second = (lock["rbd", self.image, f"{each.address}:{PORT}"] for each in self.gateways)
        self.assertIn(OWNED, first)
        self.assertIn(FENCING, first)
        self.assertEqual((first[-1], second[-1]), (NOT_OWNED, OWNED))

    def assert_rules(self, begin):
        rules = [rule for group in self.prometheus.api("rules")["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 9)
        for rule in rules:
            self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
        alerts = {labels["alertname"] for labels, _ in self.prometheus.range("ALERTS", begin, time.time(), SCRAPE_SECONDS)}
        self.report(f"alerts that were pending: {', '.join(sorted(alerts))}")
        self.assertIn("TcmuRbdOsdHangs", alerts)


if __name__ == "__main__":
    testing.main(osds=3)
