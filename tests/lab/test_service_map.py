#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The service map, by which the dashboard, gwcli and the mgr's prometheus module see who serves an image."""

from lib import recovery, testing
from lib.recovery import MIB

SIZE = 16 * MIB
OPEN_SECONDS = 10
# A report period of librados (5 s), and the mgr's own publication of the map.
CHANGE_SECONDS = 15
# mgr_service_beacon_grace is 60 s.
GONE_SECONDS = 70


class ServiceMapTest(recovery.RecoveryTestCase):
    def metadata(self, name):
        """Of `ceph service dump`; None before the mgr has published it."""
        services = self.cluster.command("service dump")["services"]
        return services.get("tcmu-runner", {"daemons": {}})["daemons"].get(name, {}).get("metadata")

    def published(self, name):
        """What rbd-target-api reads."""
        services = self.cluster.command("service status").get("tcmu-runner", {})
        return services.get(name, {}).get("status", {})

    def wait_for(self, name, seconds, **wanted):
        def reached():
            status = self.published(name)
            return status and all(status.get(key) == value for key, value in wanted.items())
        try:
            self.wait_until(reached, seconds, f"{name} has {wanted}")
        except TimeoutError:
            self.fail(f"{name}: {self.published(name)} and not {wanted} after {seconds} s")

    def test_names_the_owner_of_the_lock_on_both_gateways(self):
        device, target = self.lun(SIZE)
        image = f"rbd/{device.name}"
        here, there = f"gw0:{image}", f"gw1:{image}"
        self.wait_for(here, OPEN_SECONDS, lock_owner="false", lock_lost_cnt="0", conn_lost_cnt="0", cmd_timed_out_cnt="0")
        self.wait_until(lambda: self.metadata(here), CHANGE_SECONDS, "the map has its metadata")
        metadata = self.metadata(here)
        self.assertEqual({key: metadata.get(key) for key in ("pool_name", "image_name", "daemon_type", "daemon_prefix")},
                         {"pool_name": "rbd", "image_name": device.name, "daemon_type": "portal", "daemon_prefix": "gw0"})
        self.assertTrue(metadata["image_id"] and metadata["ceph_version"])
        _, _, other = self.peer(device)
        session, second = self.session(target), self.session(other)
        recovery.write(session, 0, bytes(4096))
        self.wait_for(here, CHANGE_SECONDS, lock_owner="true")
        self.wait_for(there, CHANGE_SECONDS, lock_owner="false")
        recovery.write(second, 0, bytes(4096))
        self.wait_for(there, CHANGE_SECONDS, lock_owner="true")
        self.wait_for(here, CHANGE_SECONDS, lock_owner="false", lock_lost_cnt="0")

    def test_a_new_instance_takes_the_entry_over(self):
        device, target = self.lun(SIZE)
        name = f"gw0:rbd/{device.name}"
        session = self.session(target)
        recovery.write(session, 0, bytes(4096))
        self.wait_for(name, CHANGE_SECONDS, lock_owner="true")
        address = self.daemon.wait_log(r"serving \d+ bytes .*client (\S+)").group(1)
        self.cluster.command("osd blocklist", blocklistop="add", addr=address)
        recovery.write(session, 0, bytes(4096), 30)
        self.daemon.wait_log("reopen: serving with instance")
        self.wait_for(name, CHANGE_SECONDS, lock_owner="true", lock_lost_cnt="1", cmd_timed_out_cnt="0")
        recovery.read(session, 0, 8)

    def test_a_removed_lun_leaves(self):
        device = self.device(SIZE)
        name = f"gw0:rbd/{device.name}"
        self.wait_for(name, OPEN_SECONDS, lock_owner="false")
        self.wait_until(lambda: self.metadata(name), CHANGE_SECONDS, f"{name} is in the map")
        device.delete()
        self.wait_until(lambda: not self.metadata(name) and not self.published(name), GONE_SECONDS, f"{name} is gone")


if __name__ == "__main__":
    testing.main(mgr=True)
