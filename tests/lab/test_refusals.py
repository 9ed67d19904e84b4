#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Devices that cannot be served are refused in time with a clear message, and working devices are not affected."""

import string
import time

from lib import cdb, cluster, testing
from lib.lio import Device, EnableFailed

MIB = 1 << 20
# rtslib and ceph-iscsi give up after this.
REFUSAL_SECONDS = 30
NO_MONITOR = r"cannot serve the device: .*no monitor answered within \d+ s at \[v2:"


class RefusalsTest(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        self.healthy = self.session(self.iscsi(self.device(16 * MIB)))
        self.healthy.write(0, bytes(512))
        self.log_start = len(self.daemon.log())

    def refuse(self, image, options="", reason=None, **device):
        """Enables a device that cannot work; a healthy one is used all the while."""
        started = time.monotonic()
        attempt = testing.Background(self.lab.device, self.gateway, image, 16 * MIB, create=False, options=options,
                                     name=device.pop("name", "refused"), **device)
        slowest = 0
        while attempt.is_alive():
            begun = time.monotonic()
            data = self.random.randbytes(512)
            self.healthy.write(1, data)
            self.assertEqual(self.healthy.read(1, 1), data)
            slowest = max(slowest, time.monotonic() - begun)
        with self.assertRaises(EnableFailed):
            attempt.result()
        self.assertLess(time.monotonic() - started, REFUSAL_SECONDS)
        self.assertLess(slowest, 5, "a healthy device waited for one that was being refused")
        if reason:
            self.daemon.wait_log(reason, 5, self.log_start)
        self.assert_still_serving()

    def assert_still_serving(self):
        self.assert_daemon_lives()
        self.healthy.command(cdb.test_unit_ready()).good()
        self.assertFalse(self.gateway.files(["exists", "/sys/kernel/config/target/core/user_0/refused"])[0])

    def conf(self, name, **changes):
        """Another ceph.conf, where the gateway sees it too."""
        return self.cluster.write_conf(f"{self.gateway.directory}/{name}", **changes)

    def test_missing_image(self):
        self.refuse("nosuch", reason=r"(?i)nosuch.*(no such|not exist|not found)")

    def test_missing_pool(self):
        device = Device(self.gateway, "refused", "rbd/nopool/image", 16 * MIB).create()
        with self.assertRaises(EnableFailed):
            device.enable(REFUSAL_SECONDS)
        device.delete()
        self.daemon.wait_log(r"(?i)nopool.*(no such|not exist|not found)", 5, self.log_start)
        self.assert_still_serving()

    def test_wrong_key(self):
        self.cluster.create_image("locked", 16 * MIB)
        keyring = f"{self.gateway.directory}/wrong.keyring"
        with open(keyring, "w", encoding="utf-8") as file:
            file.write(cluster.keyring_entry("client.admin", cluster.new_key()))
        self.refuse("locked", f";conf={self.conf('wrong.conf', keyring=keyring)}",
                    reason=r"(?i)(permission|not permitted|denied|authenticat|\bkey\b)")

    def test_unknown_user(self):
        self.refuse("locked", ";id=nobody", reason=r"(?i)(nobody|keyring|no such|permission|authenticat)")

    def test_missing_conf(self):
        self.refuse("any", ";conf=/nosuch/ceph.conf", reason=r"/nosuch/ceph\.conf")

    def test_closed_monitor_port(self):
        conf = self.conf("closed.conf", mon_host="[v2:10.99.0.1:13399,v1:10.99.0.1:16799]")
        self.refuse("any", f";conf={conf}", reason=NO_MONITOR)

    def test_monitor_address_without_a_machine(self):
        conf = self.conf("nobody.conf", mon_host="[v2:10.99.0.99:13300,v1:10.99.0.99:16789]")
        self.refuse("any", f";conf={conf}", reason=NO_MONITOR)

    def test_hung_monitor(self):
        self.cluster.create_image("waiting", 16 * MIB)
        self.cluster.mon.hang()
        try:
            self.refuse("waiting", reason=NO_MONITOR)
        finally:
            self.cluster.mon.resume()
        self.wait_until(self.enable_works, 60, "the device is served when the monitor is back")

    def enable_works(self):
        try:
            self.lab.device(self.gateway, "waiting", 16 * MIB, create=False).delete()
            return True
        except EnableFailed:
            return False

    def test_hung_osd(self):
        self.cluster.create_image("stuck", 16 * MIB)
        self.cluster.osds[0].hang()
        try:
            started = time.monotonic()
            with self.assertRaises(EnableFailed):
                self.lab.device(self.gateway, "stuck", 16 * MIB, create=False)
            self.assertLess(time.monotonic() - started, REFUSAL_SECONDS)
        finally:
            self.cluster.osds[0].resume()
        self.assert_still_serving()
        self.lab.device(self.gateway, "stuck", 16 * MIB, create=False).delete()

    def test_unknown_option(self):
        self.cluster.create_image("optional", 16 * MIB)
        self.refuse("optional", ";colour=blue", reason="colour")
        self.refuse("optional", ";osd_op_timeout=soon", reason="osd_op_timeout")

    def test_garbage(self):
        letters = (string.ascii_letters + string.digits + "/;=@.-_ %#!\\\"'").replace(",", "")
        for length in (0, 1, 20, 251, 251, 251):
            garbage = "".join(self.random.choice(letters) for _ in range(length))
            with self.subTest(garbage=garbage):
                device = Device(self.gateway, "refused", f"rbd/{garbage}", 16 * MIB).create()
                with self.assertRaises(EnableFailed):
                    device.enable(REFUSAL_SECONDS)
                device.delete()
        self.assert_still_serving()

    def test_image_of_another_size(self):
        """Hosts see LIO's dev_size: if it is larger than the image, it includes blocks that do not exist."""
        self.cluster.create_image("small", 8 * MIB)
        device = Device(self.gateway, "sized", "rbd/rbd/small", 16 * MIB).create()
        try:
            device.enable()
        except EnableFailed:
            device.delete()
            return
        self._remove_later(device.gateway, device.delete)
        session = self.session(self.iscsi(device, iqn="iqn.2026-11.lab:sized"))
        self.assertNotEqual(session.command(cdb.read16(8 * MIB // 512, 1), read=512).status, 0)
        self.assert_still_serving()


if __name__ == "__main__":
    testing.main()
