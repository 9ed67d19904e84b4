# SPDX-License-Identifier: Apache-2.0
"""What every lab test file shares: one lab per file, a fresh start for each test, and the story of a failure.

    class ResizeTest(testing.LabTestCase):
        def test_grow(self): ...

    if __name__ == "__main__":
        testing.main(osds=1)
"""

import os
import random
import signal
import sys
import threading
import time
import unittest

from . import isolation, qemu
from .channel import LabError
from .initiator import OpenIscsi
from .lab import Lab, kernel_under_test
from .libiscsi import CHECK_CONDITION, Session
from .lio import IscsiTarget, LoopTarget

_lab = None

# A run that failed is repeated with the same choices: LAB_SEED=N.
seed = int(os.environ.get("LAB_SEED") or time.time_ns() % 1_000_000_007)


def main(kernels=(), **cluster):
    """Runs the tests of the calling file in a lab of their own; `cluster`: see Cluster.

    `kernels`: those that the tests want besides the one under test, see Lab.gateway().
    """
    for kernel in {kernel_under_test(), *kernels} - {"uml"}:
        qemu.fetch(kernel)

    def body():
        global _lab
        print(f"LAB_SEED={seed}", flush=True)
        with Lab(**cluster) as _lab:
            result = unittest.main(module="__main__", exit=False, verbosity=2, catchbreak=False).result
            if not result.wasSuccessful():
                _lab.keep_logs()
            return 0 if result.wasSuccessful() else 1

    isolation.run(body)


class Background(threading.Thread):
    """A call that runs while the test goes on; result() returns or raises what it did."""

    def __init__(self, function, *arguments, **options):
        super().__init__(daemon=True)
        self._call = (function, arguments, options)
        self._value = self._error = None
        self.start()

    def run(self):
        function, arguments, options = self._call
        try:
            self._value = function(*arguments, **options)
        except BaseException as error:
            self._error = error

    def result(self, timeout=60):
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError(f"not within {timeout} s: {self._call[0]}")
        if self._error:
            raise self._error
        return self._value


class LabTestCase(unittest.TestCase):
    """A test with gateway 0 and its daemon running. What it makes through these methods is removed at its end."""

    daemon_options = {}
    time_limit = 240  # seconds for one test, more in QEMU; a hung test is reported with its stack

    def setUp(self):
        signal.signal(signal.SIGALRM, self._too_long)
        signal.alarm(self._time_limit())
        self.addCleanup(signal.alarm, 0)
        self.addCleanup(self._tell_duration, time.monotonic())
        self.lab = _lab
        self.cluster = _lab.cluster
        self.random = random.Random(f"{seed} {self.id()}")
        self._images = 0
        self.addCleanup(self._report_failure)
        self.gateway = self.healthy_gateway(0)
        self.daemon = self.lab.daemons[0]
        self.addCleanup(self._assert_kernels_are_content)

    def healthy_gateway(self, number):
        """A gateway that serves; one that an earlier test left hanging is booted again."""
        gateway = self.lab.gateway(number)
        try:
            gateway.files(["exists", "/"], timeout=10)
            return self.lab.serving(number, **self.daemon_options)
        except LabError as error:
            print(f"{gateway.name} is booted again: {str(error).splitlines()[0]}", file=sys.stderr)
            gateway.reboot()
            self.lab.daemons.pop(number, None)
            return self.lab.serving(number, **self.daemon_options)

    def _tell_duration(self, started):
        print(f"{time.monotonic() - started:.1f} s ", end="", file=sys.stderr, flush=True)

    def _assert_kernels_are_content(self):
        """No machine's kernel has reported a fault of its own since the last test, those that are dead by now included."""
        faults = {gateway.name: gateway.console.first_fault() for gateway in self.lab.gateways.values()}
        found = [f"the kernel of {name}:\n{fault}" for name, fault in faults.items() if fault]
        self.assertFalse(found, "\n".join(found))

    def _time_limit(self):
        return self.time_limit * (1 if kernel_under_test() == "uml" else 3)

    def _too_long(self, *_):
        signal.alarm(30)  # for its removal, should that hang as well
        raise LabError(f"the test did not end within {self._time_limit()} s")

    def _stories(self):
        outcome = self._outcome.result
        return [story for test, story in outcome.errors + outcome.failures if test is self]

    def failed(self):
        return bool(self._stories())

    def _report_failure(self):
        stories = self._stories()
        for gateway in self.lab.gateways.values():
            if stories and f"dmesg of {gateway.name}" not in stories[-1]:
                print(gateway.report(40), file=sys.stderr)

    # --- what a test makes, and what is removed after it ---

    def image_name(self):
        self._images += 1
        return f"{self.id().rsplit('.', 1)[1].replace('test_', '')[:40]}-{self._images}"

    def device(self, size, gateway=None, **options):
        """A device with its own image."""
        made = self.lab.device(gateway or self.gateway, options.pop("image", None) or self.image_name(), size, **options)
        self._remove_later(made.gateway, made.delete)
        return made

    def iscsi(self, *devices, gateway=None, **options):
        """An iSCSI target with these devices as LUN 0, 1, ..."""
        target = IscsiTarget(gateway or self.gateway, **options).create()
        self._remove_later(target.gateway, target.delete)
        for lun, device in enumerate(devices):
            self.add_lun(target, device, lun)
        return target

    def loop(self, *devices, gateway=None, number=0):
        """A local SCSI host with these devices as LUN 0, 1, ..."""
        target = LoopTarget(gateway or self.gateway, number).create()
        self._remove_later(target.gateway, target.delete)
        for lun, device in enumerate(devices):
            self.add_lun(target, device, lun)
        return target

    def add_lun(self, target, device, lun=0):
        target.add_lun(device, lun)
        self._remove_later(target.gateway, target.remove_lun, device, lun)

    def _remove_later(self, gateway, function, *arguments):
        self.addCleanup(self._remove, gateway, gateway.process, function, arguments)

    @staticmethod
    def _remove(gateway, kernel, function, arguments):
        if gateway.process is not kernel:
            return  # what that kernel had is gone with it
        # The test may have removed it itself; a hang is a failure anyway.
        try:
            function(*arguments)
        except OSError:
            pass

    # --- what tests ask for often ---

    def login(self, target, gateway=None, **options):
        """The gateway's own kernel as initiator of an iSCSI target."""
        initiator = OpenIscsi(gateway or self.gateway, target, **options).login()
        self.addCleanup(initiator.logout)
        return initiator

    def session(self, target, lun=0):
        """A session from outside, for raw CDBs."""
        session = Session(f"{target.url()[:-1]}{lun}")
        self.addCleanup(session.close)
        return session

    def assert_sense(self, reply, key, ascq):
        self.assertEqual((reply.status, reply.key, reply.ascq), (CHECK_CONDITION, key, ascq), str(reply))

    def wait_until(self, condition, seconds, what):
        return isolation.wait_until(condition, seconds, what)

    def sha256(self, path, gateway=None):
        """The checksum of a whole disk in a gateway, read around its page cache."""
        script = f"dd if={path} bs=1M iflag=direct status=none | sha256sum"
        return (gateway or self.gateway).output(script, timeout=300).split()[0]

    def assert_daemon_lives(self):
        self.assertTrue(self.daemon.alive(), f"the daemon has ended\n{self.gateway.report(60)}")
