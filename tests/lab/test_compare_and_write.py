#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""COMPARE AND WRITE as used by ESXi's locks: atomic between sessions and gateways, with the exact offset of a miscompare."""

import threading

from lib import cdb, testing
from lib.libiscsi import CHECK_CONDITION, GOOD

MIB = 1 << 20
SIZE = 32 * MIB
COUNTER = 100  # where in its block the racers' counter stands


def miscompare(offset):
    """Fixed format, VALID=1, MISCOMPARE, INFORMATION, 1D/00."""
    return b"\xf0\x00\x0e" + offset.to_bytes(4, "big") + b"\x0a\x00\x00\x00\x00\x1d\x00\x00\x00\x00\x00"


def counter(value):
    return bytes(COUNTER) + bytes([value]) + bytes(511 - COUNTER)


class CompareAndWriteTest(testing.LabTestCase):
    def assert_miscompare(self, reply, offset):
        self.assertEqual((reply.status, reply.sense[:18].hex()), (CHECK_CONDITION, miscompare(offset).hex()))

    def exchange(self, session, lba, block_size):
        """Once as expected, then with a wrong byte at the begin, in the middle, at the end."""
        old, new = self.random.randbytes(block_size), self.random.randbytes(block_size)
        session.write(lba, old, block_size)
        session.command(cdb.compare_and_write(lba), data=old + new).good()
        for offset in (0, block_size // 2 + 1, block_size - 1):
            expected = bytearray(new)
            expected[offset] ^= 0x40
            expected[block_size - 1] ^= 0x02
            self.assert_miscompare(session.command(cdb.compare_and_write(lba), data=bytes(expected) + old), offset)
        self.assertEqual(session.read(lba, 1, block_size), new)

    def test_match_and_miscompare(self):
        for block_size in (512, 4096):
            device = self.device(SIZE, control=f"max_data_area_mb=64,hw_block_size={block_size}")
            target = self.iscsi(device, iqn=f"iqn.2026-11.lab:blocks-{block_size}")
            session = self.session(target)
            self.assertEqual(session.capacity(), (SIZE // block_size, block_size))
            self.assertEqual(session.command(cdb.inquiry(0xB0), read=252).good().data[5], 1)
            last = SIZE // block_size - 1
            for lba in (0, 3, MIB // block_size, last):
                self.exchange(session, lba, block_size)
            two = bytes(2 * block_size)
            self.assert_sense(session.command(cdb.compare_and_write(last + 1), data=two), 5, 0x2100)
            self.assert_sense(session.command(cdb.compare_and_write(0, blocks=2), data=2 * two), 5, 0x2400)
            session.command(cdb.compare_and_write(0, blocks=0)).good()
            # What the initiator reads is what the cluster has.
            self.assertEqual(self.cluster.export(device.name)[3 * block_size:4 * block_size], session.read(3, 1, block_size))

    def race(self, sessions, rounds):
        """All sessions try to count on from the same value at once; returns how often each of them did."""
        barrier = threading.Barrier(len(sessions))

        def count(session):
            replies = []
            for value in range(rounds):
                barrier.wait(60)
                replies.append(session.command(cdb.compare_and_write(5), data=counter(value) + counter(value + 1)))
            return replies

        sessions[0].write(5, counter(0))
        racers = [testing.Background(count, session) for session in sessions]
        wins = [0] * len(sessions)
        for value, replies in enumerate(zip(*(racer.result(120) for racer in racers))):
            winners = [number for number, reply in enumerate(replies) if reply.status == GOOD]
            self.assertEqual(len(winners), 1, f"from {value}: {', '.join(map(str, replies))}")
            wins[winners[0]] += 1
            for number, reply in enumerate(replies):
                if number != winners[0]:
                    self.assert_miscompare(reply, COUNTER)
        for session in sessions:
            self.assertEqual(session.read(5, 1), counter(rounds))
        return wins

    def test_two_sessions_race(self):
        target = self.iscsi(self.device(SIZE))
        wins = self.race([self.session(target), self.session(target)], 64)
        print(f"\nwins of two sessions: {wins}")

    def test_two_gateways_race(self):
        image = self.image_name()
        first = self.device(SIZE, image=image)
        other = self.healthy_gateway(1)
        second = self.device(SIZE, gateway=other, image=image, create=False)
        sessions = [self.session(self.iscsi(first)), self.session(self.iscsi(second, gateway=other))]
        wins = self.race(sessions, 32)
        print(f"\nwins of two gateways: {wins}")


if __name__ == "__main__":
    testing.main()
