# SPDX-License-Identifier: Apache-2.0
"""LIO by its configfs: TCMU devices, iSCSI targets, local disks (tcm_loop)."""

import uuid

from . import isolation
from .channel import FileError, GuestTimeout, LabError

TARGET = "/sys/kernel/config/target"
IQN = "iqn.2026-11.lab:target"
# The kernel waits for the daemon's reply without a limit; a daemon that needs longer than this is considered hung.
ENABLE_SECONDS = 40


class EnableFailed(LabError):
    """The kernel refused to enable a device: the daemon said no."""


class Device:
    """A TCMU device, core/user_N/NAME."""

    def __init__(self, gateway, name, dev_config, size, hba=0, control=""):
        self.gateway = gateway
        self.name = name
        self.dev_config = dev_config
        self.size = size
        self.control = control
        self.path = f"{TARGET}/core/user_{hba}/{name}"
        self.serial = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))

    def create(self):
        settings = f"dev_config={self.dev_config},dev_size={self.size}" + (f",{self.control}" if self.control else "")
        self.gateway.files(["mkdir", self.path], ["write", f"{self.path}/control", settings])
        return self

    def enable(self, timeout=ENABLE_SECONDS):
        """Enables it; a refusal is EnableFailed, no answer in time is GuestTimeout: the kernel's writer then hangs."""
        try:
            self.gateway.files(["write", f"{self.path}/enable", "1"], timeout=timeout)
        except FileError as error:
            raise EnableFailed(f"{self.gateway.name}: enable of {self.name} ({self.dev_config}): {error.strerror}\n"
                               f"{self.gateway.report()}") from None
        except GuestTimeout as error:
            raise GuestTimeout(f"enable of {self.name} ({self.dev_config}) hangs: {error}") from None
        # In the order of ceph-iscsi, which gives the serial number only now.
        self.gateway.files(["write", f"{self.path}/wwn/vpd_unit_serial", self.serial])
        return self

    def set(self, attribute, value, timeout=ENABLE_SECONDS):
        self.gateway.files(["write", f"{self.path}/attrib/{attribute}", str(value)], timeout=timeout)

    def get(self, attribute):
        return self.gateway.files(["read", f"{self.path}/attrib/{attribute}"])[0].strip()

    def reset_ring(self):
        """As an operator does: all commands get BUSY from the kernel, whatever the daemon does with them."""
        self.gateway.files(["write", f"{self.path}/action/reset_ring", "1"])

    def resize(self, size, timeout=ENABLE_SECONDS):
        self.set("dev_size", size, timeout)
        self.size = size

    def delete(self, timeout=ENABLE_SECONDS):
        try:
            self.gateway.files(["rmdir", self.path], timeout=timeout)
        except GuestTimeout as error:
            raise GuestTimeout(f"removal of {self.name} hangs: {error}") from None


class _Target:
    """A target portal group and its LUNs: what the fabrics have in common."""

    def __init__(self, gateway, path):
        self.gateway = gateway
        self.path = path

    def add_lun(self, device, lun=0):
        folder = f"{self.path}/lun/lun_{lun}"
        self.gateway.files(["mkdir", folder], ["symlink", device.path, f"{folder}/{device.name}"])

    def remove_lun(self, device, lun=0):
        folder = f"{self.path}/lun/lun_{lun}"
        self.gateway.files(["unlink", f"{folder}/{device.name}"], ["rmdir", folder])


class IscsiTarget(_Target):
    """One iSCSI target with one portal, open to every initiator, as demo mode has it.

    `depth`: commands in flight per session; LIO's own is 64, its most 512. `tag`: of its portal group. `enabled`: without, it has no
    portal either, as the portal groups of other gateways that ceph-iscsi makes.
    """

    def __init__(self, gateway, iqn=IQN, depth=64, tag=1, enabled=True):
        super().__init__(gateway, f"{TARGET}/iscsi/{iqn}/tpgt_{tag}")
        self.iqn = iqn
        self.depth = depth
        self.enabled = enabled
        self.portal = f"{gateway.address}:3260"

    def create(self):
        attributes = {"authentication": 0, "generate_node_acls": 1, "cache_dynamic_acls": 1, "demo_mode_write_protect": 0,
                      "prod_mode_write_protect": 0, "default_cmdsn_depth": self.depth}
        serving = [["mkdir", f"{self.path}/np/{self.portal}"], ["write", f"{self.path}/enable", "1"]] if self.enabled else []
        self.gateway.files(
            ["mkdir", self.path],
            *(["write", f"{self.path}/attrib/{name}", str(value)] for name, value in attributes.items()), *serving)
        return self

    def url(self, lun=0):
        return f"iscsi://{self.portal}/{self.iqn}/{lun}"

    def delete(self):
        """Its LUNs must be gone already; the target goes with its last portal group."""
        parent = self.path.rsplit("/", 1)[0]
        serving = [["write", f"{self.path}/enable", "0"], ["rmdir", f"{self.path}/np/{self.portal}"]] if self.enabled else []
        self.gateway.files(*serving, ["rmdir", self.path])
        if not self.gateway.files(["glob", f"{parent}/tpgt_*"])[0]:
            self.gateway.files(["rmdir", parent])


class LoopTarget(_Target):
    """A SCSI host of the gateway itself: its LUNs are local disks there."""

    def __init__(self, gateway, number=0):
        self._port = f"naa.5001405000000{gateway.number + 1}{number:02}"
        super().__init__(gateway, f"{TARGET}/loopback/{self._port}/tpgt_1")

    def create(self):
        self.gateway.files(["mkdir", self.path], ["write", f"{self.path}/nexus", self._port[:-4] + "f" + self._port[-3:]])
        return self

    def _address(self, lun):
        host, channel, target = self.gateway.files(["read", f"{self.path}/address"])[0].strip().split(":")
        return f"{host}:{channel}:{target}:{lun}"

    def _node(self, lun, kind):
        pattern = f"/sys/bus/scsi/devices/{self._address(lun)}/{kind}/*"
        found = isolation.wait_until(lambda: self.gateway.files(["glob", pattern])[0], 30, f"LUN {lun} appears as a disk")
        return "/dev/" + found[0].rsplit("/", 1)[1]

    def disk(self, lun=0):
        """/dev/sdX in the gateway, as soon as the kernel has it."""
        return self._node(lun, "block")

    def generic(self, lun=0):
        """/dev/sgN in the gateway."""
        return self._node(lun, "scsi_generic")

    def delete(self):
        parent = self.path.rsplit("/", 1)[0]
        self.gateway.files(["write", f"{self.path}/nexus", "NULL"], ["rmdir", self.path], ["rmdir", parent])
