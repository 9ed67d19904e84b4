#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real ceph-iscsi (rbd-target-api, gwcli) on two gateways, with this daemon in the place of tcmu-runner.

LAB_CEPH_ISCSI_ROUNDS=N restarts the daemons more often.
"""

import json
import os

from lib import ceph_iscsi, testing
from lib.ceph_iscsi import IQN, POOL, ApiError
from lib.ceph_iscsi_testing import CHUNK, CLIENT, DISK, CephIscsiTestCase
from lib.channel import LabError
from lib.initiator import Fio
from lib.recovery import MIB

# rbd-target-api asks the mgr every 10 s, and the mgr hears of a change within 5 s.
STATUS_SECONDS = 60
ROUNDS = int(os.environ.get("LAB_CEPH_ISCSI_ROUNDS", "1"))


class CephIscsiTest(CephIscsiTestCase):
    time_limit = CephIscsiTestCase.time_limit + 40 * ROUNDS

    # The first test, by its name; the others go on with what it made.
    def test_an_operator_makes_all(self):
        service = self.service
        with self.step("gwcli creates a target, two gateways, a disk"):
            output = service.gwcli(f"/iscsi-targets create {IQN}",
                                 *(f"/iscsi-targets/{IQN}/gateways create {each.name} {each.address}" for each in self.gateways),
                                 f"/disks create pool={POOL} image={DISK} size=64M")
            self.assertEqual(list(service.config()["targets"][IQN]["portals"]), [each.name for each in self.gateways], output)
            self.assertEqual(service.disk(DISK)["backstore_object_name"], f"rbd.{DISK}", output)
        with self.step("an unmapped disk is not open"):
            self.wait_until(lambda: not self.cluster.watchers(DISK), 60, "no client has the image open")
        with self.step("map the disk to the target"):
            service.map_disk(DISK)
            for gateway in self.gateways:
                self.assert_configured(gateway)
        with self.step("create a client with CHAP"):
            service.create_client(CLIENT)
        with self.step("map the disk to the client"):
            service.map_to_client(CLIENT, DISK)
        with self.step("a wrong password is refused"):
            with self.assertRaises(LabError):
                self.login(0, chap=(ceph_iscsi.CHAP[0], "wrongpassword"))
        paths = []
        for number in (0, 1):
            with self.step(f"log in to gw{number}"):
                paths.append(self.login(number))
        for number, path in enumerate(paths):
            with self.step(f"verified I/O through gw{number}, read through both and from the cluster"):
                Fio(self.host, path.disk(), size="2m", bs="16k").run()
                self.assert_served([path], number * MIB, *paths)
        with self.step("rbd-target-api sees the owner of the lock"):
            self.wait_until(lambda: service.disk(DISK)["status"].get("lock_owner") == "gw1", STATUS_SECONDS, "gw1 owns the lock")
            self.assertEqual(service.disk(DISK)["status"]["state"], "Online")
        with self.step("gwcli shows all"):
            output = service.gwcli("ls")
            self.assertIn(f"{POOL}/{DISK} (Online, 64M)", output)
            self.assertIn("Up: 2/2", output)
        with self.step("a disk in use is not deleted"):
            with self.assertRaises(ApiError):
                service.delete_disk(DISK)
        with self.step("log out"):
            self.logout(*paths)
        self.note_published()

    def test_daemon_away_during_calls(self):
        service, daemon = self.service, self.daemon
        self.published()
        paths = [self.login(number) for number in (0, 1)]
        self.assert_served(paths, 0)
        with self.step("create a disk after a crash of the daemon: the call ends when it is back"):
            self.expect_dead(self.gateway)
            daemon.kill()
            call = testing.Background(service.create_disk, "late", "16M")
            self.service.portals[0].wait_log("Adding image 'rbd/late'")
            self.wait_for_sleeper()
            daemon.start()
            # The kernel ends the wait with EINTR, Python tries the write again, and the daemon listens already.
            call.result()
        with self.step("map it, and unmap it while the daemon is away"):
            service.map_disk("late")
            daemon.stop()
            service.unmap_disk("late")
            self.assertEqual(ceph_iscsi.devices(self.gateway), [f"rbd.{DISK}"])
            daemon.start()
        with self.step("delete it when the daemon is back"):
            service.delete_disk("late")
            self.assertEqual(self.images(), [DISK])
        with self.step("resize while the daemon hangs: the call ends when it goes on"):
            size = self.image_size() + 16 * MIB
            daemon.hang()
            call = testing.Background(service.resize, DISK, f"{size // MIB}M")
            self.wait_until(lambda: self.image_size() == size, 60, "the image has grown")
            daemon.resume()
            call.result()
            self.assert_grown(paths, size)
        with self.step("resize while the daemon is away is refused; the next one works"):
            daemon.stop()
            with self.assertRaisesRegex(ApiError, "No such process"):  # the kernel's answer without a daemon
                service.resize(DISK, f"{size // MIB + 16}M")
            daemon.start()
            service.resize(DISK, f"{size // MIB + 32}M")
            self.assert_grown(paths, size + 32 * MIB)
        self.logout(*paths)

    def wait_for_sleeper(self):
        """Until a thread of rbd-target-api sleeps uninterruptibly, as it does until the netlink event of a device is answered."""
        threads = f"/proc/{self.service.portals[0].pid}/task"
        looks = 0

        def sleeps():
            nonlocal looks
            states = self.gateway.run(f"grep -hs ^State: {threads}/*/status", check=False)[1]
            looks = looks + 1 if "D (disk sleep)" in states else 0
            return looks == 5  # not for a moment only
        self.wait_until(sleeps, 60, "the call waits in the kernel")

    def test_daemon_restarts_under_io(self):
        self.published()
        paths = [self.login(number) for number in (0, 1)]
        for turn in range(2 * ROUNDS):
            number, by_kill = turn % 2, (turn + turn // 2) % 2  # in the second round each gateway gets the other signal
            path, daemon = paths[number], self.lab.daemons[number]
            with self.step(f"{'KILL' if by_kill else 'TERM'} to gw{number}'s daemon under I/O: none fails"):
                job = Fio(self.host, path.disk(), f"verify{number}", size="4m", bs="16k").start()
                self.wait_for_writes(path)
                if by_kill:
                    self.expect_dead(daemon.gateway)
                    daemon.kill()
                else:
                    daemon.stop()
                daemon.start()
                self.wait_for_writes(path)
                job.finish()
        self.assert_served(paths, 32 * MIB)
        self.logout(*paths)

    def wait_for_writes(self, path, count=32):
        """Until so many more writes of the host have ended."""
        before = int(path.block("stat").split()[4])
        self.wait_until(lambda: int(path.block("stat").split()[4]) >= before + count, 60, f"{path} takes writes")

    def test_gateway_boots_again(self):
        self.published()
        paths = [self.login(number) for number in (0, 1)]
        self.assert_served([paths[1], paths[0]], 0)
        with self.step("power cut of the gateway that owns the lock: the other one serves"):
            self.expect_dead(self.gateway)
            self.cut_power(self.gateway)
            data = self.pattern()
            paths[1].write(MIB, data)
            self.assertEqual(self.cluster.read(DISK, MIB, CHUNK), data)
        with self.step("it boots: rbd-target-api restores its configuration"):
            self.healthy_gateway(0)
            self.service.portals[0].start()
            self.assert_configured(self.gateway)
        with self.step("the host's session comes back, and both gateways serve"):
            self.assert_served(paths, MIB)
        with self.step("rbd-target-api ends and starts, as systemd restarts it"):
            self.logout(paths[1])
            portal = self.service.portals[1]
            self.assertEqual(portal.stop(), 0)
            self.assert_configured(portal.gateway, devices=[], targets=[])
            portal.start()
            self.assert_configured(portal.gateway)
            paths[1] = self.login(1)
            self.assert_served(paths, MIB)
        self.logout(*paths)

    def assert_configured(self, gateway, devices=(f"rbd.{DISK}",), targets=(IQN,)):
        found = ceph_iscsi.devices(gateway), ceph_iscsi.targets(gateway)
        self.assertEqual(found, (list(devices), list(targets)), gateway.name)

    def test_reconfigure(self):
        self.published()
        self.assert_tuned(data_area=8, sectors=1024, op_timeout=30, qfull=5)
        with self.step("reconfigure all four values"):
            self.service.reconfigure(DISK, max_data_area_mb=32, hw_max_sectors=512, osd_op_timeout=0, qfull_timeout=7)
            self.assert_tuned(data_area=32, sectors=512, op_timeout=0, qfull=7)
        with self.step("the host sees the new limit of a transfer, and both gateways serve"):
            paths = [self.login(number) for number in (0, 1)]
            for path in paths:
                self.assertIn("Maximum transfer length: 512 blocks", self.host.output(f"sg_vpd -p bl {path.disk()}"))
                Fio(self.host, path.disk(), size="4m", bs="256k").run()
        with self.step("no reconfiguration under sessions; the disk is served on"):
            with self.assertRaisesRegex(ApiError, "in-use"):
                self.service.reconfigure(DISK, osd_op_timeout=20)
            self.assert_served(paths, MIB)
        self.logout(*paths)
        with self.step("back to the defaults"):
            self.service.reconfigure(DISK, max_data_area_mb="", hw_max_sectors="", osd_op_timeout="", qfull_timeout="")
            self.assert_tuned(data_area=8, sectors=1024, op_timeout=30, qfull=5)

    def assert_tuned(self, data_area, sectors, op_timeout, qfull):
        for gateway in self.gateways:
            path = ceph_iscsi.device_path(gateway, DISK)
            info, *limits = gateway.files(*(["read", f"{path}/{file}"] for file in (
                "info", "attrib/hw_max_sectors", "attrib/qfull_time_out", "attrib/cmd_time_out")))
            self.assertIn(f"rbd/{POOL}/{DISK};osd_op_timeout={op_timeout}", info)
            self.assertIn(f"MaxDataAreaMB: {data_area}", info)
            self.assertEqual([int(value) for value in limits], [sectors, qfull, 0], gateway.name)

    def test_resize(self):
        self.published()
        paths = [self.login(number) for number in (0, 1)]
        self.assert_served(paths, 0)
        size = self.image_size() + 16 * MIB
        with self.step("gwcli resizes under two sessions"):
            self.service.gwcli(f"/disks resize {POOL}/{DISK} {size // MIB}M")
            self.assert_grown(paths, size)
        size += 16 * MIB
        with self.step("resize when the owner of the lock was fenced without a word"):
            # The last write went by it. An earlier test's dead client may still be listed.
            fenced, = self.wait_until(lambda: len(clients := self.clients(self.gateways[1])) == 1 and clients, 60, "it has one client")
            self.cluster.command("osd blocklist", blocklistop="add", addr=fenced)
            self.service.resize(DISK, f"{size // MIB}M")
            self.assert_grown([paths[1], paths[0]], size)
        self.cluster.remove_from_blocklist([fenced])
        self.logout(*paths)

    def assert_grown(self, paths, size):
        """The host sees the new size by each path, and each writes to the new end."""
        for path in paths:
            path.rescan()
            self.wait_until(lambda: path.size() == size, 30, f"{path} has {size} bytes")
        self.assert_served(paths, size - CHUNK)

    def test_snapshot_and_rollback(self):
        self.published()
        paths = [self.login(number) for number in (0, 1)]
        first = self.pattern()
        paths[0].write(MIB, first)
        with self.step("create a snapshot under sessions"):
            self.service.snapshot(DISK, "before", "create")
            self.assert_served(paths, MIB)
        with self.step("no rollback under sessions; the disk is served on"):
            with self.assertRaisesRegex(ApiError, "in-use"):
                self.service.snapshot(DISK, "before", "rollback")
            self.assert_served(paths, MIB)
        self.logout(*paths)
        with self.step("roll back, log in again"):
            self.service.snapshot(DISK, "before", "rollback")
            paths = [self.login(number) for number in (0, 1)]
            self.assertEqual([path.read(MIB, CHUNK) for path in paths], [first, first])
        with self.step("delete the snapshot under sessions; both gateways serve"):
            self.service.delete_snapshot(DISK, "before")
            self.assertEqual(json.loads(self.cluster.rbd("snap", "ls", f"{POOL}/{DISK}", "--format", "json").stdout), [])
            self.assert_served(paths, MIB)
        self.logout(*paths)

    def test_the_end_of_all_leaves_nothing(self):
        self.published()
        data = self.cluster.export(DISK)
        with self.step("delete client and mapping"):
            self.service.unmap_from_client(CLIENT, DISK)
            self.service.delete_client(CLIENT)
            self.service.unmap_disk(DISK)
        with self.step("no watcher of the image is left"):
            self.wait_until(lambda: not self.cluster.watchers(DISK), 60, "no client has the image open")
        with self.step("detach the disk, attach the image that is there"):
            self.service.delete_disk(DISK, preserve_image=True)
            self.assertEqual(self.service.config()["disks"], {})
            self.service.attach_disk(DISK)
            self.assertTrue(self.cluster.export(DISK) == data, "other data than before")
        with self.step("delete the disk and its image"):
            self.service.delete_disk(DISK)
            self.assertNotIn(DISK, self.images())
        with self.step("delete gateways and target"):
            self.service.delete_target()
            config = self.service.config()
            self.assertEqual([config[part] for part in ("gateways", "targets", "disks")], [{}, {}, {}])
        with self.step("nothing is left of it"):
            for gateway in self.gateways:
                self.assert_configured(gateway, devices=[], targets=[])
            # Who was killed with the lock stays fenced (rbd_handler/ceph/FENCES.md), and no other client.
            self.assertLessEqual(self.cluster.blocklist(), self._dead)
        self.note_published(False)


if __name__ == "__main__":
    testing.main(mgr=True)
