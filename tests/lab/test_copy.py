#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""EXTENDED COPY as ESXi and sg_xcopy send it: within a LUN, between LUNs, with an OSD that hangs, a lock elsewhere, a LUN that goes."""

import json
import time

from lib import cdb, recovery, testing
from lib.copying import BLOCKS, CONTROL, CopyTestCase
from lib.lio import IscsiTarget
from lib.libiscsi import GOOD
from lib.recovery import MIB

SIZE = 64 * MIB
ANSWER_SECONDS = 1
ON_ITS_WAY_SECONDS = 0.3
NOT_REACHABLE = 0x0D02


class CopyTest(CopyTestCase):
    def setUp(self):
        super().setUp()
        self.devices = [self.device(SIZE, control=CONTROL) for _ in range(2)]
        for device in self.devices:
            device.set("cmd_time_out", 0)
        self.target = self.iscsi(*self.devices, depth=recovery.SESSION_DEPTH)
        self.outside = self.session(self.target)
        self.names = [self.name(self.outside, lun) for lun in range(2)]

    def allocated(self, device):
        """Objects that are there."""
        listed = json.loads(self.cluster.rbd("diff", "--whole-object", f"rbd/{device.name}", "--format", "json").stdout)
        return sum(extent["length"] for extent in listed if extent["exists"] == "true") // (4 * MIB)

    def run_copy(self, segments, names=None, lun=0, **options):
        while True:
            reply = self.copy(self.outside, names or self.names, segments, lun, **options).wait(60)
            if reply.key != recovery.UNIT_ATTENTION:  # Of a LUN that was added.
                return reply

    def test_within_a_lun(self):
        content = self.fill(self.outside, 0, 0, 8)
        self.run_copy([(0, 0, 8 * BLOCKS, 0, 16 * BLOCKS)], self.names[:1]).good()
        self.assert_content(self.devices[0], 16, content)
        # Not in whole objects, nor in whole anything.
        self.run_copy([(0, 0, 8 * BLOCKS - 3, 3, 40 * BLOCKS + 5)], self.names[:1]).good()
        found = self.content(self.devices[0], 40, 9)
        self.assertEqual(found[5 * 512:5 * 512 + len(content) - 3 * 512], content[3 * 512:])

    def test_between_luns(self):
        content = self.fill(self.outside, 0, 0, 8)
        # Each of the two may be asked.
        self.run_copy([(0, 1, 8 * BLOCKS, 0, 0)], lun=0).good()
        self.assert_content(self.devices[1], 0, content)
        self.run_copy([(0, 1, 8 * BLOCKS, 0, 9 * BLOCKS)], lun=1).good()
        self.assert_content(self.devices[1], 9, content)

    def test_overlaps(self):
        content = self.fill(self.outside, 0, 0, 12)
        self.run_copy([(0, 0, 11 * BLOCKS, 0, BLOCKS)], self.names[:1]).good()
        self.assert_content(self.devices[0], 0, content[:MIB] + content[:11 * MIB])
        content = self.fill(self.outside, 0, 0, 12)
        self.run_copy([(0, 0, 11 * BLOCKS, BLOCKS, 0)], self.names[:1]).good()
        self.assert_content(self.devices[0], 0, content[MIB:] + content[11 * MIB:])

    def test_segments_one_after_the_other(self):
        content = self.fill(self.outside, 0, 0, 6)
        forth_and_back = [(0, 1, 6 * BLOCKS, 0, BLOCKS), (1, 0, 6 * BLOCKS, BLOCKS, 20 * BLOCKS), (0, 0, 2 * BLOCKS, 20 * BLOCKS, 0),
                          (1, 1, BLOCKS, 6 * BLOCKS, 30 * BLOCKS)]
        self.run_copy(forth_and_back).good()
        self.assert_content(self.devices[1], 1, content)
        self.assert_content(self.devices[0], 20, content)
        self.assert_content(self.devices[0], 0, content[:2 * MIB] + content[2 * MIB:])
        self.assert_content(self.devices[1], 30, content[5 * MIB:])

    def test_several_copies_at_once(self):
        content = self.fill(self.outside, 0, 0, 4)
        copies = [self.copy(self.outside, self.names, [(0, 1, 4 * BLOCKS, 0, 4 * number * BLOCKS)], list_id=number)
                  for number in range(16)]
        for each in copies:
            each.wait(60).good()
        self.assert_content(self.devices[1], 0, content * 16)

    def test_what_is_empty_stays_empty(self):
        self.fill(self.outside, 0, 4, 1)
        self.fill(self.outside, 1, 0, 32)
        self.assertEqual((self.allocated(self.devices[0]), self.allocated(self.devices[1])), (1, 8))
        self.run_copy([(0, 1, 32 * BLOCKS - 1, 0, 0), (0, 1, 1, 32 * BLOCKS - 1, 32 * BLOCKS - 1)]).good()
        self.assert_content(self.devices[1], 0, self.content(self.devices[0], 0, 32))
        self.assertLessEqual(self.allocated(self.devices[1]), 2)

    def test_results(self):
        self.fill(self.outside, 0, 0, 2)
        self.run_copy([(0, 1, 2 * BLOCKS, 0, 0), (0, 1, BLOCKS, 0, 4 * BLOCKS)], list_id=77).good()
        status = self.good(self.outside, cdb.receive_copy_results(0, 77), read=1024).data
        self.assertEqual(status.hex(), "00000008" + "01" + "0002" + "00" + (3 * MIB).to_bytes(4, "big").hex())
        self.assert_sense(self.outside.command(cdb.receive_copy_results(0, 77), read=1024), 5, 0x2400)
        limits = self.good(self.outside, cdb.receive_copy_results(3), read=1024).data
        self.assertEqual((len(limits), limits[44:].hex()), (46, "02e4"))

    def test_what_is_refused(self):
        beyond = self.run_copy([(0, 0, BLOCKS, 0, 63 * BLOCKS + 1)], self.names[:1])
        self.assert_sense(beyond, 0xA, 0x0000)
        unknown = bytes(self.names[0][:-1]) + b"\x5a"
        self.assert_sense(self.run_copy([(0, 1, BLOCKS, 0, 0)], [self.names[0], unknown]), 0xA, NOT_REACHABLE)
        self.assert_sense(self.run_copy([(0, 1, BLOCKS, 0, 0)], block_size=4096), 5, 0x2600)
        self.assertEqual(self.content(self.devices[1], 0, 1), bytes(MIB))

    def test_only_luns_that_every_initiator_has(self):
        """A host that knows a disk's name does not get at the disk by it."""
        content = self.fill(self.outside, 0, 0, 1)
        hidden = self.device(SIZE, control=CONTROL)
        name = self.fill(self.outside, 0, 0, 1) and self.name_of(hidden)
        self.assert_sense(self.run_copy([(0, 1, BLOCKS, 0, 0)], [self.names[0], name]), 0xA, NOT_REACHABLE)
        self.assert_sense(self.run_copy([(1, 0, BLOCKS, 0, 0)], [self.names[0], name]), 0xA, NOT_REACHABLE)
        self.assertNotEqual(content, b"")
        self.assertEqual(self.content(hidden, 0, 1), bytes(MIB))
        # Allowed in a separate target that is open to all like the first one.
        self.iscsi(hidden, iqn="iqn.2026-11.lab:third")
        content = self.fill(self.outside, 0, 0, 1)
        self.run_copy([(0, 1, BLOCKS, 0, 0)], [self.names[0], name]).good()
        self.assert_content(hidden, 0, content)

    @staticmethod
    def name_of(device):
        digits = "6001405" + device.serial.replace("-", "")
        return bytes.fromhex(digits[:32])

    def test_a_snapshot_is_a_source_and_no_destination(self):
        content = self.fill(self.outside, 0, 0, 4)
        self.cluster.rbd("snap", "create", f"rbd/{self.devices[0].name}@then")
        self.fill(self.outside, 0, 0, 4)
        snapshot = self.lab.device(self.gateway, f"{self.devices[0].name}@then", SIZE, create=False)
        self._remove_later(self.gateway, snapshot.delete)
        self.add_lun(self.target, snapshot, 2)
        names = [self.names[1], self.name(self.outside, 2)]
        self.run_copy([(1, 0, 4 * BLOCKS, 0, 0)], names).good()
        self.assert_content(self.devices[1], 0, content)
        refused = self.run_copy([(0, 1, 4 * BLOCKS, 0, 0)], names)
        self.assert_sense(refused, 0xA, 0x0D01)
        # The destination's own CHECK CONDITION, 7/27/00.
        self.assertEqual(refused.sense[refused.sense[9]:][:1] + refused.sense[refused.sense[9]:][1:15],
                         bytes([2, 0x70, 0, 7, 0, 0, 0, 0, 0x0A, 0, 0, 0, 0, 0x27, 0]))

    def test_sg_xcopy_and_ddpt(self):
        content = self.fill(self.outside, 0, 0, 8)
        loop = self.loop(*self.devices)
        source, target = loop.generic(0), loop.generic(1)
        print(self.gateway.output(f"sg_xcopy if={source} of={target} bs=512 count={8 * BLOCKS} bpt=8192 skip=0 seek={BLOCKS} 2>&1"))
        self.assert_content(self.devices[1], 1, content)
        # It asks for the capacities and the operating parameters first, and fits its commands to them.
        print(self.gateway.output(f"ddpt --xcopy if={source} of={target} bs=512 count={8 * BLOCKS} seek={16 * BLOCKS} 2>&1"))
        self.assert_content(self.devices[1], 16, content)


