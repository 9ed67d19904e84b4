# SPDX-License-Identifier: Apache-2.0
"""The base of tests with ceph-iscsi: two gateways with it, and a host; counts the steps that work."""

import contextlib
import json
import os
import sys
import time

from . import ceph_iscsi, recovery
from .ceph_iscsi import CephIscsi, HostPath

_HOST = 2
# rtslib takes no iSCSI name with fewer dots.
CLIENT = "iqn.2026-11.lab.example:host"
# Of a daemon that was killed, or a machine that lost its power.
_WATCH_SECONDS = 60
CHUNK = 64 << 10
DISK = "disk"


class CephIscsiTestCase(recovery.RecoveryTestCase):
    _service = None
    _published = False
    time_limit = 420
    _dead = set()  # the addresses of clients whose daemon or machine was killed
    steps = 0

    def setUp(self):
        if not os.path.exists("/usr/bin/rbd-target-api"):
            self.fail("ceph-iscsi is missing: install what packaging/deps.sh --list hosts prints")
        self.addCleanup(self._start_over)  # last of all, after the report on the failure
        super().setUp()
        self.gateways = [self.gateway, self.healthy_gateway(1)]
        self.host = self.lab.gateway(_HOST)
        self.host.run(f"echo InitiatorName={CLIENT} > /etc/iscsi/initiatorname.iscsi")
        if CephIscsiTestCase._service is None:
            CephIscsiTestCase._service = CephIscsi(self.gateways)
        self.service = CephIscsiTestCase._service
        self.service.start()

    @classmethod
    def tearDownClass(cls):
        print(f"\n  steps that work: {cls.steps}", flush=True)

    def healthy_gateway(self, number):
        """As on a real gateway, nothing but /etc/ceph/ceph.conf names the cluster."""
        gateway = self.lab.gateway(number)
        ceph_iscsi.prepare(gateway, self.cluster)
        self.lab.daemon(gateway).environment.pop("CEPH_CONF", None)
        return super().healthy_gateway(number)

    def _start_over(self):
        """After a failure nothing is known of the machines: they boot again, without a configuration."""
        if not self.failed():
            return
        for gateway in self.lab.gateways.values():
            self.cut_power(gateway)
        CephIscsiTestCase._service, CephIscsiTestCase._published = None, False
        if DISK in self.images():
            self.wait_until(lambda: not self.cluster.watchers(DISK), _WATCH_SECONDS, "no client has the image open")
            self.cluster.remove(DISK)
        self.cluster.remove_object("gateway.conf")
        self.cluster.clear_blocklist()

    @contextlib.contextmanager
    def step(self, what):
        """One thing that an operator or a host does, with what has to come of it."""
        started = time.monotonic()
        yield
        type(self).steps += 1
        print(f"\n  {what}: {time.monotonic() - started:.1f} s", file=sys.stderr, end="", flush=True)

    def published(self):
        """Makes the disk that all tests share, unless an earlier one did: rbd-target-api takes its time for that."""
        if not CephIscsiTestCase._published:
            with self.step("create target, gateways, disk, client, mapping"):
                self.service.create_target()
                self.service.create_disk(DISK, "64M")
                self.service.map_disk(DISK)
                self.service.create_client(CLIENT)
                self.service.map_to_client(CLIENT, DISK)
            self.note_published()

    @staticmethod
    def note_published(published=True):
        CephIscsiTestCase._published = published

    def images(self):
        return self.cluster.rbd("ls", ceph_iscsi.POOL).stdout.decode().split()

    def image_size(self):
        return json.loads(self.cluster.rbd("info", f"{ceph_iscsi.POOL}/{DISK}", "--format", "json").stdout)["size"]

    def clients(self, gateway):
        """The addresses of a gateway's clients that have the image open."""
        return [address for address in self.cluster.watchers(DISK) if address.startswith(f"{gateway.address}:")]

    def expect_dead(self, gateway):
        self._dead.update(self.clients(gateway))

    def login(self, number, **options):
        """The host's path by a gateway; it logs out at the test's end at the latest."""
        path = HostPath(self.host, self.gateways[number], **options).login()
        self.addCleanup(self.logout, path)
        return path

    def logout(self, *paths):
        for path in paths:
            if path.session() is not None:
                path.logout()

    def pattern(self, length=CHUNK):
        return self.random.randbytes(length)

    def assert_served(self, paths, offset, *readers):
        """What is written by each path is read by all of them, and from the cluster."""
        for path in paths:
            data = self.pattern()
            path.write(offset, data)
            for reader in readers or paths:
                self.assertEqual(reader.read(offset, len(data)), data, f"written by {path}, read by {reader}")
            self.assertEqual(self.cluster.read(DISK, offset, len(data)), data, f"written by {path}, read from the cluster")
