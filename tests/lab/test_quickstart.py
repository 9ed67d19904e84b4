#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The quickstart as a person runs it; with --host too, where a user-mode kernel plays the host."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

from lib import isolation
from lib.lab import Lab, daemon_under_test
from lib.initiator import tool
from lib.traces import inner_world, machine_state, processes_in

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
QUICKSTART = f"{ROOT}/packaging/quickstart.sh"
IQN = "iqn.2026-11.tcmu-rbd:quickstart"
ENVIRONMENT = {**os.environ, "TCMU_RBD": daemon_under_test()}


def run(*arguments):
    return subprocess.run([QUICKSTART, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=280)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def host_body():
    """--host inside a gateway: a machine with TCMU and a ceph.conf, as far as the quickstart can see."""
    copy = f"{isolation.directory()}/source"
    for part in ("packaging", "tests/lab"):
        shutil.copytree(f"{ROOT}/{part}", f"{copy}/{part}")
    kind = daemon_under_test()
    if os.path.isabs(kind):
        kind = shutil.copy(kind, f"{copy}/tcmu-rbd")
    with Lab() as lab:
        gateway = lab.gateway()
        before = gateway.output("find /sys/kernel/config/target -mindepth 3; ls /run")
        output = gateway.output(f"TCMU_RBD={kind} python3 {copy}/packaging/quickstart.py --host --size 64", timeout=240)
        print(output)
        assert "were read three ways" in output, output
        after = gateway.output("find /sys/kernel/config/target -mindepth 3; ls /run")
        left = [line for line in set(after.splitlines()) - set(before.splitlines()) if "quickstart" in line]
        assert not left, left
        assert lab.cluster.rbd("ls").stdout == b"", "its image is left"
        status, output = gateway.run(f"CEPH_CONF=/nosuch TCMU_RBD={kind} python3 {copy}/packaging/quickstart.py --host", check=False)
        assert status == 1 and "there is no /nosuch" in output, output


class QuickstartTest(unittest.TestCase):
    def test_it_shows_the_main_job_and_vanishes(self):
        before = machine_state()
        done = run("--size", "128")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("128 MiB were read three ways", done.stdout.replace("\n", " "))
        self.assertIn("all the same", done.stdout)
        self.assertEqual(machine_state(), before)

    def test_kept_running_it_takes_initiators_until_ctrl_c(self):
        before, port = machine_state(), free_port()
        process = subprocess.Popen([QUICKSTART, "--keep", "--size", "64", "--port", str(port)], env=ENVIRONMENT,
                                   stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(process.stdout.close)
        output = ""
        while "Stop with" not in output:
            line = process.stdout.readline()
            self.assertTrue(line, f"it ended:\n{output}")
            output += line
        self.assertIn(f"iscsi-inq iscsi://127.0.0.1:{port}/{IQN}/0", output)
        tool("iscsi-inq", f"iscsi://127.0.0.1:{port}/{IQN}/0")
        ceph, gateway = [line.strip() for line in output.splitlines() if "nsenter" in line]
        self.assertIn("1 osds: 1 up", tool("bash", "-c", ceph).stdout)
        self.assertIn("sda", tool("bash", "-c", gateway).stdout)
        _, world = inner_world(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(30), 130)
        isolation.wait_until(lambda: not processes_in(world), 15, "all its processes are gone")
        self.assertEqual(machine_state(), before)

    def test_on_this_host(self):
        done = subprocess.run([sys.executable, __file__, "host_body"], env=ENVIRONMENT, capture_output=True, text=True, timeout=280)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_host_without_tcmu_or_cluster_is_told_so(self):
        if os.path.isdir("/sys/module/target_core_user"):
            self.skipTest("this host's kernel has TCMU")
        done = run("--host")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no module target_core_user", done.stderr)

    def test_help(self):
        self.assertIn("--keep", run("--help").stdout)

    def test_bad_options_are_told_before_anything_is_done(self):
        size = "it takes 16 to 4096"
        for options, said in ((["--size", "much"], size), (["--size", "1"], size), (["--bogus"], "--bogus")):
            done = run(*options)
            self.assertEqual((done.returncode, done.stdout), (2, ""), options)
            self.assertIn(said, done.stderr)

    def test_a_port_in_use_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = run("--keep", "--port", str(taken.getsockname()[1]))
        self.assertEqual(done.returncode, 1)
        self.assertIn("Address already in use; choose another one with --port", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    if sys.argv[1:] == ["host_body"]:
        isolation.run(host_body)
    unittest.main(verbosity=2)
