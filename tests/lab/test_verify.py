#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""VERIFY, WRITE AND VERIFY and ORWRITE on a real cluster: differences are caught, and nothing gets lost between a read and its write."""

from lib import cdb, testing
from lib.libiscsi import CHECK_CONDITION, GOOD
from lib.placement import Placement

MIB = 1 << 20
SIZE = 32 * MIB
MISCOMPARE = "f0000e{offset:08x}0a000000001d00" + 4 * "00"  # fixed format, VALID=1
WRITERS_BLOCKS = 64
NONE, ALL, ONE_BLOCK = 0, 1, 3


class VerifyTest(testing.LabTestCase):
    def assert_miscompare(self, reply, offset):
        self.assertEqual((reply.status, reply.sense[:18].hex()), (CHECK_CONDITION, MISCOMPARE.format(offset=offset)))

    def test_verify_tells_where_the_difference_is(self):
        for block_size in (512, 4096):
            device = self.device(SIZE, control=f"max_data_area_mb=64,hw_block_size={block_size}")
            session = self.session(self.iscsi(device, iqn=f"iqn.2026-11.lab:verify-{block_size}"))
            lba = 4 * MIB // block_size - 4  # over the border of two objects
            data = bytearray(self.random.randbytes(8 * block_size))
            session.write(lba, bytes(data), block_size)
            session.command(cdb.verify16(lba, 8, NONE)).good()
            session.command(cdb.verify16(lba, 8, ALL), data=bytes(data)).good()
            for offset in (8 * block_size - 1, 4 * block_size, 4 * block_size - 1, 0):
                data[offset] ^= 0x10
                self.assert_miscompare(session.command(cdb.verify16(lba, 8, ALL), data=bytes(data)), offset)
            one = self.random.randbytes(block_size)
            session.write(lba, 8 * one, block_size)
            session.command(cdb.verify16(lba, 8, ONE_BLOCK), data=one).good()
            session.write(lba + 7, one[:-1] + bytes([one[-1] ^ 1]), block_size)
            self.assert_miscompare(session.command(cdb.verify16(lba, 8, ONE_BLOCK), data=one), block_size - 1)
            self.assert_sense(session.command(cdb.verify16(SIZE // block_size, 1, NONE)), 5, 0x2100)
            self.assert_sense(session.command(cdb.verify16(lba, 8, 2), data=bytes(data)), 5, 0x2400)
            self.assert_daemon_lives()

    def test_verify_reads_the_medium(self):
        """Data written directly into the pool is detected: nothing is answered from a cache."""
        device = self.device(SIZE)
        session = self.session(self.iscsi(device))
        data = self.random.randbytes(4096)
        session.write(8, data)
        session.command(cdb.verify16(8, 8, ALL), data=data).good()
        name = Placement(self.cluster, device.name).data_object(0)
        changed = bytearray(self.cluster.read_object(name))
        changed[4096 + 777] ^= 0x01
        self.cluster.write_object(name, bytes(changed))
        self.assert_miscompare(session.command(cdb.verify16(8, 8, ALL), data=data), 777)

    def test_write_and_verify(self):
        device = self.device(SIZE)
        session = self.session(self.iscsi(device))
        expected = bytearray(SIZE)
        for number in range(16):
            lba, data = self.random.randrange(SIZE // 512 - 64), self.random.randbytes(512 * self.random.randint(1, 64))
            session.command(cdb.write_and_verify16(lba, len(data) // 512, (NONE, ALL)[number % 2]), data=data).good()
            expected[512 * lba:512 * lba + len(data)] = data
        self.assertEqual(self.cluster.export(device.name), expected)

    def or_from_all(self, sessions, rounds):
        """All sessions set bits of their own in overlapping ranges, many at once; none is lost and none comes from nowhere."""
        expected = bytearray(512 * WRITERS_BLOCKS)
        sessions[0].write(0, bytes(expected))
        shares = []
        for number in range(len(sessions)):
            share = []
            for _ in range(rounds):
                first = self.random.randrange(WRITERS_BLOCKS)
                count = self.random.randint(1, WRITERS_BLOCKS - first)
                data = bytes(1 << self.random.randrange(8) if self.random.random() < 0.05 else 0 for _ in range(512 * count))
                for at, byte in enumerate(data, 512 * first):
                    expected[at] |= byte
                share.append((first, count, data))
            shares.append(share)

        def send(session, share):
            pending = [session.submit(cdb.orwrite16(first, count), 0, data) for first, count, data in share]
            return [each.wait(60).status for each in pending]

        writers = [testing.Background(send, session, share) for session, share in zip(sessions, shares)]
        for writer in writers:
            self.assertEqual(set(writer.result(120)), {GOOD})
        for session in sessions:
            self.assertEqual(session.read(0, WRITERS_BLOCKS), bytes(expected))

    def test_orwrite_of_two_sessions(self):
        target = self.iscsi(self.device(SIZE))
        self.or_from_all([self.session(target), self.session(target)], 32)

    def test_orwrite_of_two_gateways(self):
        image = self.image_name()
        first = self.device(SIZE, image=image)
        other = self.healthy_gateway(1)
        second = self.device(SIZE, gateway=other, image=image, create=False)
        self.or_from_all([self.session(self.iscsi(first)), self.session(self.iscsi(second, gateway=other))], 16)


if __name__ == "__main__":
    testing.main()
