#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package as an operator meets it, in a chroot of Debian 12: installed, with ceph-iscsi, over tcmu-runner and
back, removed. As root, with a network for debootstrap and apt; services are not started.

    test_package.py [DEB]     DEB: the newest in build/deb, which packaging/build-deb.sh makes
"""

import os
import subprocess
import unittest

from chroot import Chroot, package

DEB = package()
DEVICE = "sys/kernel/config/target/core/user_0/rbd.disk"


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.chroot = Chroot(DEB)
        cls.addClassCleanup(cls.chroot.close)
        os.makedirs(cls.chroot.path(f"{DEVICE}/attrib"))

    def assert_status(self, **wanted):
        self.assertEqual({name: self.chroot.status(name.replace("_", "-")) for name in wanted}, wanted)

    def assert_ours(self):
        """tcmu-runner's names lead to this daemon, and systemd has one unit."""
        self.assertIn("tcmu-rbd 0.1.0", self.chroot.run("tcmu-runner --version"))
        self.assertEqual(os.readlink(self.chroot.path("lib/systemd/system/tcmu-runner.service")), "tcmu-rbd.service")
        self.assertEqual(self.chroot.run("systemctl is-enabled tcmu-rbd").strip(), "enabled")
        activation = self.chroot.read("usr/share/dbus-1/system-services/org.kernel.TCMUService1.service")
        self.assertIn("SystemdService=tcmu-rbd.service", activation)

    def notify(self, value):
        self.chroot.write(f"{DEVICE}/attrib/tmr_notification", value)

    def test_1_installed_alone(self):
        self.chroot.apt("install systemd man-db")
        type(self).before = self.chroot.files()
        self.chroot.apt("install /root/tcmu-rbd.deb")
        self.assertIn("Provides: tcmu-runner (= 1.6.2)", self.chroot.run("dpkg -s tcmu-rbd"))
        self.assert_ours()
        self.chroot.run("/root/smoke")
        self.chroot.run("dpkg --verify tcmu-rbd")
        notes = subprocess.run(["readelf", "-n", self.chroot.path("usr/bin/tcmu-rbd")], check=True, capture_output=True, text=True).stdout
        self.assertIn("Provider: tcmu_rbd", notes, "the stripped program has its probes")
        # dpkg's trigger of systemd has read it.
        self.assertIn(" tcmu-rbd: cannot start: ...", self.chroot.run("journalctl --list-catalog"))

    def test_2_removed_and_purged(self):
        self.notify("1\n")
        self.chroot.apt("remove tcmu-rbd")
        self.assertEqual(self.chroot.read(f"{DEVICE}/attrib/tmr_notification"), "0\n")
        self.assert_status(tcmu_rbd="config-files")
        self.assertFalse(os.path.lexists(self.chroot.path("lib/systemd/system/tcmu-runner.service")))
        self.chroot.apt("purge tcmu-rbd")
        self.chroot.apt("autoremove")
        os.remove(self.chroot.path(f"{DEVICE}/attrib/tmr_notification"))
        left = {name for name in self.chroot.files() - self.before if "tcmu" in name}
        self.assertEqual(left, set())

    def test_3_ceph_iscsi_is_content(self):
        self.chroot.apt("install /root/tcmu-rbd.deb")
        output = self.chroot.apt("install ceph-iscsi")
        self.assertNotIn("Setting up tcmu-runner", output)
        self.assert_status(tcmu_rbd="installed", ceph_iscsi="installed", tcmu_runner="not-installed")
        self.chroot.run("apt-get check && dpkg --audit")

    def test_4_back_to_tcmu_runner(self):
        self.notify("1\n")
        self.chroot.apt("install tcmu-runner")
        self.assert_status(tcmu_rbd="config-files", ceph_iscsi="installed", tcmu_runner="installed")
        self.assertEqual(self.chroot.read(f"{DEVICE}/attrib/tmr_notification"), "0\n")
        self.assertFalse(os.path.islink(self.chroot.path("usr/bin/tcmu-runner")))
        self.assertFalse(os.path.islink(self.chroot.path("lib/systemd/system/tcmu-runner.service")))
        self.assertEqual(self.chroot.run("systemctl is-enabled tcmu-runner").strip(), "enabled")

    def test_5_over_tcmu_runner(self):
        self.chroot.apt("purge tcmu-rbd")
        with open(self.chroot.path("etc/tcmu/tcmu.conf"), "a", encoding="utf-8") as file:
            file.write("log_level = 4\nlog_dir = '/var/log'\n")
        output = self.chroot.apt("install /root/tcmu-rbd.deb")
        self.assertIn("Removing tcmu-runner", output)
        self.assertIn("tcmu.conf:20: log_dir has no effect", output)
        self.assertEqual(self.chroot.read("etc/tcmu-rbd/tcmu-rbd.yaml"), "log:\n  level: debug\n")
        self.assert_status(tcmu_rbd="installed", ceph_iscsi="installed", tcmu_runner="config-files")
        self.assert_ours()
        # The init script stays until the purge: not executable, and the unit of its name is ours.
        leftover = self.chroot.path("etc/init.d/tcmu-runner")
        self.assertTrue(os.path.exists(leftover))
        self.assertFalse(os.access(leftover, os.X_OK))
        units = "/lib/systemd/system-generators/systemd-sysv-generator /tmp/units /tmp/units /tmp/units"
        self.assertNotIn("tcmu", self.chroot.run(f"mkdir -p /tmp/units; {units}; ls -R /tmp/units"))
        self.chroot.run(f"chmod +x /etc/init.d/tcmu-runner; {units}")
        self.assertNotIn("tcmu", self.chroot.run("ls -R /tmp/units"))

    def test_6_tcmu_runner_purged(self):
        self.chroot.apt("purge tcmu-runner")
        self.assert_status(tcmu_rbd="installed", ceph_iscsi="installed", tcmu_runner="not-installed")
        self.assert_ours()
        self.chroot.run("dpkg --verify tcmu-rbd")

    def test_7_installed_again(self):
        self.notify("1\n")
        self.chroot.apt("install --reinstall /root/tcmu-rbd.deb")
        self.assertEqual(self.chroot.read(f"{DEVICE}/attrib/tmr_notification"), "1\n")
        self.assert_ours()


if __name__ == "__main__":
    unittest.main(failfast=True)
