#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel waits for the daemon's replies without a limit: recovery after a daemon that dies without replying."""

from lib import testing
from lib.channel import FileError, LabError
from lib.lio import Device, EnableFailed

MIB = 1 << 20
# From the start of the new daemon until a stuck administrator's command ends.
RELEASE_SECONDS = 30


class NetlinkTest(testing.LabTestCase):
    def die_owing(self, operation):
        """Freezes the daemon, lets `operation` wait for it in the kernel, kills the daemon, starts another."""
        self.daemon.signal("STOP")
        waiting = testing.Background(operation)
        self.wait_until(self.kernel_waits, 30, "the operation waits in the kernel")
        self.daemon.kill()
        self.assertTrue(waiting.is_alive(), "it still waits, for a daemon that is dead")
        self.daemon.start()
        return waiting

    def kernel_waits(self):
        stacks = self.gateway.run("cat /proc/[0-9]*/task/*/stack 2> /dev/null", check=False)[1]
        if "tcmu_" in stacks:
            return True
        # A kernel without stack traces: an uninterruptible thread of the agent is the one.
        return self.gateway.run("cat /proc/[0-9]*/task/*/stat | grep -c ') D '", check=False)[1].strip() not in ("", "0")

    def test_enable_stuck_behind_a_dead_daemon(self):
        self.cluster.create_image("stuck", 16 * MIB)
        device = Device(self.gateway, "stuck", "rbd/rbd/stuck", 16 * MIB).create()
        waiting = self.die_owing(lambda: device.enable(120))
        try:
            waiting.result(RELEASE_SECONDS)
        except EnableFailed:
            device.enable()  # refused when the new daemon came: the retry has to work
        self.session(self.iscsi(device)).write(0, bytes(512))
        self.lab.daemons[0].restart()

    def test_resize_stuck_behind_a_dead_daemon(self):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        self.cluster.resize(device.name, 32 * MIB)
        waiting = self.die_owing(lambda: device.resize(32 * MIB, timeout=120))
        try:
            waiting.result(RELEASE_SECONDS)
        except FileError:
            device.resize(32 * MIB)
        self.assert_sense(session.command(bytes(6)), 6, 0x2A09)  # TEST UNIT READY: the capacity has changed
        self.assertEqual(session.capacity(), (32 * MIB // 512, 512))

    def test_removal_stuck_behind_a_dead_daemon(self):
        device = self.device(16 * MIB)
        before = self.cluster.watchers(device.name)
        waiting = self.die_owing(lambda: device.delete(120))
        try:
            waiting.result(RELEASE_SECONDS)
        except FileError:
            pass
        self.assertFalse(self.gateway.files(["exists", device.path])[0])
        # The dead daemon's watch stays for the cluster's timeout of 30 s; that of a live one would stay forever.
        self.wait_until(lambda: set(self.cluster.watchers(device.name)) <= set(before), 20, "no living daemon has the image open")
        self.session(self.iscsi(self.device(16 * MIB, image="after"))).write(0, bytes(512))

    def test_enabled_while_no_daemon_runs(self):
        self.cluster.create_image("early", 16 * MIB)
        device = Device(self.gateway, "early", "rbd/rbd/early", 16 * MIB).create()
        self._remove_later(self.gateway, device.delete)
        self.assertEqual(self.daemon.stop(), 0)  # which makes the kernel not wait for replies
        device.enable(RELEASE_SECONDS)
        self.daemon.start()
        self.session(self.iscsi(device)).write(0, bytes(512))

    def test_a_device_that_cant_be_served_is_blocked(self):
        """Found at the start with a dev_config that says nothing: BUSY at once, not a time-out for each command."""
        device = Device(self.gateway, "unclear", "rbd/rbd/", 16 * MIB).create()
        self._remove_later(self.gateway, device.delete)
        self.assertEqual(self.daemon.stop(), 0)
        device.enable(RELEASE_SECONDS)
        self.daemon.start()
        self.daemon.wait_log("unclear: blocked, initiators get BUSY")
        target = self.iscsi(device)
        with self.assertRaisesRegex(LabError, "BUSY"):  # the library asks the LUN before it says that it is logged in
            self.session(target)


if __name__ == "__main__":
    testing.main()
