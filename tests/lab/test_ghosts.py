#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ghost hunt: aborted writes on a hung OSD, newer ones over them, the OSD goes on at a random moment; new never turns old.

LAB_GHOST_ROUNDS=N makes the hunt longer. Each round's choices follow from LAB_SEED.
"""

import os
import re
import time

from lib import testing
from lib.ghost_rounds import CONTROL, OBJECT_PAGES, SIZE, GhostTestCase

ROUNDS = int(os.environ.get("LAB_GHOST_ROUNDS", "3"))
ROUND_SECONDS = 20
# The daemon's heartbeat notices a gap of 2 s; hosts give up much later than that.
STANDSTILL_SECONDS = 2.5
ENTRY_SECONDS = 3
# Fences are spaced: these come within some 25 s, the next ones 17 to 40 s after each other. A new daemon begins anew.
FENCES_OF_A_DAEMON = 4


class GhostTest(GhostTestCase):
    time_limit = 240 + ROUND_SECONDS * ROUNDS

    def round(self, by="here", osds=None, unmap=False):
        self.new_session()
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
        for _ in range(ROUNDS):
            self.round(osds=self.cluster.osds)

    def test_unmap_that_waits_for_the_object_map(self):
        """librbd orders nothing here: a write to a healthy OSD passes the unmap, which waits for the object map's."""
        self.stories_name_the_osd = False  # It may resume before the daemon has asked which one it is.
        self.prepare(object_map_there=True)
        for _ in range(ROUNDS):
            self.round(unmap=True)

    def test_the_object_map_is_named(self):
        """The OSDs of the data answer: an operator must not be sent to them."""
        self.prepare(object_map_there=True)
        start = len(self.daemon.log())
        self.hang(self.victim)
        self.old_writes(unmap=True)
        self.daemon.wait_log(r"hung op: object map rbd_object_map\.\w+ of pool 'rbd', for which object rbd_data\.\S+ waits, "
                             rf"is in pg \S+, acting {self.victim.name}$", 20, start)
        self.wait_until(lambda: self.hung_on() == {self.victim.name.split(".")[1]}, 20, "the metrics name the OSD, and no other")
        explained = self.gateway.output(f"{self.client(self.gateway)} explain user_0/{self.device_here.name}")
        self.assertIn(f"Look at {self.victim.name} first", explained)
        self.resume(self.victim)

    def hung_on(self):
        output = self.gateway.output(f"{self.client(self.gateway)} metrics")
        return set(re.findall(r'^tcmu_rbd_hung_commands\{.*osd="(.*?)".*\} [1-9]', output, re.M))

    def test_by_the_second_gateway(self):
        self.prepare()
        self.prepare_second()
        for _ in range(ROUNDS):
            self.round("there")

    def test_there_and_back(self):
        self.prepare()
        self.prepare_second()
        for _ in range(ROUNDS):
            self.new_session()
            self.hang(self.victim)
            self.old_writes()
            timer = self.resume_at_random(self.victim)
            self.newer_writes(self.there)
            self.newer_writes(self.here)
            timer.join()
            self.look()
            self.look_in_cluster()

    def test_hung_osd_marked_down(self):
        self.stories_name_the_osd = False
        self.cluster.create_pool("twice", size=2)
        self.prepare(pool="twice")
        self.prepare_second()
        for number in range(ROUNDS):
            self.new_session()
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
        for _ in range(ROUNDS):
            self.new_session()
            self.hang(self.victim)
            self.old_writes()
            self.freeze(self.gateway)
            timer = self.resume_at_random(self.victim)
            self.newer_writes(self.there)
            timer.join()
            self.look({"by the second gateway": self.there}, self.random.uniform(0, 0.3))
            self.thaw(self.gateway)
            self.look()
            self.look_in_cluster()

    def take_lock(self, session):
        self.hunt.write_all(session, [self.hunt.change(self.objects[0] * OBJECT_PAGES, 1)], ROUND_SECONDS)

    def standstills(self, stop, go_on):
        """The first gateway, with the lock or without it, gets writes while it stands still, and their session is dropped."""
        self.prepare()
        self.prepare_second()
        for number in range(ROUNDS):
            self.new_session()
            for session in (self.here, self.there)[::-1 if number % 2 else 1]:
                self.take_lock(session)
            stop()
            self.send_and_drop()
            stood_still = time.monotonic()
            self.newer_writes(self.there)
            self.there.linger(STANDSTILL_SECONDS - (time.monotonic() - stood_still))
            go_on()
            self.new_session()
            self.look()
            self.look_in_cluster()

    def test_with_the_first_daemon_stopped(self):
        self.addCleanup(self.daemon.resume)
        self.standstills(self.daemon.hang, self.daemon.resume)

    def test_with_the_first_machine_stopped(self):
        self.standstills(lambda: self.freeze(self.gateway), lambda: self.thaw(self.gateway))

    def test_with_the_fence_removed(self):
        self.prepare()
        self.prepare_second()
        for number in range(ROUNDS):
            if number and number % FENCES_OF_A_DAEMON == 0:
                self.daemon.restart()
            self.new_session()
            self.take_lock(self.here)  # Writes that wait for the lock are not in RADOS: their reset needs no fence.
            self.hang(self.victim)
            fenced = self.fence()
            self.random.choice((self.cluster.remove_from_blocklist, self.cluster.clear_blocklist))(fenced)
            session = (self.here, self.there)[number % 2]
            if session is self.there:  # The other gateway knows nothing of the ranges: it depends on the entry.
                self.wait_for_entries(fenced, ENTRY_SECONDS)
            timer = self.resume_at_random(self.victim)
            self.newer_writes(session)
            timer.join()
            self.look()
            self.look_in_cluster()

    def test_with_the_first_gateway_killed(self):
        self.prepare()
        self.prepare_second()
        for number in range(ROUNDS):  # all but the first boot a kernel
            if number:
                self.serve_again()
            self.hang(self.victim)
            self.old_writes()
            self.sessions.pop("by the first gateway").drop()
            self.here = None
            self.cut_power(self.gateway)
            timer = self.resume_at_random(self.victim)
            self.newer_writes(self.there)
            timer.join()
            self.look(seconds=3)
            self.look_in_cluster()

    def serve_again(self):
        self.gateway = self.healthy_gateway(0)
        self.daemon = self.lab.daemons[0]
        self.device_here, self.target = self.lun(SIZE, image=self.device_here.name, create=False, control=CONTROL)
        self.new_session()


if __name__ == "__main__":
    # The OSD that takes over from one that was marked down waits for that one's read lease to end: Ceph's own is enough here.
    testing.main(osds=3, lease_ratio=0.8)
