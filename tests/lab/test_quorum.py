#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The monitors have no quorum: what is served stays served, and LUNs and the daemon end all the same."""

import time

from lib import testing
from lib.libiscsi import Session

MIB = 1 << 20
# Until the guard of fences waits for the monitors as well: it looks once a second.
LOOKS_SECONDS = 2
# A monitor command times out after 10 s.
END_SECONDS = 25


class QuorumTest(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        self.served = self.device(16 * MIB)
        self.target = self.iscsi(self.served)
        self.host = self.session(self.target)
        self.host.write(0, b"with" + bytes(508))
        self.cluster.mon.hang()
        self.addCleanup(self.cluster.mon.resume)
        end = time.monotonic() + LOOKS_SECONDS
        while time.monotonic() < end:
            self.host.write(1, b"without" + bytes(505))
            self.assertEqual(self.host.read(0, 1), b"with" + bytes(508))

    def assert_served(self):
        with Session(self.target.url()) as session:
            self.assertEqual(session.read(1, 1), b"without" + bytes(505))
            session.write(2, b"again" + bytes(507))

    def test_the_daemon_ends(self):
        began = time.monotonic()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertLess(time.monotonic() - began, END_SECONDS)
        self.cluster.mon.resume()
        self.daemon.start()
        self.assert_served()

    def test_the_last_lun_goes_and_comes_again(self):
        self.host.close()
        self.target.remove_lun(self.served)
        began = time.monotonic()
        self.served.delete(timeout=END_SECONDS)
        self.assertLess(time.monotonic() - began, END_SECONDS)
        self.cluster.mon.resume()
        self.served.create().enable()
        self.add_lun(self.target, self.served, 0)
        self.assert_served()


if __name__ == "__main__":
    testing.main()
