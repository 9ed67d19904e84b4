#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Alert rules and dashboard: each metric and label that they name is in METRICS.md, promtool likes them, and each alert has a test."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
FOLDER = os.path.join(ROOT, "packaging/monitoring")
RULES, TESTS = "tcmu-rbd.rules.yaml", "tcmu-rbd.rules.test.yaml"
# Of Prometheus itself.
ADDED_LABELS = {"instance", "job"}
needs_promtool = unittest.skipUnless(shutil.which("promtool"), "promtool (Debian: prometheus) is not installed")


def content(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def documented():
    """The labels of each name that a query may use."""
    names = {}
    for name, kind, labels in re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| ([\w, ]*) \|", content("rbd_handler/metrics/METRICS.md")):
        own = set(filter(None, labels.split(", "))) | ADDED_LABELS
        if kind == "histogram":
            names |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
        else:
            names[name] = own
    return names


def expressions():
    """(where, query) of all rules and panels."""
    for rule in re.split(r"(?m)^ {6}- alert: ", content(f"packaging/monitoring/{RULES}"))[1:]:
        yield rule.split("\n")[0], re.search(r"(?s) expr: (?:>-)?(.*?)\n {8}(?:for|labels):", rule).group(1)
    for panel in json.loads(content("packaging/monitoring/tcmu-rbd.dashboard.json"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


class MonitoringTest(unittest.TestCase):
    def test_each_name_is_documented(self):
        names, used = documented(), set()
        self.assertGreater(len(names), 50)
        for where, query in expressions():
            found = re.findall(r"\b((?:tcmu_rbd|process)_\w+)\b(?:\{([^}]*)\})?", query)
            self.assertTrue(found or query.strip().startswith("up{"), where)
            for name, labels in found:
                self.assertIn(name, names, where)
                self.assertLessEqual(set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)), names[name], f"{where}: {name}")
                used.add(name)
        self.assertGreater(len(used), 30, "the dashboard shows most of them")

    def test_each_alert_says_what_to_do_and_is_tested(self):
        rules = re.split(r"(?m)^ {6}- alert: ", content(f"packaging/monitoring/{RULES}"))[1:]
        self.assertGreater(len(rules), 9)
        tests = content(f"packaging/monitoring/{TESTS}")
        for rule in rules:
            name = rule.split("\n")[0]
            self.assertRegex(rule, r"labels: \{severity: (warning|critical), type: tcmu_rbd\}", name)
            for annotation in ("summary", "description", "action"):
                self.assertRegex(rule, rf"(?m)^ {{10}}{annotation}: \S", f"{name}: {annotation}")
            self.assertRegex(tests, rf"\b{name}\b")

    def test_the_dashboard_is_sound(self):
        board = json.loads(content("packaging/monitoring/tcmu-rbd.dashboard.json"))
        panels = board["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        variables = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
        for panel in panels:
            self.assertTrue(panel["title"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
        for where, query in expressions():
            self.assertLessEqual(set(re.findall(r"(?<=[^\w])\$(\w+)", query)) - {"labels", "value"}, variables, where)
        cells = set()
        for place in (panel["gridPos"] for panel in panels):
            taken = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, f"two panels at {place}")
            cells |= taken

    @needs_promtool
    def test_promtool_accepts_all_queries(self):
        rules = [{"record": f"panel:{n}", "expr": query.replace("$__rate_interval", "5m")}
                 for n, (_, query) in enumerate(expressions())]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump({"groups": [{"name": "all", "rules": rules}]}, file)
            file.flush()
            self.promtool("check", "rules", file.name)

    @needs_promtool
    def test_promtool_runs_the_tests_of_the_rules(self):
        self.promtool("check", "rules", RULES)
        self.promtool("test", "rules", TESTS)

    def promtool(self, *arguments):
        done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
