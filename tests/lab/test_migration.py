#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From tcmu-runner to tcmu-rbd and back, one gateway at a time, as packaging/MIGRATION.md describes it: a host writes and verifies all the
while over two paths, and sees pauses, but no error.

LAB_MIGRATION_MOVES=N: how often the host goes to its other path and back in each state.
"""

import contextlib
import os
import re
import threading
import time

from lib import alua, daemon, testing
from lib.initiator import Fio
from lib.lab import daemon_under_test
from lib.recovery import MIB

SIZE = 64 * MIB
HOST = 2
MOVES = int(os.environ.get("LAB_MIGRATION_MOVES", "2"))
MORE = 60
# The pauses that the page promises, with room for a slow and shared machine: for a daemon that is exchanged for another; for a move of
# the load between two daemons; and for one to a tcmu-rbd whose lock tcmu-runner broke less than ten seconds ago: it learns that from the
# blocklist after 3 s or from its first write, and then answers changes with BUSY for 5 s, since they may be stale.
EXCHANGE_SECONDS, MOVE_SECONDS, BROKEN_SECONDS = 5, 3, 9
# How long the load stays on a path so that tcmu-rbd on the other one knows of its broken lock.
STAY_SECONDS = 12
NAMES = {True: "tcmu-rbd", False: "tcmu-runner"}


class Progress(threading.Thread):
    """Counts the writes that a host's disk has completed; knows the longest time without one."""

    def __init__(self, host, disk):
        super().__init__(daemon=True)
        self._host, self._path = host, f"/sys/block/{disk}/stat"
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._count, self._at, self._longest = self.done(), time.monotonic(), 0.0
        self.start()

    def done(self):
        return int(self._host.files(["read", self._path])[0].split()[4])

    def run(self):
        while not self._ended.wait(0.02):
            count, now = self.done(), time.monotonic()
            with self._lock:
                self._longest = max(self._longest, now - self._at)
                if count != self._count:
                    self._count, self._at = count, now

    def take_longest(self):
        with self._lock:
            longest, self._longest = self._longest, 0.0
            return longest

    def stop(self):
        self._ended.set()
        self.join(60)


