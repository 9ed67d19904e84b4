#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lab proves itself with a daemon that is known: tcmu-runner. What fails here is the lab's fault, not tcmu-rbd's."""

import hashlib
import pathlib
import subprocess
import time

from lib import isolation, testing
from lib.channel import GuestTimeout
from lib.initiator import Fio, OpenIscsi, tool
from lib.lab import Lab
from lib.lio import EnableFailed

MIB = 1 << 20


class LabTest(testing.LabTestCase):
    def test_written_over_iscsi_is_what_the_cluster_has(self):
        device = self.device(32 * MIB)
        target = self.iscsi(device)
        self.assertIn("TCMU device", tool("iscsi-inq", target.url()).stdout)
        initiator = OpenIscsi(self.gateway, target).login()
        self.addCleanup(initiator.logout)
        Fio(self.gateway, initiator.disk(), bs="64k", size="8M", offset="4M").run()
        exported = self.cluster.export(device.name)
        self.assertNotEqual(exported.count(0), len(exported))
        self.assertEqual(hashlib.sha256(exported).hexdigest(), self.sha256(initiator.disk()))

    def test_local_disk(self):
        device = self.device(16 * MIB)
        disk = self.loop(device).disk()
        self.gateway.run(f"printf 'over the loop' | dd of={disk} bs=512 conv=sync oflag=direct")
        self.assertTrue(self.cluster.export(device.name).startswith(b"over the loop"))

    def test_restarted_daemon_serves_on(self):
        device = self.device(16 * MIB)
        target = self.iscsi(device)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(self.daemon.alive())
        self.daemon.start()
        tool("iscsi-inq", target.url())
        self.assertEqual(self.daemon.kill(), -9)
        self.daemon.start()
        tool("iscsi-inq", target.url())

    def test_commands_run_side_by_side(self):
        started = time.monotonic()
        self.gateway.run("(sleep 30; echo late) > /dev/null 2>&1 &")
        with self.assertRaises(GuestTimeout):
            self.gateway.run("sleep 30", timeout=1)
        self.assertEqual(self.gateway.run("echo one; exit 3", check=False), (3, "one\n"))
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual(self.gateway.output("pgrep -fc '^sleep 30$'"), "1", "the command that was given up still runs")

    def test_host_files_are_read_only(self):
        for path in ("/root/file", "/usr/bin/file", self.cluster.conf):
            status, output = self.gateway.run(f"touch {path}", check=False)
            self.assertEqual(status, 1)
            self.assertIn("Read-only file system", output)
        self.gateway.run("touch /tmp/file /run/gw/file /var/log/file")

    def test_hung_osd_holds_writes_until_it_resumes(self):
        device = self.device(16 * MIB)
        disk = self.loop(device).disk()
        write = f"dd if=/dev/zero of={disk} bs=4k count=1 oflag=direct status=none"
        self.gateway.run(write)
        self.cluster.osds[0].hang()
        self.gateway.run(f"({write}; touch /run/written) > /dev/null 2>&1 &")
        with self.assertRaises(TimeoutError):
            isolation.wait_until(lambda: self.gateway.files(["exists", "/run/written"])[0], 2, "the write ends")
        self.cluster.osds[0].resume()
        self.wait_until(lambda: self.gateway.files(["exists", "/run/written"])[0], 20, "the write ends")

    def test_frozen_dead_and_booted_again(self):
        self.gateway.freeze()
        with self.assertRaises(GuestTimeout):
            self.gateway.run("true", timeout=1)
        self.gateway.thaw()
        self.gateway.run("true", timeout=10)
        process = self.gateway.process.pid
        self.gateway.kill()
        group = subprocess.run(["ps", "-o", "pid=", "-g", str(process)], capture_output=True, text=True).stdout
        self.assertEqual(group.strip(), "")
        self.gateway.boot()
        self.daemon.start()
        self.assertEqual(self.gateway.output("hostname"), "gw0")

    def test_a_kernels_fault_fails_the_test(self):
        for fault in ("WARNING: CPU: 1 PID: 7 at lib/refcount.c:28 refcount_warn_saturate+0xf0/0x150",
                      "refcount_t: underflow; use-after-free.", "BUG: unable to handle page fault for address: dead000000000100",
                      "kernel BUG at drivers/target/target_core_user.c:1234!", "watchdog: BUG: soft lockup - CPU#1 stuck for 26s!",
                      "INFO: task kworker/0:1:12 blocked for more than 120 seconds.",
                      "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "INFO: rcu_preempt self-detected stall on CPU"):
            with self.subTest(fault=fault):
                self.gateway.run(f"echo '<4>[in a test] {fault}' > /dev/kmsg")
                console = pathlib.Path(self.gateway.directory, "console")
                self.wait_until(lambda: fault.encode() + b"\n" in console.read_bytes().replace(b"\r", b""), 10, "the console has it")
                self.gateway.freeze()
                with self.assertRaisesRegex(AssertionError, "in a test"):
                    self._assert_kernels_are_content()
                self.gateway.thaw()
                self._assert_kernels_are_content()  # it fails one test, not all that follow

    def test_refused_device_is_an_error_and_leaves_nothing(self):
        with self.assertRaises(EnableFailed):
            self.device(16 * MIB, create=False, image="nosuch")

    def test_second_gateway_sees_the_first(self):
        second = self.healthy_gateway(1)
        self.addCleanup(second.kill)
        self.assertEqual(second.output("hostname"), "gw1")
        target = self.iscsi(self.device(16 * MIB))
        initiator = OpenIscsi(second, target).login()
        self.addCleanup(initiator.logout)
        second.run(f"dd if={initiator.disk()} of=/dev/null bs=4k count=1 iflag=direct")


if __name__ == "__main__":
    Lab.default_kind = "tcmu-runner"
    testing.main()
