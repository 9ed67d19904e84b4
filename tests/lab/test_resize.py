#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images that change while they are served: grown, shrunk, gone; and snapshots, which do not change."""

import json

from lib import cdb, testing
from lib.initiator import Fio, tool
from lib.libiscsi import BUSY, GOOD

MIB = 1 << 20
CAPACITY_CHANGED = (6, 0x2A09)
WRITE_PROTECTED = (7, 0x2700)
# An answer of any kind, from a cluster that is well, on a slow and shared machine.
ANSWER_SECONDS = 20


class ResizeTest(testing.LabTestCase):
    def grow(self, write_before):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        if write_before:
            session.write(0, b"\x11" * 512)  # from now on the daemon owns the exclusive lock
        self.cluster.resize(device.name, 48 * MIB)
        device.resize(48 * MIB)
        changed = session.command(cdb.test_unit_ready())
        self.assert_sense(changed, *CAPACITY_CHANGED)
        self.assertEqual(session.capacity(), (48 * MIB // 512, 512))
        last = 48 * MIB // 512 - 1
        data = self.random.randbytes(512)
        session.write(last, data)
        self.assertEqual(session.read(last, 1), data)
        self.assertEqual(self.cluster.read(device.name, last * 512, 512), data)
        self.assert_sense(session.command(cdb.read16(last + 1, 1), read=512), 5, 0x2100)

    def test_grow(self):
        self.grow(write_before=False)

    def test_grow_while_the_daemon_owns_the_lock(self):
        self.grow(write_before=True)

    def test_kernel_sees_the_new_size(self):
        device = self.device(16 * MIB)
        disk = self.loop(device).disk()
        self.cluster.resize(device.name, 32 * MIB)
        device.resize(32 * MIB)
        name = disk.rsplit("/", 1)[1]
        self.gateway.files(["write", f"/sys/block/{name}/device/rescan", "1"])
        self.assertEqual(self.gateway.output(f"blockdev --getsize64 {disk}"), str(32 * MIB))
        self.gateway.run(f"dd if=/dev/zero of={disk} bs=1M seek=31 count=1 oflag=direct")

    def test_grow_under_load(self):
        device = self.device(16 * MIB)
        disk = self.loop(device).disk()
        load = Fio(self.gateway, disk, bs="4k", size="1M").start()
        for size in range(17, 25):
            self.cluster.resize(device.name, size * MIB)
            device.resize(size * MIB)
        load.finish()

    def test_grow_while_a_new_daemon_opens_the_image(self):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        self.cluster.resize(device.name, 32 * MIB)
        self.daemon.stop()
        osd = self.cluster.osds[0]
        osd.hang()
        try:
            self.daemon.start(ready=False)
            self.wait_until(self.an_osd_is_asked, 30, "the new daemon opens the image")
            device.resize(32 * MIB)
        finally:
            osd.resume()
        reply = self.wait_until(lambda: self.unless_busy(session), ANSWER_SECONDS, "it serves")
        self.assert_sense(reply, *CAPACITY_CHANGED)
        self.assertEqual(session.capacity(), (32 * MIB // 512, 512))

    def an_osd_is_asked(self):
        return self.gateway.output("ss -Htn state established '( dport >= :6800 and dport < :7600 )'") != ""

    def unless_busy(self, session):
        reply = session.command(cdb.test_unit_ready())
        return None if reply.status == BUSY else reply

    def test_snapshot_is_read_only_and_stays(self):
        first = self.device(16 * MIB)
        head = self.session(self.iscsi(first))
        old = self.random.randbytes(4096)
        head.write(0, old)
        self.cluster.rbd("snap", "create", f"rbd/{first.name}@before")
        head.write(0, self.random.randbytes(4096))
        snapshot = self.device(16 * MIB, image=first.name, create=False, name="snapshot", options="@before")
        session = self.session(self.iscsi(snapshot, iqn="iqn.2026-11.lab:snapshot"))
        self.assertEqual(session.read(0, 8), old)
        self.assert_sense(session.command(cdb.write16(0, 1), data=bytes(512)), *WRITE_PROTECTED)
        self.assert_sense(session.command(cdb.unmap(), data=cdb.unmap_parameters(0, 8)), *WRITE_PROTECTED)
        self.assertEqual(session.command(cdb.mode_sense10(), read=252).good().data[3] & 0x80, 0x80, "the WP bit")
        head.write(1, self.random.randbytes(512))
        self.assertEqual(session.read(0, 8), old)

    def test_image_shrunk_while_served(self):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        session.write(0, b"\x22" * 512)
        self.cluster.resize(device.name, 8 * MIB)
        last = 16 * MIB // 512 - 1
        for command, options in ((cdb.read16(last, 1), {"read": 512}), (cdb.write16(last, 1), {"data": bytes(512)})):
            reply = session.command(command, timeout=ANSWER_SECONDS, **options)
            self.assertNotEqual(reply.status, GOOD, "blocks that are gone were served")
        self.assertEqual(session.read(0, 1), b"\x22" * 512)
        self.assert_daemon_lives()

    def test_image_removed_while_served(self):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        session.write(0, bytes(512))
        refused = self.cluster.rbd("rm", "--no-progress", f"rbd/{device.name}", check=False)
        self.assertIn(b"still has watchers", refused.stderr)
        session.write(0, bytes(512))
        self.remove_by_force(device.name)
        # Nothing is promised about its data; an answer is, and that the others are served.
        session.command(cdb.read16(0, 8), read=4096, timeout=ANSWER_SECONDS)
        session.command(cdb.write16(0, 1), data=bytes(512), timeout=ANSWER_SECONDS)
        other = self.device(16 * MIB)
        self.session(self.iscsi(other, iqn="iqn.2026-11.lab:other")).write(0, bytes(512))
        self.assert_daemon_lives()

    def remove_by_force(self, image):
        """Like `rados purge` in the wrong pool."""
        number = json.loads(self.cluster.rbd("info", f"rbd/{image}", "--format", "json").stdout)["id"]
        objects = tool("rados", "-c", self.cluster.conf, "-p", "rbd", "ls").stdout.split()
        for name in objects:
            if number in name:
                tool("rados", "-c", self.cluster.conf, "-p", "rbd", "rm", name)


if __name__ == "__main__":
    testing.main()
