#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full cluster, and a pool at its quota: writes are refused at once, other I/O is served, no fences, and it recovers by itself."""

import re
import time

from lib import cdb, recovery, testing
from lib.libiscsi import CHECK_CONDITION, GOOD
from lib.recovery import MIB

SIZE = 64 * MIB
BLOCKS = MIB // 512
OBJECT_PAGES = 4 * MIB // 4096
NEW_LBA = 14 * OBJECT_PAGES * 8
DATA_PROTECT, SPACE_ALLOCATION_FAILED = 7, 0x2707
# Once the clients know; until then a write is good.
NOTICED_SECONDS = 30
ANSWER_SECONDS = 1
AGAIN_SECONDS = 10
TRIES = 8
POOL = "small"
USUAL_RATIOS = (0.85, 0.9, 0.95)


class FullTest(recovery.RecoveryTestCase):
    def serve(self, pool="rbd"):
        self.lun_device, target = self.lun(SIZE, pool=pool)
        self.here = self.session(target)
        for mib in range(4):
            recovery.write(self.here, mib * BLOCKS, bytes(MIB))
        self.log_start, self.blocklist = len(self.daemon.log()), self.cluster.blocklist()

    def write(self, page):
        return self.here.submit(cdb.write16(page * 8, 8), data=b"f" * 4096)

    def wait_until_refused(self):
        """Each write needs more space: what an object has already may be written over."""
        pages = iter(range(4 * OBJECT_PAGES, 5 * OBJECT_PAGES))

        def refused():
            write = self.write(next(pages)).wait(60)
            return write.status != GOOD and write.key != recovery.UNIT_ATTENTION

        self.wait_until(refused, NOTICED_SECONDS, "a write is refused")

    def assert_full(self):
        """For writes to new objects, and for nothing else."""
        started = time.monotonic()
        writes = [self.write((5 + number) * OBJECT_PAGES) for number in range(TRIES)]
        self.here.poll(lambda: all(each.done for each in writes), 40, "writes to a full pool are answered")
        self.report(f"{TRIES} writes to a full pool: {1000 * (time.monotonic() - started):.0f} ms, {writes[0]}")
        self.assertLess(max(each.seconds for each in writes), ANSWER_SECONDS)
        for each in writes:
            self.assertEqual((each.status, each.key, each.ascq), (CHECK_CONDITION, DATA_PROTECT, SPACE_ALLOCATION_FAILED), str(each))
        started = time.monotonic()
        self.here.command(cdb.read16(0, BLOCKS), read=MIB, timeout=20).good()
        self.here.command(cdb.unmap(), data=cdb.unmap_parameters(BLOCKS, BLOCKS), timeout=20).good()
        self.report(f"a read and an UNMAP: {1000 * (time.monotonic() - started):.0f} ms")
        self.assertLess(time.monotonic() - started, 2 * ANSWER_SECONDS)

    def assert_again(self):
        started, data = time.monotonic(), self.random.randbytes(4096)

        def good():
            return self.here.command(cdb.write16(NEW_LBA, 8), data=data, timeout=20).status == GOOD

        self.wait_until(good, 3 * AGAIN_SECONDS, "a write is good again")
        self.report(f"writes are good again after {time.monotonic() - started:.1f} s")
        self.assertLess(time.monotonic() - started, AGAIN_SECONDS)
        self.assertEqual(recovery.read(self.here, NEW_LBA, 8), data)
        self.assertEqual(self.cluster.blocklist(), self.blocklist, "an instance was fenced")
        self.assert_daemon_lives()
        with self.subTest("reported once, and once when it is over"):
            self.here.linger(1)  # the log may come later than the answers
            output = re.findall(r"the pool (is full|has space again)", self.daemon.log()[self.log_start:])
            self.assertEqual(output, ["is full", "has space again"])

    def test_no_space_in_the_cluster(self):
        self.serve()
        self.addCleanup(self.full_ratios, *USUAL_RATIOS)
        self.full_ratios(0.0001, 0.0002, 0.0003)
        self.wait_until_refused()
        self.assert_full()
        self.full_ratios(*USUAL_RATIOS)
        self.assert_again()

    def full_ratios(self, *ratios):
        """An OSD with more than that part of its space in use is full, and with it all pools that have data there."""
        for name, ratio in zip(("nearfull", "backfillfull", "full"), ratios):
            self.cluster.command(f"osd set-{name}-ratio", ratio=ratio)

    def test_pool_is_at_its_quota(self):
        self.cluster.create_pool(POOL)
        self.serve(POOL)
        self.quota(MIB)
        self.wait_until_refused()
        self.assert_full()
        self.quota(0)
        self.assert_again()

    def quota(self, size):
        self.cluster.command("osd pool set-quota", pool=POOL, field="max_bytes", val=str(size))


if __name__ == "__main__":
    testing.main(osds=1, mgr=True)
