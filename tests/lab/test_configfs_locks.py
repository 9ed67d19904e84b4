#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel holds configfs locks while a writer waits: this must not delay operations that do not need them."""

import time

from lib import cdb, recovery, testing
from lib.channel import FileError, GuestTimeout
from lib.recovery import MIB

BLOCKS = MIB // 512
SIZE = 16 * MIB
ANSWER_SECONDS = 2


class ConfigfsLocksTest(recovery.RecoveryTestCase):
    def test_a_copy_while_a_lun_is_removed_whose_commands_hang(self):
        """`rmdir` of a LUN waits for its commands with the directory locked that an EXTENDED COPY's check has to list."""
        hung = self.device(SIZE, options=";osd_op_timeout=12")
        others = [self.device(SIZE) for _ in range(3)]
        going = self.iscsi(hung, iqn="iqn.2026-11.lab:going", depth=recovery.SESSION_DEPTH)
        target = self.iscsi(*others, depth=recovery.SESSION_DEPTH)
        host, copier = self.session(going), self.session(target)
        askers = {"that received it": self.session(target), "beside it": self.session(target, lun=2)}
        names = [self.name_of(device) for device in others[:2]]
        for session in (host, copier, *askers.values()):
            recovery.retry(session, cdb.inquiry(0x83), 30, read=252)
        self.hang(self.cluster.osds[0])
        stuck = host.submit(cdb.write16(0, 1), data=bytes(512))
        host.linger(0.3)
        removal = testing.Background(self.remove_lun, going, hung)
        copier.linger(0.5)
        self.assertTrue(removal.is_alive(), "the removal does not wait for the hung command")
        parameters = cdb.copy_parameters(names, [(0, 1, BLOCKS, 0, 0)])
        copy = copier.submit(cdb.extended_copy(parameters), data=parameters)
        copier.linger(0.3)
        for which, asker in askers.items():
            started = time.monotonic()
            recovery.retry(asker, cdb.inquiry(0x83), 30, read=252)
            taken = time.monotonic() - started
            self.report(f"a copy waits for configfs; INQUIRY of the LUN {which}: {1000 * taken:.0f} ms")
            self.assertLess(taken, ANSWER_SECONDS)
        self.assertTrue(removal.is_alive(), "the lock was free when it was asked for")
        self.cluster.osds[0].resume()
        removal.result(60)
        copy.wait(60)
        host.forget(stuck)
        self.assert_daemon_lives()

    @staticmethod
    def remove_lun(target, device):
        try:
            target.remove_lun(device)
        except (FileError, GuestTimeout):
            pass

    @staticmethod
    def name_of(device):
        return bytes.fromhex(("6001405" + device.serial.replace("-", ""))[:32])


if __name__ == "__main__":
    testing.main(osds=1)
