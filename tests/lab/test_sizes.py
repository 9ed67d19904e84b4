#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every size of image from 1 MiB to 64 TiB: its capacity is correct, and its first and last blocks are in the right place."""

from lib import cdb, testing
from lib.libiscsi import Session

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
POWERS = [1 << exponent for exponent in range(20, 47)]
ODD = [MIB + 512, 3 * MIB + 1536, 10 * GIB + 4 * KIB + 512, 2 * TIB - 512, 2 * TIB + 512, 5 * TIB + 7 * 512, 64 * TIB - 512]


class SizesTest(testing.LabTestCase):
    def check(self, target, size):
        image = f"size-{size}"
        device = self.lab.device(self.gateway, image, size)
        target.add_lun(device)
        try:
            with Session(target.url()) as session:
                self.check_capacity(session, size)
                self.check_ends(session, image, size)
        finally:
            target.remove_lun(device)
            device.delete()

    def check_capacity(self, session, size):
        blocks = size // 512
        self.assertEqual(session.capacity(), (blocks, 512))
        short = session.command(cdb.read_capacity10(), read=8).good().data
        self.assertEqual(int.from_bytes(short[:4], "big"), min(blocks - 1, 0xFFFFFFFF))

    def check_ends(self, session, image, size):
        last = size // 512 - 1
        for lba in (0, last):
            self.assertEqual(session.read(lba, 1), bytes(512))
            data = self.random.randbytes(512)
            session.write(lba, data)
            self.assertEqual(session.read(lba, 1), data)
            self.assertEqual(self.cluster.read(image, lba * 512, 512), data)
        self.assert_sense(session.command(cdb.read16(last + 1, 1), read=512), 5, 0x2100)
        self.assert_sense(session.command(cdb.write16(last, 2), data=bytes(1024)), 5, 0x2100)

    def test_sizes(self):
        target = self.iscsi()
        for size in POWERS + ODD:
            with self.subTest(size=size):
                self.check(target, size)
        self.assert_daemon_lives()

    def test_large_disk_in_the_kernel(self):
        device = self.device(64 * TIB)
        disk = self.loop(device).disk()
        self.assertEqual(self.gateway.output(f"blockdev --getsize64 {disk}"), str(64 * TIB))


if __name__ == "__main__":
    testing.main()
