#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gateways that want the lock from each other all the time: with an OSD that hangs they don't fence each other without end, and one
that is dead delays no other gateway.

LAB_PEERS_SECONDS=N makes the contest longer.
"""

import os
import time

from lib import cdb, network, recovery, testing
from lib.ghosts import BLOCKS, PAGE
from lib.libiscsi import GOOD
from lib.placement import image_beside_an_osd
from lib.recovery import MIB

SIZE = 64 * MIB
CONTEST_SECONDS = int(os.environ.get("LAB_PEERS_SECONDS", "60"))
FENCES_PER_MINUTE = 5
# As hosts do: so long they wait for a command before they abort it, so soon they come again after BUSY.
HOST_SECONDS, AGAIN_SECONDS = 5, 0.1
HUNG_AT_ONCE = 4
# The longest time without a good write to a healthy OSD: the longest back-off of forced fences within a minute (5, 7.5, 11.3, 16.9 s),
# and an instance that opens.
PAUSE_SECONDS = 20
# A hand-over beside a dead watcher: 2 s of silence (PeerBook::kSilence), 1 s at most until the monitors propose the blocklist entry
# (paxos_propose_interval), 0.3 s until the lock is asked for again (GateSettings), and a slow machine. Without the blocklisting it
# takes librbd's 5 s.
HANDOVERS, HANDOVER_SECONDS, DEAD_WATCHER_SECONDS = 8, 0.5, 3.5
SETTLED_SECONDS = 0.3


class Host:
    """Writes to a healthy OSD, one after the other, and to one that hangs, as hosts do."""

    def __init__(self, session, healthy, stuck):
        self.session, self.healthy, self.stuck = session, healthy, stuck
        self.good, self.longest_pause = 0, 0.0

    def run(self, seconds):
        started = last_good = time.monotonic()
        writing, hung, number = None, [], 0
        while time.monotonic() < started + seconds:
            writing = writing or self.write(self.healthy)
            while len(hung) < HUNG_AT_ONCE:
                number += 1
                hung.append(self.write(self.stuck + BLOCKS * (number % 64)))
            self.session.linger(AGAIN_SECONDS)
            if writing.done:
                if writing.status == GOOD:
                    last_good, self.good = time.monotonic(), self.good + 1
                writing = None
            self.longest_pause = max(self.longest_pause, time.monotonic() - last_good)
            old = [each for each in hung if not each.done and time.monotonic() - each.started > HOST_SECONDS]
            if old:
                for management in [self.session.abort(each) for each in old]:
                    management.wait(30)
                self.session.forget(*old)
            hung = [each for each in hung if not each.done]
        return self

    def write(self, lba):
        return self.session.submit(cdb.write16(lba, BLOCKS), data=b"h" * PAGE)


class PeersTest(recovery.RecoveryTestCase):
    time_limit = 240 + CONTEST_SECONDS

    def setUp(self):
        super().setUp()
        names = (self.image_name() for _ in range(200))
        self.image, victim, placement = image_beside_an_osd(self.cluster, names, SIZE)
        self.victim = self.cluster.osds[victim]
        blocks_per_object = placement.object_size // 512
        self.stuck_lba = placement.objects_on(victim)[0] * blocks_per_object
        self.healthy_lba = next(n for n in range(placement.object_count) if placement.data(n) != victim) * blocks_per_object
        self.lun_device, target = self.lun(SIZE, image=self.image, create=False)
        self.sessions = [self.session(target)]
        for lba in (self.stuck_lba, self.healthy_lba):
            recovery.write(self.sessions[0], lba, bytes(MIB))

    def add_peer(self, number):
        gateway, _, target = self.peer(self.lun_device, number)
        self.sessions.append(self.session(target))
        recovery.read(self.sessions[-1], self.healthy_lba, BLOCKS)
        return gateway

    def fences(self, before):
        """How many instances of each gateway are on the blocklist since."""
        entries = self.cluster.blocklist() - before
        return [sum(entry.startswith(f"{network.gateway_address(number)}:") for entry in entries) for number in range(2)]

    def test_two_hosts_and_an_osd_that_hangs(self):
        self.add_peer(1)
        before = self.cluster.blocklist()
        self.hang(self.victim)
        running = [testing.Background(Host(session, self.healthy_lba + BLOCKS * number, self.stuck_lba + 512 * number).run,
                                      CONTEST_SECONDS) for number, session in enumerate(self.sessions)]
        hosts = [each.result(CONTEST_SECONDS + 60) for each in running]
        fences = self.fences(before)
        self.report(f"{CONTEST_SECONDS} s: {fences} fences, {[host.good for host in hosts]} good writes, longest without one "
                  f"{[round(host.longest_pause, 1) for host in hosts]} s")
        self.resume(self.victim)
        self.assertLessEqual(max(fences), FENCES_PER_MINUTE * max(CONTEST_SECONDS // 60, 1))
        self.assertLess(max(host.longest_pause for host in hosts), PAUSE_SECONDS)
        for session in self.sessions:
            for lba in (self.stuck_lba, self.healthy_lba):
                recovery.write(session, lba, bytes(PAGE))
        self.assert_daemon_lives()

    def test_three_gateways_one_dead(self):
        self.add_peer(1)
        self.add_peer(2)
        dead = self.sessions.pop()
        recovery.write(self.sessions[1], self.healthy_lba, bytes(PAGE))
        dead.drop()
        self.cut_power(self.lab.gateways[2])
        before, seconds = self.cluster.blocklist(), []
        for number in range(HANDOVERS):
            session = self.sessions[number % 2]
            session.linger(SETTLED_SECONDS)
            started = time.monotonic()
            recovery.write(session, self.healthy_lba, self.random.randbytes(PAGE))
            seconds.append(time.monotonic() - started)
        self.report(f"hand-overs beside a dead gateway: {[round(1000 * each) for each in seconds]} ms")
        self.assertEqual(self.fences(before), [0, 0], "healthy gateways were fenced")
        # librbd's release waits for its notification of having acquired the lock, 5 s while the dead gateway still watches the image
        # (ImageWatcher, NOTIFY_TIMEOUT), unless that one is blocklisted: when it has been silent for 2 s since the first hand-over.
        self.assertLess(max(seconds), DEAD_WATCHER_SECONDS)
        self.assertLess(sorted(seconds)[HANDOVERS * 3 // 4], HANDOVER_SECONDS)


if __name__ == "__main__":
    testing.main(osds=3)
