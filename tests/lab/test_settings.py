#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Properties of an image that change while it is served, or were wrong from the start: the log reports them at once."""

import time

from lib import cdb, recovery, testing
from lib.libiscsi import BUSY
from lib.recovery import MIB

SIZE = 16 * MIB
TOLD_SECONDS = 10
READ_SECONDS = 20
BLOCKS = 8


class SettingsTest(recovery.RecoveryTestCase):
    def serve(self, **options):
        self.log_start = len(self.daemon.log())
        self.lun_device, target = self.lun(SIZE, **options)
        self.here = self.session(target)
        self.image = f"rbd/{self.lun_device.name}"

    def assert_warned(self, what):
        self.daemon.wait_log(rf"(?m) (warning|error) .*{what}", TOLD_SECONDS, self.log_start)

    def assert_serving(self):
        data = self.random.randbytes(4096)
        recovery.write(self.here, 0, data)
        self.assertEqual(recovery.read(self.here, 0, BLOCKS), data)
        self.assert_daemon_lives()

    def test_a_feature_is_enabled(self):
        """Before a gateway has the lock: the tool needs it, and gateways do not release it for the tool. Reads are not served
        meanwhile either: librbd reads an image with a journal only under the lock."""
        self.serve()
        recovery.read(self.here, 0, BLOCKS)
        self.cluster.rbd("feature", "enable", self.image, "journaling")
        self.assert_warned("journaling")
        for command, read, data in ((cdb.read16(0, BLOCKS), 4096, b""), (cdb.write16(0, BLOCKS), 0, bytes(4096))):
            reply = self.here.submit(command, read, data).wait(TOLD_SECONDS)
            self.assertEqual(reply.status, BUSY, f"{reply.what}: {reply}")
        self.cluster.rbd("feature", "disable", self.image, "journaling")
        self.assert_serving()

    def test_a_setting_is_changed(self):
        self.serve()
        self.assert_serving()
        self.cluster.rbd("config", "image", "set", self.image, "rbd_cache", "true")
        self.assert_warned("rbd_cache")
        self.assert_serving()

    def test_no_permission_to_blocklist(self):
        """Reported before it is needed. After a crash only reads are served, since the dead daemon's writes cannot be fenced."""
        self.cluster.add_user("weak", mon="allow r", osd="allow rwx pool=rbd")
        self.serve(options=";id=weak")
        with self.subTest("reported at open"):
            self.assert_warned("blocklist")
        self.assert_serving()
        data = recovery.read(self.here, 0, BLOCKS)
        self.daemon.kill()
        self.daemon.start()
        started = time.monotonic()
        self.assertEqual(recovery.read(self.here, 0, BLOCKS, READ_SECONDS), data)
        self.report(f"the first good read after a kill: {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    testing.main(osds=1)
