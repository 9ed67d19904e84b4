#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an ESXi host asks before it calls a disk's VAAI primitives supported, and the primitives, over iSCSI from outside."""

import time

from lib import cdb, testing
from lib.libiscsi import BUSY, GOOD

MIB, GIB = 1 << 20, 1 << 30
INCREMENTS = 25
UNKNOWN_OPCODE, INVALID_FIELD = 0x2000, 0x2400


def hexadecimal(text):
    return bytes.fromhex(text.replace("|", ""))


class VaaiTest(testing.LabTestCase):
    def ask(self, session, command, length, expected):
        self.assertEqual(session.command(command, read=length).good().data.hex(" "), hexadecimal(expected).hex(" "), command.hex())

    def refuse(self, session, command, ascq, length=252):
        self.assert_sense(session.command(command, read=length), 5, ascq)

    def supports(self, session, opcode, action=None):
        """REPORT SUPPORTED OPERATION CODES of one: 3, supported as the standard has it, or 1, not supported."""
        options = 0x01 if action is None else 0x02
        command = bytes([0xA3, 0x0C, options, opcode]) + (action or 0).to_bytes(2, "big") + (64).to_bytes(4, "big") + bytes(2)
        answer = session.command(command, read=64).good().data[1] & 7
        self.assertIn(answer, (1, 3))
        return answer == 3

    def test_probe(self):
        device = self.device(GIB)
        session = self.session(self.iscsi(device))
        naa = "6001405" + device.serial.replace("-", "")[:25]
        serial = device.serial.encode()
        session.command(cdb.test_unit_ready()).good()
        # 3PC (byte 5, 08h) says no more and no less than that EXTENDED COPY is served.
        copies = self.supports(session, 0x83, 0x00)
        self.ask(session, bytes([0x12, 0, 0, 0, 36, 0]), 36,
                 f"00 00 06 12 5b {'18' if copies else '10'} 00 02" + b"LIO-ORG TCMU device     0002".hex())
        self.ask(session, cdb.inquiry(0x80), 252, "00 80 00 24" + serial.hex())
        names = session.command(cdb.inquiry(0x83), read=252).good().data
        self.assertIn(hexadecimal("01 03 00 10" + naa), names)
        self.assertIn(hexadecimal("02 01 00 2c") + b"LIO-ORG " + serial, names)
        # ATS of one block; UNMAP of 80000h blocks in 64 descriptors; WRITE SAME of as many.
        limits = session.command(cdb.inquiry(0xB0), read=252).good().data
        self.assertEqual(limits[:4], hexadecimal("00 b0 00 3c"))
        self.assertEqual((limits[5], limits[20:28].hex(), limits[36:44].hex()), (1, "0008000000000040", "0000000000080000"))
        self.assertLessEqual(int.from_bytes(limits[28:32], "big") * 512, MIB, "VMFS6 gives back 1 MiB at a time")
        self.ask(session, cdb.inquiry(0xB2, 8), 8, "00 b2 00 04 00 e4 02 00")
        self.ask(session, cdb.read_capacity10(), 8, "001fffff 00000200")
        self.ask(session, cdb.read_capacity16(), 32, "00000000001fffff 00000200 00 00 c000" + "00" * 16)
        for page in (0x08, 0x0A, 0x1C, 0x3F):
            session.command(cdb.mode_sense10(page), read=252).good()
        for opcode, action in ((0x89, None), (0x93, None), (0x42, None), (0x9E, 0x10), (0xA3, 0x0A), (0xA3, 0x0C)):
            self.assertTrue(self.supports(session, opcode, action), f"{opcode:#x}")
        # ATA PASS-THROUGH and a vendor's page are refused without side effects.
        self.assertFalse(self.supports(session, 0x85))
        self.refuse(session, bytes([0x85]) + bytes(15), UNKNOWN_OPCODE, 0)
        self.refuse(session, cdb.inquiry(0xC0), INVALID_FIELD)
        # The probes of the primitives themselves, on a block that holds nothing.
        session.command(cdb.compare_and_write(5), data=bytes(1024)).good()
        session.command(cdb.write_same16(0, 2048), data=bytes(512)).good()
        session.command(cdb.unmap(), data=cdb.unmap_parameters(2048, 2048)).good()
        self.assertEqual(session.read(0, 128), bytes(65536))

    def test_zeroing_a_gibibyte_takes_no_time(self):
        device = self.device(GIB)
        session = self.session(self.iscsi(device))
        stride = 4 * MIB // 512
        writes = [session.submit(cdb.write16(lba, 1), data=b"\x5a" * 512) for lba in range(0, GIB // 512, stride)]
        for write in writes:
            write.wait().good()
        self.assertEqual(self.cluster.data_objects(device.name), 256)
        started = time.monotonic()
        longest = 0x80000  # MAXIMUM WRITE SAME LENGTH
        commands = [session.submit(cdb.write_same16(lba, longest), data=bytes(512)) for lba in range(0, GIB // 512, longest)]
        for command in commands:
            command.wait().good()
        seconds = time.monotonic() - started
        print(f"\n1 GiB zeroed in {seconds:.2f} s")
        # To write it would take this cluster far longer; each of the commands has its deadline of 15 s as well.
        self.assertLess(seconds, 20)
        self.assertEqual(self.cluster.data_objects(device.name), 0)
        for lba in (0, stride, GIB // 512 - 1):
            self.assertEqual(session.read(lba, 1), bytes(512))

    def increment(self, session):
        """Counts on from what is there until it has counted INCREMENTS times; returns how often another was faster."""
        lost = done = 0
        while done < INCREMENTS:
            old = session.read(9, 1)
            new = (int.from_bytes(old, "big") + 1).to_bytes(512, "big")
            reply = session.command(cdb.compare_and_write(9), data=old + new)
            if reply.status == GOOD:
                done += 1
            elif reply.status != BUSY:  # as the lock changes hands; nothing was written
                self.assert_sense(reply, 0xE, 0x1D00)
                lost += 1
        return lost

    def test_no_increment_is_lost_between_gateways(self):
        image = self.image_name()
        first = self.device(64 * MIB, image=image)
        other = self.healthy_gateway(1)
        second = self.device(64 * MIB, gateway=other, image=image, create=False)
        sessions = [self.session(self.iscsi(first)), self.session(self.iscsi(second, gateway=other))]
        counters = [testing.Background(self.increment, session) for session in sessions]
        lost = [counter.result(120) for counter in counters]
        print(f"\n{2 * INCREMENTS} increments through two gateways; another was faster {lost} times")
        for session in sessions:
            self.assertEqual(int.from_bytes(session.read(9, 1), "big"), 2 * INCREMENTS)
        self.assertEqual(self.cluster.read(image, 9 * 512, 512), (2 * INCREMENTS).to_bytes(512, "big"))


if __name__ == "__main__":
    testing.main()
