#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trouble at random beside a verifying load: LUNs come and go, an image is resized, the daemon dies, OSDs and the monitor stand still.
No data is wrong, no host sees an error, and nothing grows.

LAB_STORM_MINUTES=N: how long each test makes trouble.
"""

import random
import time
from collections import Counter

from lib import cdb, recovery, testing
from lib.lio import IQN
from lib.passing_lun import PassingLun
from lib.storms import END_SECONDS, SIZE, StormTestCase

BEYOND_THE_END, CAPACITY_CHANGED = (5, 0x2100), (6, 0x2A09)
# Commands that a new daemon has served when its footprint is taken.
YOUNG = 500
# The instances of a daemon that is killed while it starts, and its predecessor's.
FENCES_PER_END = 3
# So long a host waits for a command before it aborts it.
HOST_SECONDS = 5
# From the moment when all OSDs and the monitor serve again: the back-off of forced fences, and instances that open.
WELL_SECONDS = 60


class StormsTest(StormTestCase):
    mortal = False  # The daemon.

    def test_luns_come_and_go(self):
        device, target = self.storm_lun()
        load = self.load(target)
        passing = [PassingLun(self, target, number) for number in range(1, 9)]
        for _ in self.rounds(load):
            chosen = self.random.sample(passing, self.random.randint(1, len(passing)))
            lives = [testing.Background(each.live, random.Random(self.random.getrandbits(64))) for each in chosen]
            for each in lives:
                each.join(2 * END_SECONDS)  # all of them, before one that failed ends the test
            for each in lives:
                each.result(0)
        self.report(f"{sum(each.lives for each in passing)} LUNs came and went, {sum(each.removed_under_load for each in passing)} removed "
                    f"with commands in flight, {sum(each.cut_off for each in passing)} after a lost session")
        # BUSY only after the machine had let the daemon wait for seconds.
        self.assertEqual(load.again["status 0x08"], self.status(device)["counters"]["stale"])
        self.assertLessEqual(set(load.again), {"status 0x08", "status 0x02 6/3F0E"})
        self.look_in_cluster(load, device)
        for each in passing:
            self.assertEqual(self.cluster.watchers(each.device.name), [])

    # --- resizes ---

    def ask(self, command, **options):
        """As the load does: what is answered BUSY or with a unit attention is sent again."""
        while True:
            reply = self.outside.command(command, **options)
            if not recovery.again_is_right(reply):
                return reply
            self.news += (reply.key, reply.ascq) == CAPACITY_CHANGED

    def read(self, lba):
        return self.ask(cdb.read16(lba, 1), read=512).good().data

    def resize(self, device, size):
        """The image first if it grows; if it shrinks, in any order."""
        steps = [lambda: self.cluster.resize(device.name, size), lambda: device.resize(size)]
        if size < device.size and self.random.random() < 0.5:
            steps.reverse()
        steps[0]()
        if size <= device.size:
            self.assert_end(size)
        steps[1]()
        self.assert_end(size)

    def assert_end(self, size):
        end = size // 512
        last = self.read(end - 1)
        for lba, blocks in ((end, 1), (end - 1, 2)):
            self.assert_sense(self.ask(cdb.write16(lba, blocks), data=b"\xee" * 512 * blocks), *BEYOND_THE_END)
            self.assert_sense(self.ask(cdb.read16(lba, blocks), read=512 * blocks), *BEYOND_THE_END)
        self.assertEqual(self.read(end - 1), last)

    def assert_blocks(self, size, old_size, ends):
        """The last block keeps what is written; what lies behind the old end is new."""
        self.assertEqual(int.from_bytes(self.ask(cdb.read_capacity16(), read=32).good().data[:8], "big") + 1, size // 512)
        for lba in [self.random.randrange(old_size // 512, size // 512), *ends] if size > old_size else []:
            if old_size <= 512 * lba < size:
                self.assertEqual(self.read(lba), bytes(512), f"LBA {lba}")
        last, data = size // 512 - 1, self.random.randbytes(512)
        self.ask(cdb.write16(last, 1), data=data).good()
        self.assertEqual(self.read(last), data)
        ends.add(last)

    def test_resizes(self):
        device, target = self.storm_lun()
        self.outside = self.session(target)
        load = self.load(target)
        grown = shrunk = self.news = 0
        ends = set()
        for _ in self.rounds(load):
            old_size, size = device.size, SIZE + 512 * self.random.randrange(1, SIZE // 512)
            grown, shrunk = grown + (size > old_size), shrunk + (size < old_size)
            self.resize(device, size)
            self.assert_blocks(size, old_size, ends)
            self.wait_for([load], self.random.randint(1, 100))
        news = self.news + load.again["status 0x02 6/2A09"]
        self.report(f"grown {grown} times, shrunk {shrunk} times, {news} unit attentions")
        self.assertEqual(news, grown + shrunk)
        self.look_in_cluster(load, device)

    # --- the daemon's ends ---

    def kill(self):
        self.daemon.kill()
        self.daemon.start()

    def kill_while_it_starts(self):
        self.daemon.kill()
        self.daemon.start(ready=False)
        self.pause(self.loads, self.random.uniform(0, 1.5))
        self.kill()

    def kill_while_an_osd_hangs(self):
        """What the OSD has of the dead daemon comes late."""
        osd = self.random.choice(self.cluster.osds)
        self.addCleanup(osd.resume)
        osd.hang()
        self.pause(self.loads, self.random.uniform(0, 0.5))
        self.daemon.kill()
        late = self.random.uniform(0, 2)
        resuming = testing.Background(lambda: (self.pause(self.loads, late), osd.resume()))
        self.daemon.start()
        resuming.result()

    def terminate(self):
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()

    def before_measuring(self):
        if self.mortal:  # a young daemon is compared with a young one
            self.terminate()
            self.wait_for(self.loads, YOUNG, 3 * END_SECONDS)

    def test_the_daemon_dies(self):
        device, target = self.storm_lun()
        self.loads, self.mortal = [self.load(target)], True
        state = self.gateway.output("ls /run/tcmu-rbd")
        blocklist, ends = self.cluster.blocklist(), Counter()
        for _ in self.rounds(*self.loads):
            self.wait_for(self.loads, self.random.randint(1, 200))
            end = self.random.choices((self.kill, self.kill_while_it_starts, self.kill_while_an_osd_hangs, self.terminate), (4, 2, 2, 2))[0]
            end()
            ends[end.__name__] += 1
        fenced = len(self.cluster.blocklist() - blocklist)
        self.report(f"{dict(ends)}, {fenced} instances fenced")
        self.look_in_cluster(self.loads[0], device)
        self.assertLessEqual(fenced, FENCES_PER_END * ends.total())
        self.assertEqual(self.gateway.output("ls /run/tcmu-rbd"), state)
        self.assertEqual(len(self.cluster.watchers(device.name)), 1)

    # --- the cluster ---

    def osd_stands_still(self):
        osd = self.random.choice(self.cluster.osds)
        osd.hang()
        self.hand_over(self.random.uniform(1, 12))
        osd.resume()

    def osd_dies(self):
        osd = self.random.choice(self.cluster.osds)
        before = self.up_since(osd)
        osd.kill()
        self.hand_over(self.random.uniform(0, 5))
        osd.start()
        self.wait_until(lambda: self.up_since(osd) > before, END_SECONDS, f"{osd.name} is up again")

    def up_since(self, osd):
        """The OSD map's epoch since which it is up."""
        state = next(each for each in self.cluster.command("osd dump")["osds"] if each["osd"] == int(osd.name.split(".")[1]))
        return state["up_from"] if state["up"] else 0

    def monitor_stands_still(self):
        self.cluster.mon.hang()
        self.hand_over(self.random.uniform(1, 10))
        self.cluster.mon.resume()

    def hand_over(self, seconds):
        """That long; now and then a load goes on over the other gateway."""
        while seconds > 0:
            step = min(seconds, self.random.uniform(0.5, 4))
            self.pause(self.loads, step)
            seconds -= step
            for load in self.loads:
                if self.random.random() < 0.4:
                    load.path = 1 - load.path
                    self.handovers += 1

    def heal(self):
        for process in (self.cluster.mon, *self.cluster.osds):
            if process.process.poll() is not None:
                process.start()
            process.resume()

    def test_the_cluster(self):
        """A LUN of a pool with one copy of each object, one of a pool with two; each on two gateways."""
        self.addCleanup(self.heal)
        self.cluster.create_pool("twice", size=2)
        devices, loads = [], []
        for pool in ("rbd", "twice"):
            device, target = self.storm_lun(pool=pool, iqn=f"{IQN}-{pool}")
            _, _, there = self.peer(device, pool=pool, iqn=f"{IQN}-{pool}")
            devices.append(device)
            loads.append(self.load(target, there, depth=4, patience=HOST_SECONDS))
        self.loads, self.handovers, slowest, troubles = loads, 0, 0.0, Counter()
        for _ in self.rounds(*loads):
            trouble = self.random.choice((self.osd_stands_still, self.osd_dies, self.monitor_stands_still))
            trouble()
            troubles[trouble.__name__] += 1
            well = time.monotonic()
            self.wait_until(lambda: self.check(loads) or min(load.oldest() for load in loads) > well, WELL_SECONDS, "all I/O is good again")
            slowest = max(slowest, time.monotonic() - well)
            self.wait_for(loads, self.random.randint(1, 100))
        self.report(f"{dict(troubles)}, {self.handovers} hand-overs, all I/O good again after {slowest:.1f} s at most")
        for device, load, pool in zip(devices, loads, ("rbd", "twice")):
            self.look_in_cluster(load, device, pool)


if __name__ == "__main__":
    testing.main(osds=3, store="bluestore", lease_ratio=0.8)
