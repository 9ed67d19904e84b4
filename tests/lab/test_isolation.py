#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever end a lab comes to, nothing of it is left on the machine. Runs outside a lab, and starts labs to kill them."""

import os
import signal
import subprocess
import sys
import unittest

from lib import isolation, network
from lib.lab import Lab
from lib.traces import inner_world, machine_state, processes_in


def small_body():
    network.create_bridge()
    with open(f"{isolation.directory()}/file", "w", encoding="utf-8") as file:
        file.write("gone with the lab")
    subprocess.Popen(["setsid", "sleep", "1000"])
    print("up", flush=True)
    signal.pause()


def full_body():
    with Lab("tcmu-runner") as lab:
        lab.daemon(lab.gateway()).start()
        print("up", flush=True)
        signal.pause()


class LabEndTest(unittest.TestCase):
    def start(self, body):
        process = subprocess.Popen([sys.executable, __file__, body], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "up\n")
        init, world = inner_world(process.pid)
        self.assertGreaterEqual(len(processes_in(world)), 3)
        return process, init, world

    def assert_gone(self, process, world, before):
        process.wait(30)
        isolation.wait_until(lambda: not processes_in(world), 15, "all processes of the lab are gone")
        self.assertEqual(machine_state(), before)

    def test_kill_of_a_whole_lab(self):
        before = machine_state()
        process, _, world = self.start("full_body")
        self.assertGreater(len(processes_in(world)), 5)
        process.kill()
        self.assert_gone(process, world, before)

    def test_kill_of_the_inner_init(self):
        before = machine_state()
        process, init, world = self.start("small_body")
        os.kill(init, signal.SIGKILL)
        self.assert_gone(process, world, before)

    def test_signals_end_it_with_a_status(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                before = machine_state()
                process, _, world = self.start("small_body")
                process.send_signal(number)
                self.assert_gone(process, world, before)
                self.assertEqual(process.returncode, 130)

    def test_ctrl_c_reaches_all_of_its_process_group(self):
        before = machine_state()
        process, _, world = self.start("small_body")
        os.killpg(process.pid, signal.SIGINT)
        self.assert_gone(process, world, before)
        self.assertEqual(process.returncode, 130)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] in ("small_body", "full_body"):
        isolation.run(globals()[sys.argv[1]])
    unittest.main(verbosity=2)