class HangTest(CopyTestCase):
    """With the only OSD of the cluster hung."""

    def setUp(self):
        super().setUp()
        self.devices = [self.device(SIZE, control=CONTROL) for _ in range(2)]
        for device in self.devices:
            device.set("cmd_time_out", 0)
            self.addCleanup(self._report_status, device)
        self.target = self.iscsi(*self.devices, depth=recovery.SESSION_DEPTH)
        self.outside = self.session(self.target)
        self.names = [self.name(self.outside, lun) for lun in range(2)]
        self.osd = self.cluster.osds[0]

    def hang_a_copy(self, segments):
        self.hang(self.osd)
        copy = self.copy(self.outside, self.names, segments)
        self.outside.linger(ON_ITS_WAY_SECONDS)
        self.assertFalse(copy.done, str(copy))
        return copy

    def assert_answered(self, management, figure):
        management.wait(40)
        self.report(f"{figure}: {1000 * management.seconds:.1f} ms")
        self.assertEqual(management.response, 0)
        self.assertLess(management.seconds, ANSWER_SECONDS)

    def test_abort_of_a_copy_that_reads(self):
        self.fill(self.outside, 0, 0, 16)
        copy = self.hang_a_copy([(0, 1, 16 * BLOCKS, 0, 0)])
        self.assert_answered(self.outside.abort(copy), "ABORT TASK of a copy")
        self.resume(self.osd)
        self.outside.linger(1)
        self.outside.forget(copy)
        self.assertEqual(self.content(self.devices[1], 0, 16), bytes(16 * MIB), "it went on")
        # Another one finds all as it was.
        self.good(self.outside, cdb.test_unit_ready())
        parameters = cdb.copy_parameters(self.names, [(0, 1, 16 * BLOCKS, 0, 0)])
        recovery.retry(self.outside, cdb.extended_copy(parameters), 60, data=parameters)
        self.assert_content(self.devices[1], 0, self.content(self.devices[0], 0, 16))

    def test_lun_reset_over_copies(self):
        self.fill(self.outside, 0, 0, 16)
        copies = [self.hang_a_copy([(0, 1, 16 * BLOCKS, 0, 16 * number * BLOCKS)]) for number in range(3)]
        self.assert_answered(self.outside.lun_reset(), "LUN RESET over three copies")
        self.resume(self.osd)
        self.outside.linger(0.5)
        self.outside.forget(*copies)
        self.assert_daemon_lives()

    def test_a_copy_never_comes_over_newer_data(self):
        """Aborted at any time while it writes, it leaves alone what is written after that."""
        old, newer_size = self.fill(self.outside, 0, 0, 16), 64 * 1024
        for delay in (0.0, 0.005, 0.02, 0.05):
            self.fill(self.outside, 1, 0, 16)
            copy = self.copy(self.outside, self.names, [(0, 1, 16 * BLOCKS, 0, 0)])
            self.outside.linger(delay)
            self.hang(self.osd)
            self.outside.linger(ON_ITS_WAY_SECONDS)
            finished = copy.done
            if not finished:
                self.assert_answered(self.outside.abort(copy), f"ABORT TASK of a copy after {1000 * delay:.0f} ms")
            newer = {}
            commands = {}
            for number in range(16):
                data = newer[number] = self.random.randbytes(newer_size)
                commands[number] = self.outside.submit(cdb.write16(number * BLOCKS + 8, newer_size // 512), data=data, lun=1)
            self.outside.linger(0.2)
            self.resume(self.osd)
            for number, command in commands.items():
                while command.wait(60).status != GOOD:
                    self.assertTrue(recovery.again_is_right(command), str(command))
                    command = self.outside.submit(cdb.write16(number * BLOCKS + 8, newer_size // 512), data=newer[number], lun=1)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                for number, data in newer.items():
                    found = self.good(self.outside, cdb.read16(number * BLOCKS + 8, newer_size // 512), read=newer_size, lun=1).data
                    self.assertEqual(found == data, True, f"MiB {number} is old again, delay {delay}")
            for number, data in newer.items():
                self.assertEqual(self.cluster.read(self.devices[1].name, number * MIB + 4096, newer_size), data)
            if not finished:
                self.outside.forget(copy)
        self.assertEqual(self.content(self.devices[0], 0, 16), old)
        self.assert_daemon_lives()

    def test_a_copy_that_hangs_is_answered_in_time(self):
        self.fill(self.outside, 0, 0, 4)
        device = self.device(SIZE, control=CONTROL, options=";osd_op_timeout=2")
        self.add_lun(self.target, device, 2)
        name = self.name(self.outside, 2)
        self.hang(self.osd)
        copy = self.copy(self.outside, [name], [(0, 0, 4 * BLOCKS, 0, 8 * BLOCKS)], lun=2)
        copy.wait(10)
        self.assertTrue(recovery.again_is_right(copy), str(copy))
        self.resume(self.osd)

    def test_a_destination_that_is_removed(self):
        self.fill(self.outside, 0, 0, 32)
        segments = [(0, 1, 31 * BLOCKS, 0, 31 * BLOCKS * number) for number in range(2)] * 4
        copy = self.copy(self.outside, self.names, segments)
        self.outside.linger(0.1)
        self.assertFalse(copy.done, "too quick to be disturbed")
        self.target.remove_lun(self.devices[1], 1)
        self.devices[1].delete()
        copy.wait(60)
        if copy.status != GOOD:
            self.assert_sense(copy, 0xA, NOT_REACHABLE)
        self.report(f"the copy ended with {copy}")
        self.assert_daemon_lives()
        recovery.write(self.outside, 0, bytes(MIB))


class LockTest(CopyTestCase):
    def test_the_destinations_lock_is_taken(self):
        source, destination = (self.device(SIZE, control=CONTROL) for _ in range(2))
        target = self.iscsi(source, destination, depth=recovery.SESSION_DEPTH)
        here = self.session(target)
        names = [self.name(here, lun) for lun in range(2)]
        content = self.fill(here, 0, 0, 8)
        other = self.healthy_gateway(1)
        twin = self.device(SIZE, gateway=other, image=destination.name, create=False, control=CONTROL)
        there = self.session(self.iscsi(twin, gateway=other))
        self.good(there, cdb.write16(0, 1), b"t" * 512)  # The other gateway has the lock.
        holder = self.cluster.lockers(destination.name)
        self.copy(here, names, [(0, 1, 8 * BLOCKS, 0, 0)]).wait(60).good()
        self.assertNotEqual(self.cluster.lockers(destination.name), holder)
        self.assertEqual(self.good(there, cdb.read16(0, 8 * BLOCKS), read=8 * MIB).data, content)


class FigureTest(CopyTestCase):
    def test_beside_dd(self):
        size = 256 * MIB
        source, destination = (self.device(size, control=CONTROL) for _ in range(2))
        target = self.iscsi(source, destination)
        initiator = self.login(target)
        disks = [initiator.disk(lun) for lun in range(2)]
        self.gateway.run(f"dd if=/dev/urandom of={disks[0]} bs=4M count=64 iflag=fullblock oflag=direct status=none", timeout=200)
        begun = time.monotonic()
        self.gateway.run(f"dd if={disks[0]} of={disks[1]} bs=4M iflag=direct oflag=direct status=none", timeout=200)
        by_dd = time.monotonic() - begun
        self.assertEqual(self.sha256(disks[0]), self.sha256(disks[1]))
        self.gateway.run(f"blkdiscard {disks[1]}", check=False)
        outside = self.session(target)  # only now: LIO ends a session that does not answer its pings
        names = [self.name(outside, lun) for lun in range(2)]
        begun = time.monotonic()
        eights = [(0, 1, 8 * BLOCKS, 8 * number * BLOCKS, 8 * number * BLOCKS) for number in range(32)]
        copies = [self.copy(outside, names, eights[first:first + 4], list_id=first) for first in range(0, 32, 4)]
        for each in copies:
            each.wait(120).good()
        by_copy = time.monotonic() - begun
        self.assertEqual(self.sha256(disks[0]), self.sha256(disks[1]))
        self.report(f"256 MiB: dd {by_dd:.2f} s, EXTENDED COPY {by_copy:.2f} s, ratio {by_dd / by_copy:.1f}")


if __name__ == "__main__":
    testing.main(osds=1)
