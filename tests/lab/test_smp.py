#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of data, aborts, restarts and netlink again, on a kernel with two processors: there the target code, the ring and the daemon
meet real races. One lab and one boot for all of them; tests/night.sh runs those that take long here.
"""

import os
import unittest

import test_abort
import test_data
import test_netlink
import test_restart
from lib import testing

FILES = (test_data, test_abort, test_netlink, test_restart)
AT_NIGHT = {"test_filesystem", "test_mixed_sizes_on_a_local_disk", "test_commands_from_outside", "test_terminate_under_load",
            "test_settings_are_read_again", "test_status", "test_a_second_daemon_is_refused"}


def each(suite):
    for test in suite:
        yield from each(test) if isinstance(test, unittest.TestSuite) else (test,)


def load_tests(loader, _tests, _pattern):
    found = [test for file in FILES for test in each(loader.loadTestsFromModule(file))]
    left_out = [test for test in found if test.id().split(".")[-1] in AT_NIGHT]
    if len(left_out) != len(AT_NIGHT):
        raise ValueError(f"{AT_NIGHT} are names of {len(left_out)} tests")
    return unittest.TestSuite(test for test in found if test not in left_out)


if __name__ == "__main__":
    os.environ.setdefault("LAB_KERNEL", "6.12")
    testing.main(osds=1)
