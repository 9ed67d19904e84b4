#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Another process resets a device's ring: the kernel has answered all commands, so none of them may run any more."""

from lib import cdb, recovery, testing
from lib.copying import BLOCKS as MIB_BLOCKS
from lib.copying import CONTROL, CopyTestCase
from lib.ghost_rounds import GhostTestCase
from lib.ghosts import BLOCKS, PAGE, Hunt
from lib.libiscsi import BUSY
from lib.placement import image_with_its_lock_on_one_osd
from lib.recovery import MIB

SIZE = 64 * MIB
WRITES = 32
OBJECT_PAGES = 4 * MIB // PAGE
ON_ITS_WAY_SECONDS = 0.5
ANSWER_SECONDS = 10
WATCH_SECONDS = 2
COPIES, COPY_MIB, COPY_SECONDS = 4, 16, 30


class ResetRingTest(GhostTestCase):
    def reset(self, device, session, old):
        """Then the host comes again, as they do after BUSY: so the daemon hears of it."""
        device.reset_ring()
        commands = [command for _, command in old]
        session.poll(lambda: all(each.done for each in commands), ANSWER_SECONDS, "the kernel answers what was on the ring")
        self.assertEqual({each.status for each in commands}, {BUSY})
        session.submit(cdb.test_unit_ready())
        session.linger(ON_ITS_WAY_SECONDS)

    def assert_serving(self, session, lba=0):
        """By the same daemon."""
        data = self.random.randbytes(PAGE)
        recovery.write(session, lba, data)
        self.assertEqual(recovery.read(session, lba, BLOCKS), data)
        self.assert_daemon_lives()

    def test_writes_that_wait_for_the_lock(self):
        image, osd, placement = image_with_its_lock_on_one_osd(self.cluster, (self.image_name() for _ in range(200)), SIZE)
        healthy = next(n for n in range(placement.object_count) if placement.data(n) != osd)
        pages = range(healthy * OBJECT_PAGES, healthy * OBJECT_PAGES + WRITES)
        device, target = self.lun(SIZE, image=image, create=False)
        _, _, peer = self.peer(device)
        here, there, hunt = self.session(target), self.session(peer), Hunt()
        for session in (here, there):
            hunt.fill(session, [hunt.change(page, 1) for page in pages])
        self.hang(self.cluster.osds[osd])
        old = hunt.submit(here, [hunt.change(page, 1) for page in pages])
        here.linger(ON_ITS_WAY_SECONDS)
        self.reset(device, here, old)
        hunt.write_all(there, [hunt.change(page, 1) for page in pages], ANSWER_SECONDS)
        self.resume(self.cluster.osds[osd])
        hunt.look({"by the first gateway": here, "by the second": there}, pages, WATCH_SECONDS)
        hunt.write_all(here, [hunt.change(page, 1) for page in pages], ANSWER_SECONDS)
        hunt.look({"by the first gateway": here, "by the second": there}, pages, 0)
        self.assert_serving(here, healthy * OBJECT_PAGES * BLOCKS)

    def test_writes_that_hang(self):
        """Their memory is the kernel's again: nothing but what was sent may come to the image, and that not late."""
        self.prepare()
        for _ in range(2):
            self.hang(self.victim)
            old = self.send_old()
            self.reset(self.device_here, self.here, old)
            timer = self.resume_at_random(self.victim)
            self.newer_writes(self.here)
            timer.join()
            self.look()
            self.look_in_cluster()
        self.assert_serving(self.here, SIZE // 512 - BLOCKS)


class CopyTest(CopyTestCase):
    def test_copies_to_and_from_it(self):
        """Copies of another LUN and of this one; they may fail, but everything works afterwards."""
        devices = [self.device(SIZE, control=CONTROL) for _ in range(2)]
        for device in devices:
            device.set("cmd_time_out", 0)
        target = self.iscsi(*devices, depth=recovery.SESSION_DEPTH)
        outside = self.session(target)
        names = [self.name(outside, lun) for lun in range(2)]
        content = self.fill(outside, 0, 0, COPY_MIB)
        for asked, reset in ((0, 1), (1, 1), (0, 0), (1, 0)):
            segments = [[(0, 1, COPY_MIB * MIB_BLOCKS, 0, COPY_MIB * MIB_BLOCKS * number)] for number in range(COPIES)]
            copies = [self.copy(outside, names, each, asked, list_id=number) for number, each in enumerate(segments)]
            outside.linger(self.random.uniform(0.02, 0.2))
            devices[reset].reset_ring()
            # Hosts go on meanwhile.
            outside.submit(cdb.test_unit_ready(), lun=reset)
            outside.poll(lambda: all(each.done for each in copies), COPY_SECONDS, "copies end")
            self.report(f"LUN {asked} copies, the ring of LUN {reset} is reset: " + ", ".join(map(str, copies)))
            self.assert_daemon_lives()
        parameters = cdb.copy_parameters(names, segments[0])
        recovery.retry(outside, cdb.extended_copy(parameters), COPY_SECONDS, data=parameters)
        self.assert_content(devices[1], 0, content)


if __name__ == "__main__":
    testing.main(osds=3)
