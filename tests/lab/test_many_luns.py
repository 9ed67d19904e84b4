#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Devices come and go while others work."""

import time

from lib import cdb, testing
from lib.initiator import Fio
from lib.libiscsi import CHECK_CONDITION, Session

MIB = 1 << 20
LUNS = 20
# What a command on the working LUN may take while another LUN is added or removed, on a slow and shared machine.
PATIENCE_SECONDS = 5


class ManyLunsTest(testing.LabTestCase):
    def test_luns_added_and_removed_under_load(self):
        busy = self.device(128 * MIB)
        target = self.iscsi(busy)
        disk = self.login(target).disk()
        load = Fio(self.gateway, disk, bssplit="512/30:4k/50:64k/20", size="6M").start()
        session = self.session(target)
        for number in range(1, LUNS + 1):
            device = self.device(16 * MIB, image=f"added-{number}")
            self.add_lun(target, device, number)
            data = self.random.randbytes(4096)
            session.command(cdb.test_unit_ready(), lun=number)  # takes the unit attention of a new LUN
            session.write(8, data, lun=number)
            self.assertEqual(session.read(8, 8, lun=number), data)
            self.assert_busy_lun_answers(session)
        self.assertEqual(len(session.command(cdb.report_luns(), read=4096).good().data), 8 + 8 * (LUNS + 1))
        for number in self.random.sample(range(1, LUNS + 1), LUNS):
            self.remove(target, number)
            self.assert_busy_lun_answers(session)
        load.finish()
        self.assert_daemon_lives()
        for number in range(1, LUNS + 1):
            self.wait_until(lambda name=f"added-{number}": not self.cluster.watchers(name), 30, f"no client has image {number} open")

    def remove(self, target, number):
        folder = f"{target.path}/lun/lun_{number}"
        core = f"/sys/kernel/config/target/core/user_0/added-{number}"
        self.gateway.files(["unlink", f"{folder}/added-{number}"], ["rmdir", folder], ["rmdir", core])

    def assert_busy_lun_answers(self, session):
        started = time.monotonic()
        # A change of the LUNs is reported once to each session, as a unit attention.
        if session.command(cdb.read16(0, 1), read=512).status == CHECK_CONDITION:
            session.read(0, 1)
        self.assertLess(time.monotonic() - started, PATIENCE_SECONDS)

    def test_the_same_name_again_and_again(self):
        self.cluster.create_image("again", 16 * MIB)
        target = self.iscsi()
        for _ in range(8):
            device = self.lab.device(self.gateway, "again", 16 * MIB, create=False)
            target.add_lun(device)
            with Session(target.url()) as session:
                session.write(0, self.random.randbytes(512))
            target.remove_lun(device)
            device.delete()
        self.wait_until(lambda: not self.cluster.watchers("again"), 30, "no client has the image open")


if __name__ == "__main__":
    testing.main()
