#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ceph's own dashboard and ceph-iscsi, both unmodified: the page 'iSCSI overview' shows the load of an image, from the
counters of the gateway that it takes for the owner of the lock."""

import time

from lib.ceph_dashboard import CephDashboard
from lib.ceph_iscsi import POOL
from lib.ceph_iscsi_testing import DISK, CephIscsiTestCase
from lib import testing

# Reports of librados (5 s), the mgr's publication of the service map, and the dashboard's own cache.
CHANGE_SECONDS = 60


class CephDashboardTest(CephIscsiTestCase):
    def setUp(self):
        super().setUp()
        self.dashboard = CephDashboard(self.cluster)
        self.dashboard.start()
        for portal in self.service.portals:
            self.dashboard.add_gateway(portal.api.url)

    def image(self):
        """What the page has of the disk."""
        images = self.dashboard.get("ui-api/iscsi/overview")["images"]
        return next(each for each in images if (each["pool"], each["image"]) == (POOL, DISK))

    def write_until_seen(self, path, since):
        """Writes through a path until the page shows its lock, taken after `since`, and its writes; when it was taken."""
        def seen():
            path.write(0, bytes(4096))
            image = self.image()
            stats = image["stats"] or {}
            return (image["optimized_since"] or 0) >= since and stats.get("wr", 0) > 0 and stats.get("wr_bytes", 0) > 0
        try:
            self.wait_until(seen, CHANGE_SECONDS, "the page shows the owner's writes")
        except TimeoutError:
            self.fail(f"{path}, since {since}: {self.image()}; {self.cluster.command('service status').get('tcmu-runner')}")
        return self.image()["optimized_since"]

    def test_it_follows_the_lock(self):
        self.published()
        began = time.time()
        paths = [self.login(number) for number in (0, 1)]
        with self.step("both gateways are up"):
            gateways = self.dashboard.get("ui-api/iscsi/overview")["gateways"]
            self.assertEqual([(each["name"], each["state"], each["num_sessions"]) for each in gateways],
                             [(gateway.name, "up", 1) for gateway in self.gateways])
        with self.step("writes through the first gateway are shown"):
            first = self.write_until_seen(paths[0], began - 1)
        with self.step("writes through the second gateway are shown"):
            second = self.write_until_seen(paths[1], first + 0.001)
        with self.step("so are those of the first one after its client was fenced"):
            address = self.clients(self.gateway)[0]
            self.cluster.command("osd blocklist", blocklistop="add", addr=address)
            third = self.write_until_seen(paths[0], second + 0.001)
            self.assertLess(third, time.time() + 1)
        with self.step("idle, it shows none"):
            self.wait_until(lambda: self.image()["stats"]["wr"] == 0, CHANGE_SECONDS, "no writes are shown")
        self.logout(*paths)


if __name__ == "__main__":
    testing.main(mgr=True)
