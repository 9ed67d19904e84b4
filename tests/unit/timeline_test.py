#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The picture of tests/lab/timeline: drawn from a record, with its figures as text; the same record gives the same bytes."""

import copy
import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "lab")
SVG = "{http://www.w3.org/2000/svg}"
RECORD = {
    "daemon": "tcmu-rbd", "versions": {"daemon": "1.2", "kernel": "6.1", "ceph": "16.2"}, "abort_after": 3, "writes_per_second": 20,
    "stopped": 5, "failed_over": 18, "resumed": 25, "ended": 33,
    "writes": [{"writer": "healthy 0", "sent": sent, "answered": sent + 0.004, "tries": 1} for sent in (0.5, 4.5, 9.5, 19)]
    + [{"writer": "healthy 0", "sent": 13.1, "answered": 14.1, "tries": 1},
       {"writer": "stuck 0", "sent": 5.5, "answered": 25.2, "tries": 3}],
    "aborts": [{"writer": "stuck 0", "path": 0, "sent": 8.5, "answered": 8.507, "response": 0},
               {"writer": "stuck 0", "path": 0, "sent": 18, "answered": 18.002, "response": 0}],
    "gateways": [[{"at": 13, "what": "lock: fencing"}, {"at": 13.5, "what": "lock: reopening"}, {"at": 14, "what": "lock: owned"}], []],
}


def peer():
    record = copy.deepcopy(RECORD) | {"daemon": "tcmu-runner", "gateways": []}
    for each in (*record["aborts"], record["writes"][3]):
        each["answered"] = 25.5
    return record


def load():
    sys.path.insert(0, f"{LAB}/timeline")
    try:
        import draw
    except ModuleNotFoundError as missing:
        raise unittest.SkipTest(f"{missing}: install what packaging/deps.sh --list check prints") from None
    return draw


class TimelineTest(unittest.TestCase):
    def setUp(self):
        self.draw = load()

    def texts(self, svg):
        return [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]

    def test_its_texts(self):
        texts = self.texts(self.draw.draw([RECORD, peer()]))
        for each in ("tcmu-rbd 1.2", "2 ABORT TASKs, each answered within 7 ms", "fence: 1.0 s", "after 1.0 s",
                     "tcmu-runner 1.2", "2 ABORT TASKs, none answered until the OSD resumes: up to 17 s", "until the OSD resumes",
                     "seconds since the OSD stopped"):
            self.assertEqual(texts.count(each), 1, f"{each}: {texts}")
        self.assertEqual(texts.count("one of three OSDs does not answer"), 2)

    def test_each_write_is_a_dot(self):
        more, few = self.draw.draw([RECORD]), self.draw.draw([RECORD | {"writes": RECORD["writes"][1:]}])
        self.assertEqual(more.count("h.01") - few.count("h.01"), 1)

    def test_the_same_record_gives_the_same_bytes(self):
        self.assertEqual(self.draw.draw([RECORD]), self.draw.draw([RECORD]))
        self.assertNotIn("date", self.draw.draw([RECORD]))

    def test_the_committed_picture(self):
        """Small, without scripts or references to elsewhere."""
        with open(f"{LAB}/timeline/timeline.svg", encoding="utf-8") as file:
            svg = file.read()
        self.assertLess(len(svg), 60_000)
        for element in ElementTree.fromstring(svg).iter():
            self.assertNotIn(element.tag, {f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject"})
            for name, value in element.attrib.items():
                self.assertFalse(name.endswith("href") and not value.startswith("#"), f"{name}={value}")


if __name__ == "__main__":
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):  # which has Debian's matplotlib
        sys.exit(subprocess.call(["/usr/bin/python3", *sys.argv]))
    unittest.main()
