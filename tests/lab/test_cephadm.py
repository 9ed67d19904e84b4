#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""As cephadm runs it: its unmodified start script, its mounts, a /run that goes with the container, its logrotate. No container
engine: a mount namespace in the gateway has what the container would have."""

import os
import re
import sys
import types
import zipfile

from lib import testing
from lib.daemon import Daemon
from lib.initiator import Fio

MIB = 1 << 20
CEPHADM = "/usr/sbin/cephadm"
SETTINGS = "paths: {state_dir: /var/log/tcmu-rbd}\n"  # as packaging/container/Containerfile says
# $1: the folder that has the daemon and what cephadm mounts. /etc is the image's own, with the files of custom_configs.
CONTAINER = """
set -e
mkdir -p /tmp/own /tmp/etc
mount -n --bind "$1" /tmp/own
cp -a /etc/passwd /etc/group /etc/nsswitch.conf /tmp/etc/
mount -n -t tmpfs tmpfs /run
mkdir -p /run/etc/ceph /run/etc/tcmu-rbd && cp -a /tmp/etc/. /run/etc/
cp /tmp/own/ceph.conf /run/etc/ceph/ceph.conf
cp /tmp/own/tcmu-rbd.yaml /run/etc/tcmu-rbd/tcmu-rbd.yaml
mount -n --bind /run/etc /etc
mount -n --bind /tmp/own/log /var/log
mount -n --bind /tmp/own/tcmu-rbd /usr/bin/tcmu-runner
unset CEPH_CONF NOTIFY_SOCKET
exec bash /tmp/own/tcmu-runner-entrypoint.sh
"""


def entrypoint():
    """The script that cephadm writes. cephadm is a Python file in Ceph 16, an archive with one in Ceph 18."""
    if zipfile.is_zipfile(CEPHADM):
        source = zipfile.ZipFile(CEPHADM).read("__main__.py")
    else:
        with open(CEPHADM, "rb") as file:
            source = file.read()
    module = sys.modules["cephadm"] = types.ModuleType("cephadm")
    exec(compile(source, CEPHADM, "exec"), module.__dict__)
    return module.CephIscsi.tcmu_runner_entrypoint_script()


class Container(Daemon):
    """The container ...-tcmu of cephadm; `pid` is the script's."""

    name = "cephadm"

    def __init__(self, gateway, cluster):
        own, seen = f"{gateway.directory}/cephadm", f"{gateway.shared}/cephadm"
        os.makedirs(f"{own}/log", exist_ok=True)
        cluster.write_conf(f"{own}/ceph.conf")
        for name, text in (("tcmu-rbd.yaml", SETTINGS), ("tcmu-runner-entrypoint.sh", entrypoint()), ("container.sh", CONTAINER)):
            with open(f"{own}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        os.path.exists(f"{own}/tcmu-rbd") or os.link(f"{gateway.directory}/tcmu-rbd", f"{own}/tcmu-rbd")
        super().__init__(gateway, ["unshare", "--mount", "bash", f"{seen}/container.sh", seen])

    def start(self, timeout=20, ready=True):
        said = len(self.log())
        super().start(timeout, ready=False)
        if ready:
            self.wait_log(r" ready, ", timeout, said)
        return self

    def daemon_pid(self):
        return self.gateway.output(f"pgrep -P {self.pid} -x tcmu-runner")

    def remove(self):
        """As `podman rm -f`: all of its processes at once, and its /run."""
        self.gateway.run(f"kill -9 {self.pid} {self.daemon_pid()}")
        self.wait()

    def clients(self):
        """The client instances that the daemons of this container served with, the last one last."""
        return re.findall(r"serving .*, client (\S+)", self.log())


class CephadmTest(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.daemon.stop(), 0)
        self.addCleanup(self.daemon.start)
        self.container = Container(self.gateway, self.cluster).start()
        self.addCleanup(self.end)  # after the removal of the devices, which needs a daemon

    def redeploy(self):
        self.container = Container(self.gateway, self.cluster).start()

    def end(self):
        if self.container.pid is not None:
            self.container.remove()

    def assert_fenced(self, client):
        self.wait_until(lambda: client in self.cluster.blocklist(), 10, f"{client} is on the blocklist")

    def written(self, device):
        """The device as a disk, after a write: only an instance that may have writes in flight has a record."""
        disk = self.loop(device).disk()
        self.gateway.run(f"dd if=/dev/zero of={disk} bs=4k count=1 oflag=direct status=none")
        return disk

    def test_a_daemon_that_dies_is_started_again(self):
        disk = self.written(self.device(16 * MIB))
        load = Fio(self.gateway, disk, name="load", bs="4k", size="8M", iodepth=8, randseed=self.random.getrandbits(30)).start()
        before = self.container.clients()[-1]
        self.gateway.run(f"kill -9 {self.container.daemon_pid()}")
        self.wait_until(lambda: self.container.clients()[-1] != before, 30, "a new daemon serves")
        self.assert_fenced(before)
        load.finish(240)
        load.verify(240)

    def test_hup_comes_by_name(self):
        self.device(16 * MIB)
        said = len(self.container.log())
        self.gateway.run("killall -q -1 tcmu-runner || pkill -HUP -x tcmu-runner")  # as its logrotate does
        self.container.wait_log("settings reloaded", start=said)

    def test_records_outlive_the_container(self):
        self.written(self.device(16 * MIB))
        before = self.container.clients()[-1]
        self.container.remove()
        self.redeploy()
        self.wait_until(lambda: self.container.clients()[-1] != before, 30, "the new container serves")
        self.assert_fenced(before)

    def test_records_outlive_a_boot(self):
        self.written(self.device(16 * MIB, image="boot", name="boot"))
        before = self.container.clients()[-1]
        self.gateway.reboot()
        self.container.pid = None
        self.redeploy()
        self.device(16 * MIB, image="boot", name="boot", create=False)
        self.container.wait_log(f"{re.escape(before)} was recorded before the last boot")
        self.assert_fenced(before)


if __name__ == "__main__":
    testing.main()
