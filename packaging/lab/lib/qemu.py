# SPDX-License-Identifier: Apache-2.0
"""A gateway whose kernel is one of Debian's own, in QEMU without KVM: two processors, some twenty times slower than the host's."""

import os
import platform
import subprocess

from . import isolation
from .gateway import Gateway

_SCRIPT = os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir, "kernel.sh")
# The detectors of the kernel count what the lab makes on purpose: a frozen machine, or one that waits for a processor of the host.
_PATIENCE = ["rcupdate.rcu_cpu_stall_timeout=120", "watchdog_thresh=60"]


def own_version():
    """The version of the kernel that this release of Debian has as its default."""
    return {"12": "6.1"}.get(platform.freedesktop_os_release().get("VERSION_ID"), "6.12")


def fetch(version):
    """Downloads a kernel that is not in the cache yet; to be called outside of the lab, which has no network."""
    subprocess.run([_SCRIPT, version], check=True, stdout=subprocess.DEVNULL)


def _tree(version):
    return subprocess.run([_SCRIPT, "--cached", version], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _shared(path, tag, options=""):
    """A directory of the host as a 9p file system of the machine."""
    return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{options}"]


class QemuGateway(Gateway):
    boot_seconds = 300

    def __init__(self, number, conf, version, **options):
        super().__init__(number, conf, **options)
        self.kernel = version
        self._tree = _tree(version)

    def argv(self):
        lab = isolation.directory()
        parameters = ["console=ttyS0", "mitigations=off", "net.ifnames=0", f"LAB_INIT={lab}/guest/init.sh",
                      f"MODULES={self._tree}/lib/modules", *self.parameters(), *_PATIENCE]
        return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max", "-m", self.memory,
                "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
                "-kernel", f"{self._tree}/vmlinuz", "-initrd", f"{self._tree}/initrd", "-append", " ".join(parameters),
                *_shared("/", "root", ",readonly=on"), *_shared(lab, "lab", ",readonly=on"), *_shared(self.directory, "own"),
                "-netdev", f"tap,id=net,ifname={self.tap},script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"]
