#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data that goes through the kernel, the daemon and the cluster comes back as it was: every size, many at once."""

import hashlib

from lib import cdb, testing
from lib.channel import FileError
from lib.initiator import Fio

MIB = 1 << 20
SIZE = 96 * MIB
# Commands of 4 MiB reach the daemon whole only if its limits page says so.
CONTROL = "max_data_area_mb=64,hw_max_sectors=8192"
MIXED = {"bssplit": "512/30:4k/40:64k/20:1m/8:4m/2", "size": "24M", "iodepth": 32}


class DataTest(testing.LabTestCase):
    def mixed_load(self, disk):
        name = disk.rsplit("/", 1)[1]
        self.gateway.files(["write", f"/sys/block/{name}/queue/max_sectors_kb", "4096"])
        load = Fio(self.gateway, disk, randseed=self.random.getrandbits(30), offset="32M", **MIXED)
        load.run()
        return load

    def assert_same_as_cluster(self, device, disk):
        exported = self.cluster.export(device.name)
        self.assertEqual(hashlib.sha256(exported).hexdigest(), self.sha256(disk))
        self.assertEqual(exported[:32 * MIB].count(0), 32 * MIB, "nothing was written there")

    def test_mixed_sizes_over_iscsi(self):
        device = self.device(SIZE, control=CONTROL)
        disk = self.login(self.iscsi(device)).disk()
        self.mixed_load(disk).verify()
        self.assert_same_as_cluster(device, disk)

    def test_mixed_sizes_on_a_local_disk(self):
        device = self.device(SIZE, control=CONTROL)
        disk = self.loop(device).disk()
        self.mixed_load(disk).verify()
        self.assert_same_as_cluster(device, disk)

    def test_one_image_by_two_fabrics(self):
        device = self.device(SIZE)
        local, remote = self.loop(device).disk(), self.login(self.iscsi(device)).disk()
        for number, (writer, reader) in enumerate(((local, remote), (remote, local))):
            load = Fio(self.gateway, writer, name="there", bs="16k", size="4M", offset=f"{8 * number}M")
            load.run()
            load.options["filename"] = reader
            load.verify()

    def test_more_in_flight_than_the_data_area_holds(self):
        device = self.device(SIZE, control="max_data_area_mb=8,hw_max_sectors=8192")
        disk = self.loop(device).disk()
        Fio(self.gateway, disk, bs="1m", size="32M").run()

    def test_filesystem(self):
        device = self.device(SIZE)
        disk = self.login(self.iscsi(device)).disk()
        self.gateway.run(f"""set -e
            mkfs.ext4 -q {disk}; mkdir -p /run/fs; mount -o discard {disk} /run/fs
            head -c 8M /dev/urandom | split -b 100K - /run/fs/file.
            cd /run/fs; sha256sum file.* > /run/sums; cd /; umount /run/fs
            mount {disk} /run/fs; cd /run/fs; sha256sum -c --quiet /run/sums
            rm file.a?; cd /; umount /run/fs; fsck.ext4 -fn {disk}""", 180)

    def test_commands_from_outside(self):
        session = self.session(self.iscsi(self.device(SIZE, control=CONTROL)))
        shadow = bytearray(8 * MIB)
        for _ in range(120):
            blocks = self.random.choice((1, 2, 7, 8, 63, 128, 2048, 4096))
            lba = self.random.randrange(0, len(shadow) // 512 - blocks)
            data = self.random.randbytes(blocks * 512)
            session.write(lba, data)
            shadow[lba * 512:lba * 512 + len(data)] = data
        for lba in range(0, len(shadow) // 512, 4096):
            self.assertEqual(session.read(lba, 4096), shadow[lba * 512:(lba + 4096) * 512])
        self.assert_sense(session.command(cdb.write16(SIZE // 512, 1), data=bytes(512)), 5, 0x2100)

    def test_zeroing_and_compare(self):
        session = self.session(self.iscsi(self.device(SIZE)))
        session.write(0, b"\xa5" * MIB)
        session.command(cdb.write_same16(16, 64), data=b"\x3c" * 512).good()
        session.command(cdb.unmap(), data=cdb.unmap_parameters(1024, 512)).good()
        self.assertEqual(session.read(0, 2048), b"\xa5" * 8192 + b"\x3c" * 32768 + b"\xa5" * (1024 - 80) * 512
                         + bytes(512 * 512) + b"\xa5" * 512 * 512)
        session.command(cdb.compare_and_write(3), data=b"\xa5" * 512 + b"new!" * 128).good()
        self.assertEqual(session.read(3, 1), b"new!" * 128)
        self.assert_sense(session.command(cdb.compare_and_write(3), data=b"\xa5" * 512 + bytes(512)), 0xE, 0x1D00)
        self.assertEqual(session.read(3, 1), b"new!" * 128)

    def test_names_come_from_configfs(self):
        """The serial is written after enable, by ceph-iscsi as by this lab; all paths to a disk must return the same designators."""
        device = self.device(SIZE)
        target = self.iscsi(device)
        # NAA 6, the OUI that LIO uses, the serial's hexadecimal digits.
        naa = bytes.fromhex("6001405" + device.serial.replace("-", "")[:25])
        for _ in range(2):
            session = self.session(target)
            self.assertEqual(session.command(cdb.inquiry(0x80), read=252).good().data[4:], device.serial.encode())
            self.assertIn(bytes([0x01, 0x03, 0x00, 0x10]) + naa, session.command(cdb.inquiry(0x83), read=252).good().data)
            self.assertEqual(self.daemon.stop(), 0)
            self.daemon.start()

    def test_what_cannot_be_changed_while_served_is_refused(self):
        device = self.device(SIZE)
        session = self.session(self.iscsi(device))
        for attribute, value in (("dev_config", "rbd/rbd/another"), ("emulate_write_cache", 1)):
            start = len(self.daemon.log())
            with self.assertRaises(FileError):
                device.set(attribute, value)
            self.daemon.wait_log(f"{attribute}.*refused", 5, start)
        session.write(0, bytes(512))


if __name__ == "__main__":
    testing.main()
