#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rpm in a chroot of Debian 12: its files, its scriptlets over a tcmu-runner's settings, an upgrade, its removal. There is no
RHEL here, so the dependencies are Debian's, and rpm is told not to look for them. As root, with a network.

    test_rpm.py [RPM]     RPM: the newest in build/rpm, which packaging/build-rpm.sh makes
"""

import os
import unittest

from chroot import Chroot, package

RPM = package("rpm")
DEVICE = "sys/kernel/config/target/core/user_0/rbd.disk"
LIBRARIES = "librados2 librbd1 libspdlog1.10 libyaml-cpp0.7 libnl-3-200 libnl-genl-3-200 libsystemd0"


class RpmTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.chroot = Chroot(RPM)
        cls.addClassCleanup(cls.chroot.close)
        cls.chroot.apt(f"install rpm {LIBRARIES}")
        os.makedirs(cls.chroot.path(f"{DEVICE}/attrib"))
        os.makedirs(cls.chroot.path("etc/tcmu"))
        cls.chroot.write("etc/tcmu/tcmu.conf", "log_level = 4\n")

    def rpm(self, options):
        return self.chroot.run(f"rpm {options}")

    def notify(self, value=None):
        attribute = f"{DEVICE}/attrib/tmr_notification"
        if value is not None:
            self.chroot.write(attribute, value)
        return self.chroot.read(attribute)

    def test_1_installed(self):
        self.rpm("-i --nodeps /root/tcmu-rbd.rpm")
        self.assertIn("tcmu-runner = ", self.rpm("-q --provides tcmu-rbd"))
        self.assertIn("tcmu-runner", self.rpm("-q --conflicts tcmu-rbd"))
        self.assertIn("in place of tcmu-runner", self.chroot.run("tcmu-runner --version"))
        self.assertEqual(os.readlink(self.chroot.path("usr/lib/systemd/system/tcmu-runner.service")), "tcmu-rbd.service")
        self.assertEqual(self.chroot.read("etc/tcmu-rbd/tcmu-rbd.yaml"), "log:\n  level: debug\n")
        self.chroot.run("tcmu-rbd --check-config --config /usr/share/doc/tcmu-rbd/examples/tcmu-rbd.yaml")
        self.assertIn("ExecStart=/usr/bin/tcmu-rbd", self.chroot.read("usr/lib/systemd/system/tcmu-rbd.service"))
        self.assertEqual(self.rpm("-V --nodeps tcmu-rbd"), "")

    def test_2_upgraded(self):
        self.notify("1\n")
        self.chroot.write("etc/tcmu-rbd/tcmu-rbd.yaml", "log:\n  level: info\n")
        self.rpm("-U --nodeps --force /root/tcmu-rbd.rpm")
        self.assertEqual(self.notify(), "1\n")
        self.assertEqual(self.chroot.read("etc/tcmu-rbd/tcmu-rbd.yaml"), "log:\n  level: info\n")

    def test_3_removed(self):
        self.rpm("-e tcmu-rbd")
        self.assertEqual(self.notify(), "0\n")
        for name in ("usr/bin/tcmu-runner", "usr/lib/systemd/system/tcmu-runner.service", "usr/bin/tcmu-rbd"):
            self.assertFalse(os.path.lexists(self.chroot.path(name)), name)


if __name__ == "__main__":
    unittest.main(failfast=True)
