#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The monitors have no quorum: what is served stays served, and LUNs and the daemon end all the same."""

import time

from lib import cdb, recovery, testing
from lib.libiscsi import Session
from lib.placement import image_beside_an_osd
from lib.recovery import MIB

# Until the guard of fences waits for the monitors as well: it looks once a second.
LOOKS_SECONDS = 2
# A monitor command times out after 10 s.
END_SECONDS = 25
# A fence fails after those 10 s and is retried 5 s later: two retries.
STUCK_SECONDS = 32
ANSWER_SECONDS = 2


class QuorumTest(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        self.served = self.device(16 * MIB)
        self.target = self.iscsi(self.served)
        self.host = self.session(self.target)
        self.host.write(0, b"with" + bytes(508))
        self.cluster.mon.hang()
        self.addCleanup(self.cluster.mon.resume)
        end = time.monotonic() + LOOKS_SECONDS
        while time.monotonic() < end:
            self.host.write(1, b"without" + bytes(505))
            self.assertEqual(self.host.read(0, 1), b"with" + bytes(508))

    def assert_served(self):
        with Session(self.target.url()) as session:
            self.assertEqual(session.read(1, 1), b"without" + bytes(505))
            session.write(2, b"again" + bytes(507))

    def test_the_daemon_ends(self):
        began = time.monotonic()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertLess(time.monotonic() - began, END_SECONDS)
        self.cluster.mon.resume()
        self.daemon.start()
        self.assert_served()

    def test_the_last_lun_goes_and_comes_again(self):
        self.host.close()
        self.target.remove_lun(self.served)
        began = time.monotonic()
        self.served.delete(timeout=END_SECONDS)
        self.assertLess(time.monotonic() - began, END_SECONDS)
        self.cluster.mon.resume()
        self.served.create().enable()
        self.add_lun(self.target, self.served, 0)
        self.assert_served()


class StuckTest(recovery.RecoveryTestCase):
    """A write hangs, and without quorum its instance cannot be fenced: all else of the LUN is served."""

    stories_name_the_osd = False  # The monitors cannot be asked.

    def setUp(self):
        super().setUp()
        image, victim, placement = image_beside_an_osd(self.cluster, (self.image_name() for _ in range(200)), 64 * MIB)
        self.victim = self.cluster.osds[victim]
        blocks = placement.object_size // 512
        self.stuck = placement.objects_on(victim)[0] * blocks
        self.healthy = next(n for n in range(placement.object_count) if placement.data(n) != victim) * blocks
        self.lun_device, target = self.lun(64 * MIB, image=image, create=False)
        self.host = self.session(target)
        for lba in (self.stuck, self.healthy):
            recovery.write(self.host, lba, bytes(MIB))

    def test_all_other_blocks_are_served(self):
        self.hang(self.victim)
        hung = self.host.submit(cdb.write16(self.stuck, 1), data=b"old" + bytes(509))
        self.host.linger(0.3)
        self.cluster.mon.hang()
        self.addCleanup(self.cluster.mon.resume)
        self.host.abort(hung).wait(ANSWER_SECONDS)
        self.host.forget(hung)
        self.wait_until(lambda: self.status(self.lun_device)["lock"] == "stuck", 30, "the fence has failed")
        states, longest, end = set(), 0, time.monotonic() + STUCK_SECONDS
        while time.monotonic() < end:
            states.add(self.status(self.lun_device)["lock"])
            data, started = self.random.randbytes(512), time.monotonic()
            recovery.write(self.host, self.healthy, data, ANSWER_SECONDS)
            self.assertEqual(recovery.read(self.host, self.healthy, 1, ANSWER_SECONDS), data)
            longest = max(longest, time.monotonic() - started)
            self.host.linger(0.2)
        self.report(f"a write and a read while the lock was {', '.join(sorted(states))}: {1000 * longest:.0f} ms at most")
        self.assertEqual(states, {"fencing", "stuck"}, "no retry was seen")
        self.cluster.mon.resume()
        self.resume(self.victim)
        recovery.write(self.host, self.stuck, b"new" + bytes(509))
        self.assertEqual(recovery.read(self.host, self.stuck, 1), b"new" + bytes(509))
        self.assert_daemon_lives()


if __name__ == "__main__":
    testing.main(osds=3)
