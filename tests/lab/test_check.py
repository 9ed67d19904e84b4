#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tcmu-rbdctl check on real gateways: all is well, and each provoked state is named, in time, and without a trace."""

import json
import time

from lib import daemon, recovery, testing
from lib.lab import daemon_under_test
from lib.lio import Device
from lib.recovery import MIB

SIZE = 16 * MIB
# --timeout of the bounded runs, and what a user-mode kernel needs for the rest.
PATIENCE_SECONDS, REST_SECONDS = 5, 10
RUNNER_IN_MAP_SECONDS = 30


class CheckTest(recovery.RecoveryTestCase):
    def check(self, *arguments, gateway=None):
        """(status, {check: [(level, found, action), ...]})"""
        gateway = gateway or self.gateway
        words = " ".join(f"'{word}'" for word in arguments)
        status, output = gateway.run(f"{self.client(gateway)} check --json {words}", check=False)
        result = json.loads(output)
        findings = {}
        for each in result["findings"]:
            findings.setdefault(each["check"], []).append((each["level"], each["found"], each["action"]))
            if each["level"] != "OK":
                print(f"\n  {each['level']} {each['found']}; {each['action']}", end="", flush=True)
        levels = {each["level"] for each in result["findings"]}
        self.assertEqual(result["result"], "FAIL" if "FAIL" in levels else "WARN" if "WARN" in levels else "OK")
        self.assertEqual(status, 1 if "FAIL" in levels else 0, output)
        return status, findings

    def assert_found(self, findings, check, level, pattern):
        for found_level, found, action in findings[check]:
            if found_level == level:
                self.assertRegex(f"{found}; {action}", pattern)
                return
        self.fail(f"no {level} in {check}: {findings[check]}")

    def assert_all_ok(self, findings):
        self.assertEqual([each for some in findings.values() for each in some if each[0] != "OK"], [])

    def image(self, **options):
        name = self.image_name()
        self.cluster.create_image(name, SIZE, **options)
        return name

    def test_a_healthy_gateway(self):
        device = self.device(SIZE)
        self.session(self.iscsi(device))
        before = self.cluster.watchers(device.name)
        status, findings = self.check()
        self.assert_all_ok(findings)
        self.assertEqual(status, 0)
        self.assertIn("serves 1 devices", findings["daemon"][0][1])
        self.assertIn(device.name, findings["images"][0][1])
        self.assertEqual(self.cluster.watchers(device.name), before)
        text = self.gateway.output(f"{self.client(self.gateway)} check")
        self.assertRegex(text, r"(?m)^OK    kernel        Linux \S+$")
        self.assertRegex(text, r"\n\d+ OK, 0 WARN, 0 FAIL$")

    def test_without_a_daemon(self):
        device = self.device(SIZE)
        self.daemon.stop()
        self.addCleanup(self.daemon.start)
        _, findings = self.check()
        self.assert_all_ok(findings)
        self.assertIn("not running", findings["daemon"][0][1])
        self.assertIn(device.name, findings["images"][0][1])

    def test_settings_that_are_wrong(self):
        with open(f"{self.gateway.directory}/wrong.yaml", "w", encoding="utf-8") as file:
            file.write("log:\n  colour: blue\n")
        status, findings = self.check("--config", f"{self.gateway.shared}/wrong.yaml")
        self.assertEqual(status, 1)
        self.assert_found(findings, "settings", "FAIL", r"wrong\.yaml:2: unknown key")

    def test_users_that_may_too_little(self):
        image = self.image()
        self.cluster.add_user("unfencing", mon="allow r", osd="allow rwx pool=rbd")
        self.cluster.add_user("reading", mon="profile rbd", osd="profile rbd-read-only")
        self.cluster.add_user("enough", mon="profile rbd", osd="profile rbd")
        for user in ("nobody", "unfencing", "reading", "enough"):
            with self.subTest(user=user):
                objects = self.cluster.data_objects(image)
                status, findings = self.check("--image", f"rbd/rbd/{image};id={user}")
                self.assertEqual(status, 0 if user == "enough" else 1)
                if user == "nobody":
                    self.assert_found(findings, "clients", "FAIL", r"client\.nobody: .*(key|no such user)")
                elif user == "unfencing":
                    self.assert_found(findings, "clients", "FAIL", r"client\.unfencing may not blocklist.*mon 'profile rbd'")
                elif user == "reading":
                    self.assert_found(findings, "images", "FAIL", r"client\.reading cannot write to the pool: permission denied")
                else:
                    self.assert_all_ok({"clients": findings["clients"], "images": findings["images"]})
                self.assertEqual(self.cluster.data_objects(image), objects)
        self.assertEqual(self.cluster.read_object("tcmu-rbd.check"), b"")
        self.assertNotIn("tcmu-rbd.check", self.cluster.object_names())

    def test_images_that_are_refused(self):
        journaling = self.image(features=["exclusive-lock", "journaling"])
        unlocked = self.image(features=["layering"])
        cached = self.image()
        self.cluster.rbd("config", "image", "set", f"rbd/{cached}", "rbd_cache", "true")
        for image, level, pattern in ((journaling, "FAIL", "journaling.*rbd feature disable"),
                                      (unlocked, "WARN", f"rbd feature enable rbd/{unlocked} exclusive-lock"),
                                      (cached, "FAIL", "rbd_cache.*rbd config image rm"),
                                      ("missing", "FAIL", "does not exist")):
            with self.subTest(image=image):
                status, findings = self.check("--image", f"rbd/rbd/{image}")
                self.assertEqual(status, 1 if level == "FAIL" else 0)
                self.assert_found(findings, "images", level, pattern)

    def test_an_image_that_was_shrunk(self):
        device = self.device(SIZE)
        self.cluster.resize(device.name, SIZE // 2)
        _, findings = self.check()
        self.assert_found(findings, "images", "FAIL", f"has {SIZE // 2} bytes, the device {SIZE}")

    def test_a_device_of_another_handler(self):
        # Without a reply by netlink: its handler is not there.
        other = Device(self.gateway, "other", "qcow/var/lib/disk", SIZE, control="nl_reply_supported=-1").create()
        self.addCleanup(other.delete)
        self.gateway.files(["write", f"{other.path}/enable", "1"])
        status, findings = self.check()
        self.assertEqual(status, 0)
        self.assert_found(findings, "devices", "WARN", "user_0/other is a device of the handler 'qcow'")

    def test_a_data_area_that_is_small(self):
        device = self.device(SIZE, control="max_data_area_mb=8,hw_max_sectors=1024")
        self.iscsi(device, depth=64)
        _, findings = self.check()
        self.assert_found(findings, "data-area", "WARN", "64 commands of 512 KiB need 32 MiB, max_data_area_mb is 8")

    def test_a_reservation(self):
        device = self.device(SIZE)
        session = self.session(self.iscsi(device))
        key = (0x1234).to_bytes(8, "big")
        # PERSISTENT RESERVE OUT: REGISTER with a new key, then RESERVE, Write Exclusive.
        session.submit(bytes([0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0]), 0, bytes(8) + key + bytes(8)).wait(10).good()
        _, findings = self.check()
        self.assert_found(findings, "reservations", "WARN", "1 registrations")
        session.submit(bytes([0x5F, 1, 1, 0, 0, 0, 0, 0, 24, 0]), 0, key + bytes(16)).wait(10).good()
        _, findings = self.check()
        self.assert_found(findings, "reservations", "WARN", "reserved: 'SPC-3 Reservation")

    def test_tcmu_runner_on_another_gateway(self):
        device = self.device(SIZE)
        peer = self.lab.gateway(1)
        runner = daemon.TcmuRunner(peer).start()
        twin = self.lab.device(peer, device.name, SIZE, create=False)
        try:
            # Its commands open the image.
            recovery.write(self.session(self.iscsi(twin, gateway=peer)), 0, bytes(512))
            address = next(each for each in self.cluster.watchers(device.name) if each.startswith(f"{peer.address}:"))
            self.wait_until(lambda: f"gw1:rbd/{device.name}" in json.dumps(self.cluster.command("service dump")),
                            RUNNER_IN_MAP_SECONDS, "tcmu-runner is in the service map")
            status, findings = self.check()
            self.assertEqual(status, 0)
            text = json.dumps(findings["gateways"])
            self.assertIn(f"is open at {address}", text)
            self.assertIn("in the service map is served by tcmu-runner", text)
            self.assertNotIn(self.gateway.address, text)
            # And on its own gateway, before that is converted.
            status, findings = self.check(gateway=peer)
            self.assertEqual(status, 0)
            self.assert_found(findings, "handlers", "WARN", rf"tcmu-runner \(pid {runner.pid}\)")
            self.assertEqual([level for level, _, _ in findings["gateways"]], ["OK"])
            twin.set("tmr_notification", 1)
            status, findings = self.check(gateway=peer)
            self.assertEqual(status, 1)
            self.assert_found(findings, "aborts", "FAIL", "write 0 to .*tmr_notification")
            twin.set("tmr_notification", 0)
            # And not beside it.
            daemon.TcmuRbd(peer, daemon_under_test())
            status, output = peer.run(f"timeout 20 {peer.shared}/tcmu-rbd --config {peer.shared}/tcmu-rbd.yaml 2>&1", check=False)
            self.assertEqual(status, 1, output)
            self.assertRegex(output, rf"cannot start: .*tcmu-runner runs \(pid {runner.pid}\)")
        finally:
            self.doCleanups()
            twin.delete()
            runner.stop()

    def bounded(self, pattern, check):
        started = time.monotonic()
        status, findings = self.check("--timeout", PATIENCE_SECONDS)
        self.assertLess(time.monotonic() - started, PATIENCE_SECONDS + REST_SECONDS)
        self.assertEqual(status, 1)
        self.assert_found(findings, check, "FAIL", pattern)

    def test_an_osd_that_hangs(self):
        self.device(SIZE)
        self.hang(*self.cluster.osds)
        self.bounded(f"no answer within {PATIENCE_SECONDS} s", "images")

    def test_a_monitor_that_hangs(self):
        self.device(SIZE)
        self.hang(self.cluster.mon)
        self.bounded(f"no answer within {PATIENCE_SECONDS} s", "clients")


if __name__ == "__main__":
    testing.main(mgr=True)