class MigrationTest(alua.AluaTestCase):
    time_limit = 540

    def setUp(self):
        super().setUp()
        self.gateways = [self.gateway, self.lab.gateway(1)]
        self.host = self.lab.gateway(HOST)

    # --- an operator's steps ---

    def exchange(self, number, ours):
        """The package of the one daemon in place of the other's: one stops, the other starts. Devices and targets stay."""
        old = self.lab.daemons.pop(number, None)
        if old and old.alive():
            old.stop(60)
        gateway = self.gateways[number]
        new = daemon.TcmuRbd(gateway, daemon_under_test()) if ours else daemon.TcmuRunner(gateway)
        self.lab.daemons[number] = new
        return new.start()

    def both_served_by_tcmu_runner(self):
        for number in (0, 1):
            self.exchange(number, ours=False)
        options = {"control": "max_data_area_mb=64", "options": ";osd_op_timeout=30"}
        device, own = self.serve(0, SIZE, **options)
        _, other = self.serve(1, SIZE, image=device.name, create=False, **options)
        return device, (own, other)

    # --- the host ---

    def multipath(self, targets):
        """A disk over both paths, the first one preferred. What multipathd does, reinstating paths, does a loop."""
        pattern = "/sys/class/iscsi_session/session*/device/target*/*:0/block/*"
        paths = []
        for target in targets:
            before = self.host.files(["glob", pattern])[0]
            self.login(target, self.host)
            found = self.wait_until(lambda: set(self.host.files(["glob", pattern])[0]).difference(before), 30, "a path appears")
            paths.append("/dev/" + found.pop().rsplit("/", 1)[1])
        table = f"0 {SIZE // 512} multipath 1 queue_if_no_path 0 2 1 " + " ".join(f"queue-length 0 1 1 {path} 1" for path in paths)
        again = "; ".join(f"dmsetup message lun 0 'reinstate_path {path}'" for path in paths)
        self.host.run(f"""
            modprobe -d /run/modules -a dm-multipath dm-queue-length
            dmsetup --noudevrules --noudevsync create lun --table '{table}'
            (while dmsetup status lun > /run/lun.status && sleep 0.5; do
               grep -q ' F ' /run/lun.status && ({again}); done) > /dev/null 2>&1 < /dev/null &""")
        self.addCleanup(self.host.run, "dmsetup --noudevrules --noudevsync remove --retry lun", 60)
        return self.host.output("dmsetup info -c --noheadings -o blkdevname lun")

    def use_path(self, number):
        self.host.run(f"dmsetup message lun 0 'switch_group {number + 1}'")

    def wait_for_more(self, count=MORE):
        enough = self.progress.done() + count
        self.wait_until(lambda: self.progress.done() >= enough, 90, f"{count} more writes are done")

    @contextlib.contextmanager
    def pause(self, what, limit):
        """The longest pause of the load in a step, and until the load goes on after it."""
        self.progress.take_longest()
        yield
        self.wait_for_more()
        seconds = self.progress.take_longest()
        self.report(f"{what}: longest pause {seconds:.1f} s")
        self.pauses.append((what, seconds, limit))

    def converted(self, number, ours):
        with self.pause(f"gw{number} gets {NAMES[ours]}", EXCHANGE_SECONDS):
            self.exchange(number, ours)

    def moved(self, state, limit, moves=MOVES, stay=0):
        for _ in range(moves):
            for number in (1, 0):
                self.load_for(stay)
                with self.pause(f"{state}: to gw{number}", limit):
                    self.use_path(number)

    def load_for(self, seconds):
        until = time.monotonic() + seconds
        self.wait_until(lambda: time.monotonic() >= until, seconds + 10, "the load runs")
        self.wait_for_more()

    def checked(self, number, levels):
        """What `tcmu-rbdctl check` finds there."""
        gateway = self.gateways[number]
        status, text = gateway.run(f"{self.client(gateway)} check", 60, False)
        self.assertEqual(status, 0, text)
        self.assertEqual(set(re.findall(r"^(OK|WARN|FAIL) ", text, re.M)), levels, text)

    def test_there_and_back(self):
        device, targets = self.both_served_by_tcmu_runner()
        disk = self.multipath(targets)
        load = Fio(self.host, f"/dev/{disk}", name="host", bssplit="4k/70:64k/30", size="32M", iodepth=8, verify_backlog=16,
                   randseed=self.random.getrandbits(30)).start()
        self.pauses = []
        self.progress = Progress(self.host, disk)
        self.addCleanup(self.progress.stop)
        with self.pause("nothing happens", MOVE_SECONDS):
            self.wait_for_more(5 * MORE)
        self.checked(0, {"OK", "WARN"})

        self.converted(1, ours=True)
        self.checked(1, {"OK", "WARN"})
        self.moved("tcmu-runner and tcmu-rbd", MOVE_SECONDS, stay=STAY_SECONDS)
        self.moved("tcmu-runner and tcmu-rbd, at once", BROKEN_SECONDS, 1)
        self.converted(0, ours=True)
        self.checked(0, {"OK"})
        self.moved("tcmu-rbd alone, for the first time", BROKEN_SECONDS, 1)
        self.moved("tcmu-rbd alone", MOVE_SECONDS)
        self.converted(1, ours=False)
        self.moved("tcmu-rbd and tcmu-runner", MOVE_SECONDS, stay=STAY_SECONDS)
        self.converted(0, ours=False)

        self.progress.stop()
        load.finish(120)
        load.verify(120)
        self.assertNotRegex(self.host.output("dmesg"), r"I/O error.*dm-|Buffer I/O error")
        for gateway in self.gateways:
            self.assertEqual(gateway.files(["read", f"{device.path}/attrib/tmr_notification"])[0].strip(), "0")
        late = [each for each in self.pauses if each[1] > each[2]]
        self.assertEqual(late, [])


if __name__ == "__main__":
    testing.main(osds=2)
