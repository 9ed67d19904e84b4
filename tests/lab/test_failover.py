#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The second gateway takes over from a first that is healthy, stuck, frozen or dead; and what else must not stop a LUN for good."""

import time

from lib import cdb, recovery, testing
from lib.initiator import Fio
from lib.libiscsi import GOOD, Session
from lib.placement import image_beside_an_osd
from lib.recovery import MIB

SIZE = 64 * MIB
PAGE = 4096
BLOCKS = PAGE // 512
# Asked of the daemon: 0.5 s from a healthy one, 2.5 s from a stuck one, 3 s else; the rest is for a slow and shared machine.
TAKE_OVER_SECONDS = 5
# A daemon that never comes to it is given up after this; tcmu-runner needs 30 s with a frozen one.
PATIENCE_SECONDS = 60
# A lock that was just taken is not handed on at once.
SETTLED_SECONDS = 0.5
HOPS = 20
ISID = 0x123456
BEYOND_FIO_LBA = 32 * MIB // 512


class FailoverTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        names = (f"{self.image_name()}" for _ in range(200))
        self.image, victim, placement = image_beside_an_osd(self.cluster, names, SIZE)
        self.victim = self.cluster.osds[victim]
        blocks_per_object = placement.object_size // 512
        self.stuck_lba = placement.objects_on(victim)[0] * blocks_per_object
        self.healthy_lba = next(n for n in range(placement.object_count) if placement.data(n) != victim) * blocks_per_object

    def serve(self, **options):
        self.lun_device, self.target = self.lun(SIZE, image=self.image, create=False, **options)
        self.here = self.session(self.target)
        for lba in (self.stuck_lba, self.healthy_lba):
            recovery.write(self.here, lba, bytes(MIB))
        return self.here

    def serve_twice(self):
        self.serve()
        self.second, _, target = self.peer(self.lun_device)
        self.there = self.session(target)
        recovery.read(self.there, self.healthy_lba, BLOCKS)
        self.here.linger(SETTLED_SECONDS)

    def timed_write(self, session, lba, figure, limit=TAKE_OVER_SECONDS):
        """The first good write; returns its data."""
        data = self.random.randbytes(PAGE)
        started = time.monotonic()
        recovery.write(session, lba, data, PATIENCE_SECONDS)
        seconds = time.monotonic() - started
        self.report(f"first good write {figure}: {1000 * seconds:.0f} ms")
        self.assertLess(seconds, limit)
        self.assertEqual(self.cluster.read(self.image, 512 * lba, PAGE), data)
        return data

    def assert_both_work(self):
        """Either gateway's writes are seen by the other, and last."""
        for session, other in ((self.here, self.there), (self.there, self.here)):
            for lba in (self.stuck_lba, self.healthy_lba):
                data = self.random.randbytes(PAGE)
                recovery.write(session, lba, data, PATIENCE_SECONDS)
                self.assertEqual(recovery.read(other, lba, BLOCKS), data)
        self.assert_daemon_lives()

    # --- two gateways ---

    def test_healthy(self):
        self.serve_twice()
        blocklist = self.cluster.blocklist()
        self.timed_write(self.there, self.healthy_lba, "after an idle and healthy gateway")
        self.here.linger(SETTLED_SECONDS)
        self.timed_write(self.here, self.healthy_lba, "back again")
        shadow = {}
        for hop in range(HOPS):
            session, other = (self.there, self.here)[::1 if hop % 2 else -1]
            for _ in range(8):
                lba, data = self.healthy_lba + BLOCKS * self.random.randrange(64), self.random.randbytes(PAGE)
                recovery.write(session, lba, data, PATIENCE_SECONDS)
                shadow[lba] = data
            for lba, data in shadow.items():
                self.assertEqual(recovery.read(other, lba, BLOCKS), data)
        self.assertEqual(self.cluster.blocklist(), blocklist, "a healthy gateway was blocklisted")
        self.assert_both_work()

    def test_load_from_both_sides(self):
        """What hosts do that use all paths: the lock goes to and fro, slowly, and no command fails."""
        self.serve_twice()
        blocklist = self.cluster.blocklist()
        there = testing.Background(self.verifying_load, self.there, self.healthy_lba, 5)
        here = self.verifying_load(self.here, self.healthy_lba + 1024, 5)
        self.report(f"both at once, for 5 s: {here} and {there.result()} writes")
        self.assertEqual(self.cluster.blocklist(), blocklist, "a healthy gateway was blocklisted")

    def test_ten_times_beside_fio(self):
        """A host's disk under a verifying load, while the other gateway takes the lock ten times."""
        self.serve_twice()
        blocklist = self.cluster.blocklist()
        disk = self.loop(self.lun_device).disk()
        load = Fio(self.gateway, disk, name="beside", bssplit="4k/70:64k/30", size="12M", iodepth=16,
                   randseed=self.random.getrandbits(30)).start()
        for number in range(10):
            self.timed_write(self.there, BEYOND_FIO_LBA + BLOCKS * number, f"beside fio, {number + 1}")
            self.here.linger(SETTLED_SECONDS)
        load.finish(120)
        load.verify(120)
        self.assertEqual(self.cluster.blocklist(), blocklist, "a healthy gateway was blocklisted")
        self.assertNotIn("I/O error", self.gateway.output("dmesg"))

    @staticmethod
    def verifying_load(session, lba, seconds):
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            data = count.to_bytes(8, "big") * (PAGE // 8)
            recovery.write(session, lba, data, PATIENCE_SECONDS)
            if recovery.read(session, lba, BLOCKS) != data:
                raise AssertionError(f"write {count} is not there")
            count += 1
        return count

    def test_stuck(self):
        self.serve_twice()
        self.hang(self.victim)
        stuck = [self.here.submit(cdb.write16(self.stuck_lba + BLOCKS * n, BLOCKS), data=b"s" * PAGE) for n in range(8)]
        self.here.linger(0.5)
        data = self.timed_write(self.there, self.healthy_lba, "after a gateway stuck with writes, on a healthy OSD")
        self.resume(self.victim)
        for each in stuck:
            if each.wait(PATIENCE_SECONDS).status != GOOD:
                self.assertTrue(recovery.again_is_right(each), str(each))
        self.assertEqual(recovery.read(self.here, self.healthy_lba, BLOCKS), data)
        self.assert_both_work()

    def test_stuck_and_aborted(self):
        self.serve_twice()
        self.hang(self.victim)
        stuck = [self.here.submit(cdb.write16(self.stuck_lba + BLOCKS * n, BLOCKS), data=b"s" * PAGE) for n in range(8)]
        self.here.linger(0.5)
        self.here.lun_reset().wait(PATIENCE_SECONDS)
        self.timed_write(self.there, self.healthy_lba, "after a gateway that was reset while it was stuck")
        self.here.forget(*stuck)
        self.resume(self.victim)
        self.assert_both_work()

    def test_with_the_first_frozen(self):
        self.serve_twice()
        self.gateway.freeze()
        self.addCleanup(lambda: self.gateway.frozen and self.gateway.thaw())
        data = self.timed_write(self.there, self.healthy_lba, "after a frozen gateway")
        self.gateway.thaw()
        self.assertEqual(recovery.read(self.here, self.healthy_lba, BLOCKS), data)
        self.timed_write(self.here, self.healthy_lba, "by the thawed one", PATIENCE_SECONDS)
        self.assert_both_work()

    def test_with_the_first_dead(self):
        self.serve_twice()
        self.here.drop()
        self.cut_power(self.gateway)
        data = self.timed_write(self.there, self.healthy_lba, "after a dead gateway")
        booting = testing.Background(self.healthy_gateway, 0)
        while booting.is_alive():  # the target drops a session that does not answer its pings
            self.there.linger(1)
        self.gateway = booting.result()
        self.daemon = self.lab.daemons[0]
        self.lun_device, self.target = self.lun(SIZE, image=self.image, create=False)
        self.here = self.session(self.target)
        self.assertEqual(recovery.read(self.here, self.healthy_lba, BLOCKS), data)
        self.timed_write(self.here, self.healthy_lba, "by the one that has booted again")
        self.assert_both_work()

    # --- one gateway ---

    def test_new_login_after_a_dropped_session(self):
        """The kernel lets a session's successor wait until all commands of the old one have ended."""
        self.serve(options=";osd_op_timeout=5")
        session = self.fresh_session(self.target, isid=ISID)
        recovery.read(session, 0, 1)
        self.hang(*self.cluster.osds)
        for number in range(8):
            session.submit(cdb.write16(self.healthy_lba + BLOCKS * number, BLOCKS), data=b"d" * PAGE)
            session.submit(cdb.read16(self.stuck_lba + BLOCKS * number, BLOCKS), read=PAGE)
        session.linger(0.5)
        session.drop()
        started = time.monotonic()
        again = Session(self.target.url(), isid=ISID, timeout=PATIENCE_SECONDS)
        self.addCleanup(again.close)
        seconds = time.monotonic() - started
        self.report(f"login after a dropped session with commands on a hung OSD: {seconds:.1f} s")
        self.assertLess(seconds, 5 + TAKE_OVER_SECONDS)
        self.resume(*self.cluster.osds)
        data = self.random.randbytes(PAGE)
        recovery.write(again, self.healthy_lba, data)
        self.assertEqual(recovery.read(again, self.healthy_lba, BLOCKS), data)
        self.assert_daemon_lives()

    def test_monitor_hung_as_well(self):
        """No gateway can fence: commands get BUSY in time, and everything recovers automatically."""
        session = self.serve(options=";osd_op_timeout=5")
        self.hang(self.cluster.mon, *self.cluster.osds)
        old = [session.submit(cdb.write16(self.stuck_lba + BLOCKS * n, BLOCKS), data=b"o" * PAGE) for n in range(4)]
        session.linger(0.5)
        reset = session.lun_reset().wait(PATIENCE_SECONDS)
        self.report(f"LUN RESET without a monitor: {1000 * reset.seconds:.0f} ms")
        self.assertLess(reset.seconds, 1)
        session.forget(*old)
        started = time.monotonic()
        command = self.busy(session, cdb.write16(self.stuck_lba, BLOCKS), data=b"n" * PAGE)
        self.assertLess(time.monotonic() - started, 5 + TAKE_OVER_SECONDS)
        self.assertTrue(recovery.again_is_right(command), str(command))
        self.resume(self.cluster.mon, *self.cluster.osds)
        self.assert_newer_lasts(session)

    @staticmethod
    def busy(session, command, data):
        """Its answer, behind the news of the reset."""
        while (reply := session.command(command, data=data)).key == recovery.UNIT_ATTENTION:
            pass
        return reply

    def test_user_that_may_not_blocklist(self):
        self.cluster.add_user("weak", mon="allow r", osd="allow rwx pool=rbd")
        session = self.serve(options=";id=weak")
        log_start = len(self.daemon.log())
        self.hang(self.victim)
        old = [session.submit(cdb.write16(self.stuck_lba + BLOCKS * n, BLOCKS), data=b"o" * PAGE) for n in range(4)]
        session.linger(0.5)
        abort = session.abort(old[0]).wait(PATIENCE_SECONDS)
        reset = session.lun_reset().wait(PATIENCE_SECONDS)
        self.report(f"ABORT TASK and LUN RESET without permission to blocklist: {1000 * abort.seconds:.0f}, {1000 * reset.seconds:.0f} ms")
        self.assertLess(max(abort.seconds, reset.seconds), 1)
        session.forget(*old)
        self.daemon.wait_log(r"(?i)(permission|not permitted|denied)", 20, log_start)
        self.resume(self.victim)
        self.assert_newer_lasts(session)

    def assert_newer_lasts(self, session):
        data = self.random.randbytes(PAGE)
        recovery.write(session, self.stuck_lba, data, PATIENCE_SECONDS)
        for _ in range(20):
            self.assertEqual(recovery.read(session, self.stuck_lba, BLOCKS), data)
            session.linger(0.05)
        self.assertEqual(self.cluster.read(self.image, 512 * self.stuck_lba, PAGE), data)
        self.assert_daemon_lives()


if __name__ == "__main__":
    testing.main(osds=3)
