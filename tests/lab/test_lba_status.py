#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GET LBA STATUS agrees with what Ceph says of the image, and what it calls deallocated reads as zeroes."""

import json

from lib import cdb, testing

MIB = 1 << 20
SIZE = 640 * MIB
OBJECT = 4 * MIB


class LbaStatusTest(testing.LabTestCase):
    def runs(self, session, lba, blocks):
        """(lba, blocks, status) of the whole disk from `lba` on, in as many commands as it takes."""
        runs = []
        while lba < blocks:
            data = session.command(cdb.get_lba_status(lba), read=4096).good().data
            self.assertEqual(int.from_bytes(data[:4], "big") + 4, len(data))
            self.assertGreaterEqual(len(data), 24)
            for at in range(8, len(data), 16):
                self.assertEqual(int.from_bytes(data[at:at + 8], "big"), lba)
                runs.append((lba, int.from_bytes(data[at + 8:at + 12], "big"), data[at + 12] & 0x0F))
                self.assertGreater(runs[-1][1], 0)
                lba += runs[-1][1]
        self.assertEqual(lba, blocks)
        return runs

    def data_of_rbd_diff(self, name):
        """The objects' numbers that `rbd diff --whole-object` names."""
        listed = json.loads(self.cluster.rbd("diff", "--whole-object", "--format", "json", f"rbd/{name}").stdout)
        return {int(extent["offset"]) // OBJECT for extent in listed if extent["exists"] == "true"}

    def test_agrees_with_rbd_diff(self):
        for block_size in (512, 4096):
            device = self.device(SIZE, control=f"max_data_area_mb=64,hw_max_sectors=2048,hw_block_size={block_size}")
            session = self.session(self.iscsi(device, iqn=f"iqn.2026-11.lab:status-{block_size}"))
            blocks = SIZE // block_size
            self.assertEqual(self.runs(session, 0, blocks)[0][2], 1)
            written = sorted(self.random.sample(range(SIZE // OBJECT), 24))
            for number in written:
                session.write(number * OBJECT // block_size, b"x" * MIB if number % 2 else b"y" * block_size, block_size)
            gone = written[5]
            session.command(cdb.unmap(), data=cdb.unmap_parameters(gone * OBJECT // block_size, OBJECT // block_size)).good()
            runs = self.runs(session, 0, blocks)
            self.assertEqual({status for _, _, status in runs}, {0, 1})
            named = {number for lba, count, status in runs if status == 0
                     for number in range(lba * block_size // OBJECT, ((lba + count) * block_size - 1) // OBJECT + 1)}
            self.assertEqual(named, self.data_of_rbd_diff(device.name))
            self.assertEqual(named, set(written) - {gone})
            image = self.cluster.export(device.name)
            for lba, count, status in runs:
                if status == 1:
                    self.assertFalse(any(image[lba * block_size:(lba + count) * block_size]), f"data at {lba}, reported as deallocated")
            middle = written[0] * OBJECT // block_size + 1
            self.assertEqual(self.runs(session, middle, blocks)[0][0], middle)
            self.assert_sense(session.command(cdb.get_lba_status(blocks), read=4096), 5, 0x2100)


if __name__ == "__main__":
    testing.main()
