#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""targetcli, which asks the daemon over D-Bus: the README's way to make a device by hand."""

from lib import testing
from lib.daemon import start_system_bus

MIB = 1 << 20


class TargetcliTest(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        # After the daemon: a machine boots in any order, and a bus may be restarted.
        start_system_bus(self.gateway)
        self.gateway.run("gdbus wait --system --timeout 50 org.kernel.TCMUService1", 60)

    def targetcli(self, command):
        """Status and output."""
        return self.gateway.run(f"targetcli {command} 2>&1", 90, check=False)[:2]

    def create(self, name, cfgstring, size="16M"):
        return self.targetcli(f"/backstores/user:rbd create name={name} size={size} cfgstring='{cfgstring}'")

    def test_creates_a_device_and_deletes_it(self):
        self.cluster.create_image("byhand", 16 * MIB)
        status, output = self.create("byhand", "rbd/byhand")
        self.assertEqual(status, 0, output)
        self.assertIn("Created user-backed storage object byhand", output)
        self.daemon.wait_log("user_0/byhand|byhand")
        status, output = self.targetcli("/backstores/user:rbd delete byhand")
        self.assertEqual(status, 0, output)

    def test_says_why_an_image_cannot_be_served(self):
        self.cluster.create_image("served", 16 * MIB)
        for cfgstring, reason in (("rbd/missing", "missing"), ("nosuchpool/disk", "nosuchpool"), ("rbd/served;colour=red", "colour"),
                                  ("rbd/served;id=stranger", "stranger")):
            with self.subTest(cfgstring=cfgstring):
                output = self.create("refused", cfgstring)[1]
                self.assertIn("cfgstring invalid", output)
                self.assertIn(reason, output)
        left = self.gateway.run("ls /sys/kernel/config/target/core/user_0 2> /dev/null", check=False)[1]
        self.assertNotIn("refused", left)

    def test_help_shows_the_options(self):
        output = self.targetcli("/backstores/user:rbd help create")[1]
        self.assertIn("POOL[/NAMESPACE]/IMAGE", output)
        self.assertIn("osd_op_timeout=SECONDS", output)


if __name__ == "__main__":
    testing.main()
