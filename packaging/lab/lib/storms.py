# SPDX-License-Identifier: Apache-2.0
"""Trouble at random for LAB_STORM_MINUTES beside a verifying load, after which nothing may have grown.

    load = self.load(target)
    for _ in self.rounds(load):
        ...                    # make trouble, and end it
"""

import os
import time

from . import recovery
from .recovery import MIB, Footprint
from .storm_load import Load

MINUTES = float(os.environ.get("LAB_STORM_MINUTES", "2"))
SIZE = 64 * MIB
OBJECTS = range(SIZE // MIB)
# After the end of all trouble, for what is still under way.
END_SECONDS = 60
# Caches, malloc's arenas and connections come to their size within these.
WARM_SECONDS = min(60, 20 * MINUTES)
# Threads are as many as before. Connections to OSDs are opened at need: some may have been closed when it was warm. RSS grew by 0 to 5 MiB
# in three minutes, and by less than 1 MiB with 2075 LUNs that came and went in half an hour. (Without malloc_trim() at the end of each
# client, 621 of them made 17 MiB in twelve minutes.) A leak of a KiB for each of the 10 to 100 commands in a second would be 18 MiB and
# more in half an hour.
GROWTH_MIB, GROWTH_FILES = 24, 8


class StormTestCase(recovery.RecoveryTestCase):
    time_limit = int(600 + 90 * MINUTES)

    def storm_lun(self, **options):
        """(device, target) of an image with small objects: a load on all of them uses all OSDs."""
        name = self.image_name()
        self.cluster.create_image(name, SIZE, object_size=MIB, pool=options.get("pool", "rbd"))
        return self.lun(SIZE, image=name, create=False, **options)

    def load(self, *targets, **options):
        load = Load(self.random, targets, OBJECTS, **options)
        self.addCleanup(load.drop)
        load.start()
        return load

    def wait_for(self, loads, count, seconds=END_SECONDS):
        """Each of the loads has that many more good answers."""
        enough = [load.good + count for load in loads]

        def done():
            self.check(loads)
            return all(load.good >= least for load, least in zip(loads, enough))

        self.wait_until(done, seconds, f"{count} more commands are good")

    def pause(self, loads, seconds):
        """A moment at random: trouble does not wait for anything."""
        end = time.monotonic() + seconds
        self.wait_until(lambda: self.check(loads) or time.monotonic() >= end, seconds + END_SECONDS, "the moment comes")

    @staticmethod
    def check(loads):
        for load in loads:
            load.check()

    def rounds(self, *loads):
        """The numbers of the rounds, while there is time; then the loads end, all data is compared, and nothing has grown."""
        begin = minute = time.monotonic()
        before, number = None, 0
        while before is None or time.monotonic() < begin + 60 * MINUTES:
            number += 1
            yield number
            self.check(loads)
            if before is None and time.monotonic() > begin + WARM_SECONDS:
                self.before_measuring()
                before = self.footprints()
                self.report(f"warm: {before}")
            elif time.monotonic() > minute + 60:
                minute = time.monotonic()
                self.report(f"{minute - begin:.0f} s, {number} rounds: {self.running()}")
        seconds = time.monotonic() - begin
        self.before_measuring()
        self.assert_nothing_grew(before)
        for load in loads:
            load.finish(END_SECONDS)
            self.report(f"{number} rounds in {seconds:.0f} s, {load}")
            self.assertGreater(load.reads, 0)
        self.assert_daemon_lives()

    def before_measuring(self):
        """Makes the two moments alike whose footprints are compared."""

    def look_in_cluster(self, load, device, pool="rbd"):
        """What the cluster's own client reads."""
        load.hunt.look_in_cluster(self.cluster.export(device.name, pool=pool)[:SIZE], 0)

    # --- what must not grow ---

    def running(self):
        return {name: Footprint.of(daemon) for name, daemon in self._daemons().items() if daemon.alive()}

    def _daemons(self):
        return {daemon.gateway.name: daemon for daemon in self.lab.daemons.values() if daemon.gateway.reachable()}

    def footprints(self):
        """What the daemons hold when that has been the same for two seconds."""
        seen = []

        def settled():
            now = self.running()
            held = {name: (each.threads, each.files) for name, each in now.items()}
            seen[:] = [(moment, what) for moment, what in seen if what == held] + [(time.monotonic(), held)]
            return now if time.monotonic() > seen[0][0] + 2 else None

        return self.wait_until(settled, END_SECONDS, "threads and files of the daemons stay the same")

    def assert_nothing_grew(self, before):
        def settled():
            now = self.running()
            fits = all(now[name].threads <= each.threads and now[name].files <= each.files + GROWTH_FILES
                       for name, each in before.items())
            return now if fits else None

        try:
            after = self.wait_until(settled, END_SECONDS, f"the daemons hold no more than {before}")
        except TimeoutError as late:
            raise AssertionError(f"{late}: {self.running()}") from None
        self.report(f"at the end: {after}")
        for name, each in before.items():
            self.assertLess(after[name].rss_mib - each.rss_mib, GROWTH_MIB, name)
