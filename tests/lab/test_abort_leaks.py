#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Thousands of aborts in a row leave nothing behind: no memory, threads, files, ring buffers, ids, watchers, blocklist entries."""

import os
import re
import time

from lib import cdb, recovery, testing
from lib.libiscsi import GOOD, Session
from lib.recovery import MIB, Footprint

ABORTS = int(os.environ.get("LAB_ABORTS", "10000"))
AT_ONCE = 48
# Below the daemon's fence_after of 5 s: commands aborted in so short a time cause no fence.
HUNG_SECONDS = 2.5
# Leaked commands of two such periods fill the ring's data area: the third would hang forever.
CONTROL = "max_data_area_mb=8"
READ_BLOCKS, WRITE_BLOCKS = 96, 8
FUNCTION_COMPLETE = 0
# What an OSD still does while it stops may end before its abort arrives.
LEAST_ABORTED = 0.9
ROUND_SECONDS = 30
# malloc's arenas and librbd's caches find their size in the first hundreds.
GROWTH_MIB = 24
# However many commands are aborted, the log stays readable.
LOG_LINES_MAX = 100
LONG_HANG_SECONDS = 60


class AbortLeaksTest(recovery.RecoveryTestCase):
    time_limit = 120 + ABORTS // 20

    def setUp(self):
        super().setUp()
        self.lun_device, self.target = self.lun(control=CONTROL)
        self.outside = Session(self.target.url())
        self.addCleanup(lambda: self.outside.close())
        recovery.write(self.outside, 0, bytes(MIB))
        self.longest_hang = 0
        self.slowest = 0
        self.aborted = 0

    def commands(self, count):
        """Half reads, whose buffers the daemon has to keep, half writes, each range of which is held."""
        for number in range(count):
            if number % 2:
                yield self.outside.submit(cdb.read16(self.random.randrange(1024), READ_BLOCKS), read=512 * READ_BLOCKS)
            else:
                yield self.outside.submit(cdb.write16(1024 + 16 * number, WRITE_BLOCKS), data=bytes(512 * WRITE_BLOCKS))

    def abort_round(self, count):
        commands = list(self.commands(count))
        managements = [self.outside.abort(each) for each in commands if not each.done]
        self.outside.poll(lambda: all(each.done for each in managements), ROUND_SECONDS, f"{count} ABORT TASKs are answered")
        self.slowest = max(self.slowest, *(each.seconds for each in managements))
        self.aborted += sum(each.response == FUNCTION_COMPLETE for each in managements)
        self.assertNotIn(GOOD, {each.status for each in commands})
        self.outside.forget(*commands)

    def aborts(self, count):
        """That many aborts, with an OSD that hangs for a while, works for a while."""
        started, done = time.monotonic(), 0
        logged = len(self.daemon.log())
        self.aborted = 0
        while done < count:
            self.new_session()
            osd, hung = self.cluster.osds[0], time.monotonic()
            self.hang(osd)
            end = min(count, done + recovery.ABORTS_PER_SESSION)
            while done < end and time.monotonic() < hung + HUNG_SECONDS:
                batch = min(AT_ONCE, end - done)
                self.abort_round(batch)
                done += batch
            self.resume(osd)
            self.longest_hang = max(self.longest_hang, time.monotonic() - hung)
            self.assert_serving()
        self.assertGreater(self.aborted, LEAST_ABORTED * count - 1, "aborts that found their command")
        lines = self.daemon.log()[logged:].count("\n")
        self.report(f"{self.aborted} of {count} aborts in {time.monotonic() - started:.0f} s, "
                  f"the slowest of a batch {1000 * self.slowest:.0f} ms, {lines} lines in the log")
        self.assertLessEqual(lines, LOG_LINES_MAX)

    def new_session(self):
        self.outside.close()
        self.outside = Session(self.target.url())

    def assert_serving(self):
        data = self.random.randbytes(64 * 1024)
        recovery.write(self.outside, 0, data)
        self.assertEqual(recovery.read(self.outside, 0, len(data) // 512), data)

    def settled_footprint(self, like=None):
        """What the daemon holds, as soon as it holds no more threads and files than before."""
        def found():
            now = Footprint.of(self.daemon)
            return now if like is None or (now.threads <= like.threads and now.files <= like.files) else None

        return self.wait_until(found, 60, f"the daemon holds no more than {like}")

    def test_1_100_and_10000(self):
        self.aborts(200)  # the daemon's own caches come to their size
        before = self.settled_footprint()
        watchers, blocklist = len(self.cluster.watchers(self.lun_device.name)), self.cluster.blocklist()
        self.longest_hang = 0
        for count in (1, 100, ABORTS):
            self.aborts(count)
            after = self.settled_footprint(before)
            self.report(f"after {count}: {after}, before: {before}")
            self.assertLess(after.rss_mib - before.rss_mib, GROWTH_MIB)
            self.assertEqual(len(self.cluster.watchers(self.lun_device.name)), watchers)
        if self.longest_hang < 4.5:
            self.assertEqual(self.cluster.blocklist(), blocklist)
        self.assert_all_buffers_are_free()
        self.assert_nothing_is_open()
        self.assert_daemon_lives()

    def test_the_log_of_an_osd_that_hangs_for_long(self):
        """With fences, which the short hangs of the other test do not cause."""
        logged, started, done = len(self.daemon.log()), time.monotonic(), 0
        self.hang(self.cluster.osds[0])
        while done < ABORTS:
            self.new_session()
            for _ in range(recovery.ABORTS_PER_SESSION // AT_ONCE):
                commands = [self.outside.submit(cdb.write16(1024 + 16 * number, WRITE_BLOCKS), data=bytes(512 * WRITE_BLOCKS))
                            for number in range(AT_ONCE)]
                managements = [self.outside.abort(each) for each in commands if not each.done]
                self.outside.poll(lambda: all(each.done for each in managements), ROUND_SECONDS, "the ABORT TASKs are answered")
                self.outside.forget(*commands)
                done += AT_ONCE
        self.daemon.wait_log("fence: done", LONG_HANG_SECONDS, logged)
        self.wait_until(lambda: time.monotonic() > started + LONG_HANG_SECONDS, LONG_HANG_SECONDS + 1, "the OSD hangs for long")
        self.resume(self.cluster.osds[0])
        self.new_session()
        self.assert_serving()

        def reported():
            """Aborts that the log reports: a line for each, or a number of suppressed lines; perhaps late, those of an earlier device."""
            lines = [line for line in self.daemon.log()[logged:].splitlines() if ": abort " in line and self.lun_device.name in line]
            numbers = re.findall(r"(\d+) similar lines suppressed", "\n".join(lines))
            return len(re.findall("abort by=", "\n".join(lines))) + sum(map(int, numbers))

        self.wait_until(lambda: LEAST_ABORTED * done < reported() <= done, LONG_HANG_SECONDS, "the log reports how many aborts there were")
        lines = self.daemon.log()[logged:].count("\n")
        self.report(f"{done} aborts, {reported()} of them reported, cost {lines} lines in {time.monotonic() - started:.0f} s")
        self.assertLessEqual(lines, LOG_LINES_MAX)

    def assert_all_buffers_are_free(self):
        """Commands in flight that need nearly all of the data area at once."""
        reads = [self.outside.submit(cdb.read16(0, 2048), read=MIB) for _ in range(7)]
        for each in reads:
            each.wait(30).good()

    def assert_nothing_is_open(self):
        status = self.status(self.lun_device)
        if status:  # tcmu-runner has no status
            self.assertEqual([status.get(name) for name in ("commands_open", "detached")], [0, 0], status)


if __name__ == "__main__":
    testing.main(osds=1)
