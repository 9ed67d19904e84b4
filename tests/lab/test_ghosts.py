#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ghost hunt: aborted writes on a hung OSD, newer ones over them, the OSD goes on at a random moment; new never turns old.

LAB_GHOST_ROUNDS=N makes the hunt longer. Each round's choices follow from LAB_SEED.
"""

import os
import threading

from lib import network, recovery, testing
from lib.ghosts import PAGE, Hunt
from lib.placement import image_beside_an_osd
from lib.recovery import MIB

ROUNDS = int(os.environ.get("LAB_GHOST_ROUNDS", "4"))
SIZE = 64 * MIB
OBJECT_PAGES = MIB // PAGE
# More than the sockets on the way hold while the OSD doesn't read: the last of it comes to the OSD behind the newer writes, and
# only their order by the fence keeps it from being a ghost.
OLD_OBJECTS, OLD_PAGES = 8, 64
NEWER = 12
NEWER_SECONDS = 60
WATCH_SECONDS = 1
CONTROL = "max_data_area_mb=64,hw_max_sectors=2048"


class GhostTest(recovery.RecoveryTestCase):
    time_limit = 240 + 20 * ROUNDS

    def prepare(self, object_map_there=False, pool="rbd"):
        """An image, a gateway or two that serve it, and the OSD that is going to hang."""
        network.limit_receive_buffers()
        names = (f"{self.image_name()}" for _ in range(200))
        name, victim, self.placement = image_beside_an_osd(
            self.cluster, names, SIZE, object_map_there, pool=pool, object_size=MIB)
        self.victim = self.cluster.osds[victim]
        self.pool = pool
        self.device_here, target = self.lun(SIZE, image=name, create=False, control=CONTROL, pool=pool)
        self.target = target
        self.sessions = {}
        self.new_session()
        self.hunt = Hunt()
        others = [number for number in range(self.placement.object_count) if self.placement.data(number) != victim]
        self.objects = (others if object_map_there else self.placement.objects_on(victim))[:OLD_OBJECTS]
        self.hunt.fill(self.here, [self.hunt.change(number * OBJECT_PAGES, OBJECT_PAGES) for number in self.objects])

    def new_session(self):
        self.here = self.sessions["by the first gateway"] = self.fresh_session(self.target)
        self.aborted = 0

    def prepare_second(self):
        self.second, _, target = self.peer(self.device_here, control=CONTROL, pool=self.pool)
        self.there = self.sessions["by the second gateway"] = self.session(target)

    # --- the parts of a round ---

    def old_writes(self, unmap=False):
        """Sends changes of all of the objects to the OSD that hangs, and gives up on them."""
        if self.aborted > recovery.ABORTS_PER_SESSION:
            self.here.close()
            self.new_session()
        step = OBJECT_PAGES if unmap else OLD_PAGES
        starts = [page for number in self.objects for page in range(number * OBJECT_PAGES, (number + 1) * OBJECT_PAGES, step)]
        self.random.shuffle(starts)
        old = self.hunt.submit(self.here, [self.hunt.change(page, step, unmap) for page in starts])
        self.here.linger(self.random.uniform(0.05, 0.6))
        # A reset has the instance fenced at once: unmaps are there to try what is held without a fence.
        reset = not unmap and self.random.random() < 0.5
        seconds = self.hunt.end(self.here, old, reset)
        self.tell(f"{len(old)} old {'unmaps' if unmap else 'writes'} ended by {'LUN RESET' if reset else 'ABORT TASK'} "
                  f"in {1000 * seconds:.0f} ms")
        self.old_starts = starts
        self.aborted += len(old)

    def newer_writes(self, session):
        """Small writes over the old ones, over the last sent ones among them: those are most likely to come too late."""
        half = min(NEWER, len(self.old_starts)) // 2
        chosen = self.old_starts[-half:] + self.random.sample(self.old_starts[:-half], half)
        self.newer_pages = [page + self.random.randrange(OLD_PAGES) for page in chosen]
        self.hunt.write_all(session, [self.hunt.change(page, 1) for page in self.newer_pages], NEWER_SECONDS)

    def resume_at_random(self, *osds):
        timer = threading.Timer(self.random.uniform(0, 2), lambda: self.resume(*osds))
        self.addCleanup(timer.join)
        timer.start()
        return timer

    def look(self, sessions=None, seconds=WATCH_SECONDS):
        self.hunt.look(sessions or self.sessions, self.newer_pages, seconds)

    def look_in_cluster(self):
        for number in self.objects:
            content = self.cluster.read_object(self.placement.data_object(number), self.pool).ljust(MIB, b"\0")
            self.hunt.look_in_cluster(content, number * OBJECT_PAGES)

    def round(self, by="here", osds=None, unmap=False):
        osds = osds or [self.victim]
        self.hang(*osds)
        self.old_writes(unmap)
        timer = self.resume_at_random(*osds)
        self.newer_writes(getattr(self, by))
        timer.join()
        self.look()
        self.look_in_cluster()

    # --- the hunt ---

    def test_by_the_same_gateway(self):
        self.prepare()
        for _ in range(ROUNDS):
            self.round()

    def test_all_osds_hung(self):
        self.prepare()
        for _ in range(ROUNDS // 2):
            self.round(osds=self.cluster.osds)

    def test_unmap_that_waits_for_the_object_map(self):
        """librbd orders nothing here: a write to a healthy OSD passes the unmap, which waits for the object map's."""
        self.prepare(object_map_there=True)
        for _ in range(ROUNDS // 2):
            self.round(unmap=True)

    def test_by_the_second_gateway(self):
        self.prepare()
        self.prepare_second()
        for _ in range(ROUNDS):
            self.round("there")

    def test_there_and_back(self):
        self.prepare()
        self.prepare_second()
        for _ in range(ROUNDS // 2):
            self.hang(self.victim)
            self.old_writes()
            timer = self.resume_at_random(self.victim)
            self.newer_writes(self.there)
            self.newer_writes(self.here)
            timer.join()
            self.look()
            self.look_in_cluster()

    def test_hung_osd_marked_down(self):
        self.cluster.create_pool("twice", size=2)
        self.prepare(pool="twice")
        self.prepare_second()
        for number in range(max(1, ROUNDS // 4)):
            self.hang(self.victim)
            self.old_writes()
            self.cluster.command("osd down", ids=[self.victim.name.split(".")[1]])
            self.newer_writes((self.there, self.here)[number % 2])
            self.look(seconds=0)
            self.resume(self.victim)
            self.look(seconds=3)
            self.look_in_cluster()
            self.wait_until(lambda: self.cluster.command("osd stat")["num_up_osds"] == 3, 60, "the OSD is back")

    def test_with_the_first_gateway_frozen(self):
        self.prepare()
        self.prepare_second()
        self.addCleanup(self.thaw)
        for _ in range(ROUNDS // 2):
            self.hang(self.victim)
            self.old_writes()
            self.gateway.freeze()
            timer = self.resume_at_random(self.victim)
            self.newer_writes(self.there)
            timer.join()
            self.look({"by the second gateway": self.there}, self.random.uniform(0, 0.3))
            self.thaw()
            self.look()
            self.look_in_cluster()

    def thaw(self):
        if self.gateway.frozen:
            self.gateway.thaw()

    def test_with_the_first_gateway_killed(self):
        self.prepare()
        self.prepare_second()
        self.hang(self.victim)
        self.old_writes()
        self.sessions.pop("by the first gateway").drop()
        self.cut_power(self.gateway)
        timer = self.resume_at_random(self.victim)
        self.newer_writes(self.there)
        timer.join()
        self.look(seconds=3)
        self.look_in_cluster()


if __name__ == "__main__":
    # The OSD that takes over from one that was marked down waits for that one's read lease to end: Ceph's own is enough here.
    testing.main(osds=3, lease_ratio=0.8)
