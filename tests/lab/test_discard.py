#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Space that a host gives back is free in RADOS, and nothing else is: blkdiscard, mkfs and fstrim of three file systems."""

from lib import testing

MIB = 1 << 20
OBJECT = 4 * MIB
SIZE = 320 * MIB  # mkfs.xfs takes no less than 300
KEPT_MIB, DROPPED_MIB = 8, 32

# For each file system: what makes it, and what finds it sound.
FILESYSTEMS = {
    "ext4": ("mkfs.ext4 -q -F", "fsck.ext4 -fn"),
    "xfs": ("mkfs.xfs -q -f", "xfs_repair -n"),
    "btrfs": ("mkfs.btrfs -q -f", "btrfs check"),
}


class DiscardTest(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.device(SIZE)
        self.disk = self.loop(self.image).disk()

    def objects(self):
        return self.cluster.data_objects(self.image.name)

    def fill(self, offset, length):
        """Random bytes, which the gateway gets as a file; returns them."""
        data = self.random.randbytes(length)
        with open(f"{self.gateway.directory}/data", "wb") as file:
            file.write(data)
        self.gateway.run(f"dd if={self.gateway.shared}/data of={self.disk} bs=1M seek={offset // MIB} oflag=direct status=none")
        return data

    def test_blkdiscard(self):
        data = self.fill(0, 8 * OBJECT)
        self.assertEqual(self.objects(), 8)
        self.gateway.run(f"blkdiscard -o {OBJECT} -l {2 * OBJECT} {self.disk}")
        self.assertEqual(self.objects(), 6)
        self.gateway.run(f"blkdiscard -z -o {4 * OBJECT} -l {OBJECT} {self.disk}")
        self.assertEqual(self.objects(), 5)
        # Less than an object is zeroed, and its object stays.
        self.gateway.run(f"blkdiscard -o {6 * OBJECT + MIB} -l {MIB} {self.disk}; blkdiscard -z -o {7 * OBJECT} -l 512 {self.disk}")
        self.assertEqual(self.objects(), 5)
        expected = bytearray(data)
        for start, length in ((OBJECT, 2 * OBJECT), (4 * OBJECT, OBJECT), (6 * OBJECT + MIB, MIB), (7 * OBJECT, 512)):
            expected[start:start + length] = bytes(length)
        self.assertEqual(self.cluster.export(self.image.name)[:len(expected)], expected)
        self.gateway.run(f"blkdiscard {self.disk}")
        self.assertEqual(self.objects(), 0)
        self.assertEqual(self.cluster.export(self.image.name).count(0), SIZE)

    def test_filesystems(self):
        self.gateway.run("modprobe -d /run/modules -a ext4 xfs btrfs; mkdir -p /run/fs", 120)
        for name, (make, check) in FILESYSTEMS.items():
            with self.subTest(filesystem=name):
                self.check_filesystem(make, check)

    def check_filesystem(self, make, check):
        for offset in range(0, SIZE, 16 * OBJECT):
            self.fill(offset, OBJECT)
        dirty = self.objects()
        self.assertGreaterEqual(dirty, SIZE // (16 * OBJECT))
        # What lay there before is given back: its random bytes are found nowhere any more.
        self.gateway.run(f"{make} {self.disk} && sync", 120)
        empty = self.objects()
        self.assertLess(self.random_bytes(), OBJECT)
        self.gateway.run(f"""set -e
            mount {self.disk} /run/fs; cd /run/fs
            head -c {KEPT_MIB}M /dev/urandom | split -b 2M - keep.; head -c {DROPPED_MIB}M /dev/urandom | split -b 2M - drop.
            sha256sum keep.* > /run/sums; sync""", 180)
        full = self.objects()
        self.assertGreater(full, empty + DROPPED_MIB * MIB // OBJECT // 2, "the files are there")
        self.gateway.run("cd /run/fs; rm drop.*; sync; fstrim /run/fs; cd /; umount /run/fs", 180)
        trimmed = self.objects()
        # Objects that hold a kept file or the file system's own as well stay.
        self.assertLessEqual(trimmed, full - DROPPED_MIB * MIB // OBJECT // 2, f"of {full} objects, with most of the files gone")
        print(f"\n{make}: objects {dirty} before mkfs, {empty} after, {full} with files, {trimmed} after fstrim")
        self.gateway.run(f"""set -e
            {check} {self.disk}; mount -o ro {self.disk} /run/fs; cd /run/fs; sha256sum -c --quiet /run/sums; cd /; umount /run/fs""", 180)

    def random_bytes(self):
        """Roughly: the bytes of the image that are neither zero nor, like a file system's own, mostly zero, by blocks of 4 KiB."""
        exported = self.cluster.export(self.image.name)
        return sum(4096 for at in range(0, SIZE, 4096) if exported.count(0, at, at + 4096) < 256)


if __name__ == "__main__":
    testing.main()
