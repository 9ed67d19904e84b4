# SPDX-License-Identifier: Apache-2.0
"""Gateways as ceph-iscsi makes them: a portal group for each gateway, and ALUA groups that name the image's owner."""

from . import recovery

IQN = "iqn.2003-01.com.redhat.iscsi-gw:alua"
# ALUA states as alua_access_state has them, and as sg_rtpg prints them.
OPTIMIZED, NON_OPTIMIZED = 0, 1
STATES = {OPTIMIZED: "active/optimized", NON_OPTIMIZED: "active/non optimized"}
# By the tag of a portal group, which is that of its gateway: the first one owns the image.
GROUPS = {1: ("ao", OPTIMIZED), 2: ("ano2", NON_OPTIMIZED)}


class AluaTestCase(recovery.RecoveryTestCase):
    groups = GROUPS

    def serve(self, number, size, **options):
        """The image at a gateway: a portal group for each gateway, its own enabled; as ceph-iscsi's alua.py and target.py do it."""
        gateway = self.healthy_gateway(number)
        device = self.device(size, gateway, **options)
        for tag, (name, state) in self.groups.items():
            group = f"{device.path}/alua/{name}"
            settings = {"tg_pt_gp_id": tag, "alua_access_type": 1, "alua_support_offline": 0, "alua_support_unavailable": 0,
                        "alua_support_standby": 0, "alua_access_state": state}
            gateway.files(["mkdir", group], *(["write", f"{group}/{key}", str(value)] for key, value in settings.items()))
            self._remove_later(gateway, gateway.files, ["rmdir", group])
        targets = {tag: self.iscsi(device, gateway=gateway, iqn=IQN, tag=tag, enabled=tag == number + 1) for tag in self.groups}
        for tag, target in targets.items():
            gateway.files(["write", f"{target.path}/lun/lun_0/alua_tg_pt_gp", self.groups[tag][0]])
        return device, targets[number + 1]
