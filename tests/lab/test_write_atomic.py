#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""WRITE ATOMIC: what VPD B0 promises is served wherever it lies, and what is more than one op of RADOS is refused."""

from lib import cdb, testing

MIB = 1 << 20
SIZE = 32 * MIB
OBJECT = 4 * MIB
UNIT = 16384


class WriteAtomicTest(testing.LabTestCase):
    def limits(self, session):
        """Maximum, alignment, granularity, maximum with boundary, boundary, in blocks."""
        page = session.command(cdb.inquiry(0xB0), read=252).good().data
        return [int.from_bytes(page[at:at + 4], "big") for at in range(44, 64, 4)]

    def write(self, session, offset, data, block_size):
        return session.command(cdb.write_atomic16(offset // block_size, len(data) // block_size), data=data)

    def test_within_and_over_the_borders_of_objects(self):
        for block_size in (512, 4096):
            device = self.device(SIZE, control=f"max_data_area_mb=64,hw_max_sectors=2048,hw_block_size={block_size}")
            session = self.session(self.iscsi(device, iqn=f"iqn.2026-11.lab:atomic-{block_size}"))
            unit = UNIT // block_size
            self.assertEqual(self.limits(session), [unit, unit, unit, 0, 0])
            expected = bytearray(SIZE)
            for offset, length in ((0, UNIT), (OBJECT - UNIT, UNIT), (OBJECT, UNIT), (SIZE - UNIT, UNIT), (2 * OBJECT, 4 * UNIT)):
                data = self.random.randbytes(length)
                self.write(session, offset, data, block_size).good()
                expected[offset:offset + length] = data
            for offset, length in ((OBJECT - UNIT, 2 * UNIT), (block_size, UNIT), (0, block_size), (0, UNIT + block_size)):
                self.assert_sense(self.write(session, offset, bytes(length), block_size), 5, 0x2400)
            self.assert_sense(self.write(session, SIZE, bytes(UNIT), block_size), 5, 0x2100)
            self.assertEqual(self.cluster.export(device.name), expected)

    def test_striped_images(self):
        for stripe_unit, unit in ((65536, UNIT // 512), (8192, 0)):
            image = self.image_name()
            self.cluster.rbd("create", f"rbd/{image}", "--size", "32", "--stripe-unit", stripe_unit, "--stripe-count", 4)
            session = self.session(self.iscsi(self.device(SIZE, image=image, create=False), iqn=f"iqn.2026-11.lab:stripe-{stripe_unit}"))
            self.assertEqual(self.limits(session), [unit, unit, unit, 0, 0])
            if not unit:
                self.assert_sense(self.write(session, 0, bytes(UNIT), 512), 5, 0x2400)
                continue
            data = self.random.randbytes(UNIT)
            self.write(session, stripe_unit - UNIT, data, 512).good()
            self.assert_sense(self.write(session, stripe_unit - UNIT, 2 * data, 512), 5, 0x2400)
            self.assertEqual(self.cluster.read(image, stripe_unit - UNIT, UNIT), data)


if __name__ == "__main__":
    testing.main()
