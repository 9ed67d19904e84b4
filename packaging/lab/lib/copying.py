# SPDX-License-Identifier: Apache-2.0
"""What the tests of EXTENDED COPY share."""

import hashlib

from . import cdb, recovery
from .recovery import MIB

BLOCKS = MIB // 512
CONTROL = "max_data_area_mb=64,hw_max_sectors=8192"


class CopyTestCase(recovery.RecoveryTestCase):
    def fill(self, session, lun, first, count):
        """Random MiB of it; returns them."""
        content = self.random.randbytes(count * MIB)
        for number in range(count):
            self.good(session, cdb.write16((first + number) * BLOCKS, BLOCKS), content[number * MIB:(number + 1) * MIB], lun)
        return content

    def good(self, session, command, data=b"", lun=0, read=0):
        """A new LUN's unit attentions are taken on the way."""
        while True:
            reply = session.command(command, data=data, lun=lun, read=read)
            if not recovery.again_is_right(reply):
                return reply.good()

    def name(self, session, lun=0):
        """The NAA name in VPD 83."""
        page = self.good(session, cdb.inquiry(0x83), lun=lun, read=252).data
        at = 4
        while page[at + 1] & 0x3F != 3:
            at += 4 + page[at + 3]
        return page[at + 4:at + 4 + page[at + 3]]

    def copy(self, session, names, segments, lun=0, **options):
        parameters = cdb.copy_parameters(names, segments, **options)
        return session.submit(cdb.extended_copy(parameters), data=parameters, lun=lun)

    def content(self, device, first, count):
        return self.cluster.read(device.name, first * MIB, count * MIB)

    def assert_content(self, device, first, expected):
        found = self.content(device, first, len(expected) // MIB)
        self.assertEqual(hashlib.sha256(found).hexdigest(), hashlib.sha256(expected).hexdigest())
