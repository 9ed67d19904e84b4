#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A daemon that crashes leaves the last events of its LUNs, and the next one says where; it dies of the signal all the same."""

import os
import re
import shutil
import signal

from lib import cdb, testing
from lib.lab import daemon_under_test
from lib.libiscsi import GOOD

MIB = 1 << 20


class CrashTest(testing.LabTestCase):
    def ctl(self, *words):
        client = f"{self.gateway.directory}/tcmu-rbdctl"
        shutil.copy(os.path.join(os.path.dirname(daemon_under_test()), "tcmu-rbdctl"), client)
        return self.gateway.output(f"{self.gateway.shared}/tcmu-rbdctl {' '.join(words)}")

    def kept(self):
        return self.gateway.output("ls /run/tcmu-rbd | grep ^crash || :").split()

    def crash(self, number):
        self.daemon.signal(number)
        self.assertEqual(self.daemon.wait(), -number)
        start = len(self.daemon.log())
        self.daemon.start()
        name = signal.Signals(number).name
        found = self.daemon.wait_log(rf"the last daemon crashed \({name}\), its last events are in (\S+): ", start=start)
        return found[1]

    def test_its_last_events_are_kept(self):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        session.write(64, bytes(4096))
        self.cluster.osds[0].hang()
        hung = session.submit(cdb.write16(128, 8), data=bytes(4096))
        with self.assertRaises(TimeoutError):
            hung.wait(1)  # it is with the OSD now
        self.daemon.signal(signal.SIGSEGV.value)
        self.assertEqual(self.daemon.wait(), -signal.SIGSEGV)
        self.cluster.osds[0].resume()
        start = len(self.daemon.log())
        self.daemon.start()
        path = self.daemon.wait_log(r"the last daemon crashed \(SIGSEGV\), its last events are in (\S+): see", start=start)[1]
        shown = self.ctl("trace", "--file", path)
        self.assertRegex(shown, r"(?m)^\S+Z  tcmu-rbd \S+ crashed: SIGSEGV$")
        self.assertIn(f"user_0/{device.name}  rbd/{device.name}: ", shown)
        self.assertRegex(shown, r"WRITE\(16\) 32768\+4096: .* answered GOOD")
        last = next(line for line in shown.splitlines() if " 65536+4096: " in line)
        self.assertTrue(last.endswith(" in-librbd"), last)
        hung.wait(60)
        session.write(128, bytes(4096))
        # A failed assertion of librbd, or systemd's watchdog. The last four are kept.
        paths = [path] + [self.crash(signal.SIGABRT.value) for _ in range(4)]
        self.assertEqual(self.kept(), [os.path.basename(each) for each in paths[1:]] + ["crash.new"])
        self.wait_until(lambda: session.command(cdb.write16(0, 8), data=bytes(4096)).status == GOOD, 60, "it serves")

    def test_a_clean_end_leaves_nothing(self):
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse([name for name in self.kept() if not re.fullmatch(r"crash-\S+Z\.trace", name)])
        self.daemon.start()


if __name__ == "__main__":
    testing.main()
