# SPDX-License-Identifier: Apache-2.0
"""The lab as a whole: a cluster, gateways with their daemons, on one network.

    def body():
        with Lab() as lab:
            gateway = lab.gateway()
            lab.daemon(gateway).start()
            device = lab.device(gateway, "disk", 1 << 30)
            target = IscsiTarget(gateway).create()
            target.add_lun(device)
            tool("iscsi-inq", target.url())

    isolation.run(body)
"""

import functools
import os
import shutil

from . import daemon, isolation, network
from .cluster import Cluster
from .lio import Device, EnableFailed
from .qemu import QemuGateway
from .uml import UmlGateway

_SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))


def daemon_under_test():
    """$TCMU_RBD ('tcmu-runner' or a path), else the tcmu-rbd that was built beside the source."""
    return os.environ.get("TCMU_RBD") or os.path.join(_SOURCE, "build", "tcmu-rbd")


def kernel_under_test():
    """$LAB_KERNEL: 'uml' (user-mode Linux), or the version of one of Debian's own kernels, which QEMU runs."""
    return os.environ.get("LAB_KERNEL") or "uml"


class Lab:
    default_kind = None  # the lab's own test sets it: that one is about the lab, with a daemon that is known

    def __init__(self, kind=None, **cluster):
        self.kind = kind or self.default_kind or daemon_under_test()
        self.directory = isolation.directory()
        network.create_bridge()
        self.cluster = Cluster(f"{self.directory}/ceph", **cluster)
        self.gateways = {}
        self.daemons = {}

    def __enter__(self):
        if self.kind != "tcmu-runner" and not os.access(self.kind, os.X_OK):
            raise FileNotFoundError(f"no daemon to test: {self.kind} is not there; build it, or set TCMU_RBD")
        self.cluster.start()
        return self

    def __exit__(self, *failure):
        if failure[0] is not None:
            self.keep_logs()
        for gateway in self.gateways.values():
            gateway.kill()
        self.cluster.stop()

    def gateway(self, number=0, kernel=None, **options):
        """The gateway of that number, booted at its first mention; `kernel`: as kernel_under_test() names them."""
        if number not in self.gateways:
            kernel = kernel or kernel_under_test()
            kind = UmlGateway if kernel == "uml" else functools.partial(QemuGateway, version=kernel)
            self.gateways[number] = kind(number, self.cluster.conf, **options)
        if not self.gateways[number].alive():
            self.gateways[number].boot()
        return self.gateways[number]

    def daemon(self, gateway, **options):
        """The gateway's daemon, not started yet."""
        if gateway.number not in self.daemons or options:
            self.daemons[gateway.number] = daemon.make(gateway, self.kind, **options)
        return self.daemons[gateway.number]

    def serving(self, number=0, **options):
        """A gateway with its daemon running."""
        gateway = self.gateway(number)
        running = self.daemon(gateway, **options)
        if not running.alive():
            running.start()
        return gateway

    def device(self, gateway, image, size, create=True, name=None, options="", control="max_data_area_mb=64", pool="rbd"):
        """A device that serves `image` of `size` bytes; creates the image by default."""
        if create:
            self.cluster.create_image(image, size, pool)
        made = Device(gateway, name or image, f"rbd/{pool}/{image}{options}", size, control=control).create()
        try:
            return made.enable()
        except EnableFailed:
            made.delete()
            raise

    def keep_logs(self):
        """Copies all logs to $LAB_LOGS, if set: the lab's own directory vanishes with it."""
        target = os.environ.get("LAB_LOGS")
        if not target:
            return
        os.makedirs(target, exist_ok=True)
        sources = [(f"{self.directory}/ceph/log", "ceph")] + [(g.directory, g.name) for g in self.gateways.values()]
        for source, name in sources:
            shutil.copytree(source, os.path.join(target, name), dirs_exist_ok=True)
