#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unit tests that skip themselves elsewhere: those of the Ceph edge with a cluster, those of the kernel edge with a kernel."""

import os
import re
import shutil
import sys

from lib import testing
from lib.initiator import tool
from lib.lab import daemon_under_test


class LiveUnitsTest(testing.LabTestCase):
    def binary(self, name):
        """A test program of the build that the daemon comes from, where a gateway finds it too."""
        path = os.path.join(os.path.dirname(daemon_under_test()), name)
        if not os.access(path, os.X_OK):
            self.skipTest(f"{path} is not built")
        return shutil.copy(path, f"{self.gateway.directory}/{name}")

    def assert_all_ran(self, status, output):
        # Without the tests that were good: a failure is to be read in CI, which cuts what is long.
        story = re.sub(r"(?ms)^\[ RUN      \] (\S+)$(?:(?!^\[ RUN).)*?^\[       OK \] \1 .*?\n", "", output)
        self.assertEqual(status, 0, story)
        self.assertRegex(output, r"\[  PASSED  \] [1-9]")
        self.assertIsNone(re.search(r"\[  (SKIPPED|FAILED)  \]", output), story)

    def test_ceph_edge(self):
        binary = self.binary("ceph_image_live_test")
        done = tool("env", f"TCMU_RBD_TEST_CEPH_CONF={self.cluster.conf}",
                    f"TCMU_RBD_TEST_OSD_PID={self.cluster.osds[0].process.pid}", binary, timeout=180, check=False)
        self.assert_all_ran(done.returncode, done.stdout + done.stderr)

    def test_full_pools(self):
        binary = self.binary("ceph_full_live_test")
        done = tool("env", f"TCMU_RBD_TEST_CEPH_CONF={self.cluster.conf}", binary, timeout=180, check=False)
        self.assert_all_ran(done.returncode, done.stdout + done.stderr)

    def test_lock_edge(self):
        binary = self.binary("ceph_lock_live_test")
        mon, osd = self.cluster.mon.process.pid, self.cluster.osds[0].process.pid
        done = tool("env", f"TCMU_RBD_TEST_CEPH_CONF={self.cluster.conf}", f"TCMU_RBD_TEST_MON_PID={mon}",
                    f"TCMU_RBD_TEST_OSD_PID={osd}", binary, timeout=180, check=False)
        self.assert_all_ran(done.returncode, done.stdout + done.stderr)
        print("".join(line for line in done.stdout.splitlines(True) if " ms" in line and "[" not in line), file=sys.stderr)

    def test_kernel_edge(self):
        binary = self.binary("kernel_live_test")
        self.daemon.stop()  # the test plays the daemon itself
        self.assert_all_ran(*self.gateway.run(f"TCMU_RBD_LIVE_KERNEL=1 {binary}", 120, check=False))


if __name__ == "__main__":
    testing.main(mgr=True)  # it counts what the quotas of pools are about
