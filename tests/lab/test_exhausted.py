#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon runs out of descriptors or threads: what it serves goes on, what it can't afford is refused, and then served again."""

from lib import recovery, testing
from lib.lio import EnableFailed
from lib.recovery import MIB, Footprint

SIZE = 16 * MIB
CGROUP = "/sys/fs/cgroup"


class ExhaustedTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        self.served = self.device(SIZE)
        self.session_ = self.session(self.iscsi(self.served, depth=recovery.SESSION_DEPTH))
        recovery.write(self.session_, 0, bytes(512))

    def footprint(self):
        return Footprint.of(self.daemon)

    def assert_serves(self):
        data = self.random.randbytes(4096)
        recovery.write(self.session_, 8, data)
        self.assertEqual(recovery.read(self.session_, 8, 8), data)
        self.assert_daemon_lives()

    def limit_files(self, soft):
        self.gateway.run(f"prlimit --pid {self.daemon.pid} --nofile={soft}:1048576")

    def limit_threads(self, most):
        self.gateway.files(["write", f"{CGROUP}/daemon/pids.max", str(most)])

    def test_cost_of_a_lun(self):
        """The figures behind kPerInstance."""
        count = 6
        before = self.footprint()
        devices = [self.device(SIZE) for _ in range(count)]
        target = self.iscsi(*devices, iqn="iqn.2026-11.lab:many")
        session = self.session(target)
        for lun in range(count):
            while session.command(recovery.cdb.write16(0, 8), data=bytes(4096), lun=lun).status != 0:
                pass
        after = self.footprint()
        self.report(f"a LUN: {(after.threads - before.threads) / count:.1f} threads, {(after.files - before.files) / count:.1f} "
                  f"descriptors, {(after.rss_mib - before.rss_mib) / count:.1f} MiB")

    def test_descriptors(self):
        self.addCleanup(self.limit_files, 1 << 20)
        for spare in (100, 30, 3, 0):
            with self.subTest(spare=spare):
                self.limit_files(self.footprint().files + spare)
                name = f"spare-{spare}-files"
                self.cluster.create_image(name, SIZE)
                if spare >= 30:
                    self.assertIn("RLIMIT_NOFILE", self.refused_of(name))
                else:
                    with self.assertRaises(EnableFailed):
                        self.enable(name)
                self.assert_serves()
                self.limit_files(1 << 20)
                again = self.enable(name)
                self._remove_later(self.gateway, again.delete)
                self.session(self.iscsi(again, iqn=f"iqn.2026-11.lab:{name}")).write(0, bytes(512))

    def enable(self, name):
        return self.lab.device(self.gateway, name, SIZE, create=False)

    def refused_of(self, name):
        said = len(self.daemon.log())
        with self.assertRaises(EnableFailed):
            self.enable(name)
        line = self.daemon.wait_log(r"cannot serve the device: [^\n]*no room[^\n]*raise[^\n]*", start=said).group(0)
        self.report(line)
        return line

    def test_threads(self):
        self.enter_cgroup()
        for spare in (30, 1, 0):
            with self.subTest(spare=spare):
                self.limit_threads(self.footprint().threads + spare)
                name = f"spare-{spare}-threads"
                self.cluster.create_image(name, SIZE)
                self.assertIn("TasksMax", self.refused_of(name))
                self.assert_serves()
                self.limit_threads("max")
                again = self.enable(name)
                self._remove_later(self.gateway, again.delete)
                self.session(self.iscsi(again, iqn=f"iqn.2026-11.lab:{name}")).write(0, bytes(512))

    def enter_cgroup(self):
        mounted = self.gateway.run(f"mount -t cgroup2 none {CGROUP} && echo +pids > {CGROUP}/cgroup.subtree_control && "
                                   f"mkdir {CGROUP}/daemon && echo {self.daemon.pid} > {CGROUP}/daemon/cgroup.procs", check=False)
        if mounted[0] != 0:
            self.skipTest(f"no pids cgroup in this kernel: {mounted}")
        self.addCleanup(self.leave_cgroup)

    def leave_cgroup(self):
        self.gateway.run(f"echo max > {CGROUP}/daemon/pids.max; echo {self.daemon.pid} > {CGROUP}/cgroup.procs; "
                         f"rmdir {CGROUP}/daemon; umount {CGROUP}", check=False)

    def test_a_fence_without_a_thread_to_spare(self):
        """Its reopen is refused and tried again; nothing else notices, and the daemon lives."""
        self.enter_cgroup()
        self.hang(self.cluster.osds[0])
        stuck = self.session_.submit(recovery.cdb.write16(64, 1), data=bytes(512))
        self.session_.linger(0.3)
        self.limit_threads(self.footprint().threads + 2)
        said = len(self.daemon.log())
        self.session_.lun_reset().wait(30)
        self.daemon.wait_log(r"reopen: [^\n]*no room[^\n]*", start=said)
        self.assert_daemon_lives()
        self.limit_threads("max")
        self.cluster.osds[0].resume()
        self.session_.forget(stuck)
        self.assert_serves()


if __name__ == "__main__":
    testing.main(osds=1)
