#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fence's blocklist entry is removed while the fenced writes still hang: they stay fenced.

rbd-target-api does this at each start, with all entries of its host.
"""

import re

from lib import testing
from lib.ghost_rounds import GhostTestCase

# The gateways look once a second.
BACK_SECONDS = 3


class FenceRemovedTest(GhostTestCase):
    def assert_put_back(self, fenced):
        """Soon, and with a log line."""
        with self.subTest("put back"):
            self.wait_for_entries(fenced, BACK_SECONDS)
            self.wait_until(lambda: re.search(r"(?m) (warning|error) .*blocklist", self.output()), BACK_SECONDS, "a log line reports it")

    def output(self):
        return "".join(daemon.log()[start:] for daemon, start in self.logs_before.items())

    def hunt_after(self, remove, newer_by, wait):
        self.prepare()
        self.prepare_second()
        self.hang(self.victim)
        fenced = self.fence()
        self.logs_before = {daemon: len(daemon.log()) for daemon in self.lab.daemons.values()}
        remove(fenced)
        if wait:
            self.assert_put_back(fenced)
        timer = self.resume_at_random(self.victim)
        self.newer_writes(getattr(self, newer_by))
        timer.join()
        if not wait:
            self.assert_put_back(fenced)
        self.look(seconds=2)
        self.look_in_cluster()

    def test_removed_and_written_by_the_same_gateway(self):
        """At once: it holds the ranges whatever the blocklist says."""
        self.hunt_after(self.cluster.remove_from_blocklist, "here", wait=False)

    def test_cleared_and_written_by_the_same_gateway(self):
        self.hunt_after(self.cluster.clear_blocklist, "here", wait=False)

    def test_removed_and_written_by_the_second_gateway(self):
        self.hunt_after(self.cluster.remove_from_blocklist, "there", wait=True)

    def test_cleared_and_written_by_the_second_gateway(self):
        self.hunt_after(self.cluster.clear_blocklist, "there", wait=True)


if __name__ == "__main__":
    testing.main(osds=3)
