#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The static probes of the binaries against packaging/trace: README.md lists them all with their arguments, and the scripts use only
what there is. Where this machine has bpftrace and uprobes, the scripts also trace the unit tests of the Device.

    python3 tests/unit/probes_test.py BUILD_FOLDER
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRACE = ROOT / "packaging/trace"
SCRIPTS = sorted(TRACE.glob("*.bt"))
DAEMON = "/usr/bin/tcmu-rbd"
BUILD = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ROOT / "build")


def run(*argv, **options):
    return subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False, timeout=60, **options)


def probes_of(binary):
    """{probe: {how many arguments each of its places has}}"""
    found = {}
    for note in run("readelf", "--notes", "--wide", binary).stdout.split("Provider: ")[1:]:
        provider, name = re.match(r"(\w+)\s+Name: (\w+)", note).groups()
        if provider == "tcmu_rbd":
            arguments = re.search(r"Arguments: (.*)", note)
            found.setdefault(name, set()).add(len(re.findall(r"(?:^| )-?\d+@", arguments[1])) if arguments else 0)
    return found


def table(begin):
    """The rows of the table in README.md whose header begins so."""
    text = (TRACE / "README.md").read_text()
    rows = text[text.index(f"\n| {begin}"):].split("\n\n")[0].strip().split("\n")[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def documented():
    return {name.strip("`"): arguments.split(", ") for name, _, arguments in table("probe |")}


def numbers(name):
    """{number: text} of an argument."""
    row = next(text for names, text in table("number |") if f"`{name}`" in names)
    return {int(number): text for number, text in re.findall(r"(\d+) ([^,;]+)", row)}


def clauses(script):
    """(probe, its filter and body) of each clause."""
    text = re.sub(r"//.*", "", script.read_text())
    return re.findall(rf"usdt:{DAEMON}:tcmu_rbd:(\w+)\n(.*?)\n}}\n", text, re.DOTALL)


def names_in(script, map_name):
    return {int(number): text for number, text in re.findall(rf'@{map_name}\[(\d+)\] = "(\w+)"', script.read_text())}


def enumerators(header, name):
    """Of `enum class NAME`, in their order, without the k: ["Unowned", ...]."""
    text = re.sub(r"//.*", "", (ROOT / header).read_text())
    return re.findall(r"\bk(\w+)", re.search(rf"enum class {name} : \w+ {{(.*?)}};", text, re.DOTALL)[1])


def array(header, name):
    """The texts of a constexpr array."""
    return re.findall(r'"(\w+)"', re.search(rf"{name}{{(.*?)}};", (ROOT / header).read_text(), re.DOTALL)[1])


class ProbesTest(unittest.TestCase):
    def test_the_binary_has_what_is_documented(self):
        self.assertEqual(probes_of(BUILD / "tcmu-rbd"), {name: {len(arguments)} for name, arguments in documented().items()})

    def test_scripts_use_what_there_is(self):
        self.assertEqual(len(SCRIPTS), 3)
        for script in SCRIPTS:
            found = clauses(script)
            self.assertEqual(len(found), script.read_text().count("\nusdt:"), f"{script.name}: a clause that this test cannot read")
            for name, body in found:
                with self.subTest(script=script.name, probe=name):
                    self.assertLess(max(map(int, re.findall(r"\barg(\d+)", body))), len(documented()[name]))

    def test_numbers_mean_what_the_code_says(self):
        operations = dict(enumerate(array("rbd_handler/scsi/operation.h", "kOperationNames")))
        causes = dict(enumerate(array("rbd_handler/lock/fence_cause.h", "kFenceCauseNames")))
        states = {i: name.lower() for i, name in enumerate(enumerators("rbd_handler/lock/lock_state.h", "State"))}
        self.assertEqual(numbers("operation"), operations)
        self.assertEqual(numbers("cause"), causes)
        self.assertEqual(numbers("before"), states)
        for script in SCRIPTS:
            for name, expected in (("operation", operations), ("cause", causes), ("state", states), ("management", numbers("type"))):
                if f"@{name}[" in script.read_text():
                    self.assertEqual(names_in(script, name), expected, f"{script.name}: {name}")
        stages = enumerators("rbd_handler/task/ladder.h", "TaskState")
        self.assertEqual([stages[number] for number in sorted(numbers("stage"))],
                         ["AwaitingLock", "Backlog", "AwaitingRange", "InImage", "Detached", "Orphaned"])


class TracedTest(unittest.TestCase):
    """The Device's unit tests have the same probes."""

    def setUp(self):
        self.traced = BUILD / "device_test"
        if shutil.which("bpftrace") is None or os.geteuid() != 0:
            self.skipTest("needs bpftrace and root")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        probe = self.trace("probe", f"usdt:{self.traced}:tcmu_rbd:taken {{ @taken = count(); }}", "FlightStory.OfACommandThatEndsWell")
        if "@taken: " not in probe:
            self.skipTest(f"bpftrace cannot trace here: {probe[-200:]}")

    def trace(self, name, text, tests, *arguments):
        path = f"{self.folder}/{name}.bt"
        pathlib.Path(path).write_text(text.replace(DAEMON, str(self.traced)))
        done = run("unshare", "--mount", "sh", "-c", 'mount -t tracefs none /sys/kernel/tracing 2> /dev/null; exec bpftrace "$@"', "sh",
                   "-c", f"{self.traced} --gtest_filter={tests}", path, *arguments)
        return done.stdout + done.stderr

    def script(self, name, tests, *arguments):
        return self.trace(name, (TRACE / f"{name}.bt").read_text(), tests, *arguments)

    def test_latency(self):
        shown = self.script("latency", "FlightStory.*")
        self.assertRegex(shown, r"@command_us\[user_0/disk1, write\]:")
        self.assertRegex(shown, r"@image_op_us\[user_0/disk1, read\]:")
        self.assertIn("[2K, 4K)", shown, "the write of 3 ms")

    def test_slow(self):
        shown = self.script("slow", "FlightStory.*", 3)
        line = r"user_0/disk1 +\d+ write +{} +0 +0 +{} +0 +{}\n"
        self.assertRegex(shown, line.format(3, 3, 0))
        self.assertRegex(shown, line.format(500, 500, 40))
        self.assertNotRegex(shown, r"user_0/disk1 +\d+ read")

    def test_lock(self):
        shown = self.script("lock", "FlightStory.*")
        self.assertRegex(shown, r"user_0/disk1 +lock: unowned -> \w+")
        self.assertRegex(shown, r"user_0/disk1 +ABORT_TASK of 1 commands\n")
        self.assertRegex(shown, r"user_0/disk1 +fence: unknown_outcome\n")


if __name__ == "__main__":
    unittest.main()
