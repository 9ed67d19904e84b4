# SPDX-License-Identifier: Apache-2.0
"""ceph-iscsi on the lab's gateways: Debian's unmodified package, its configuration, its REST API and its shell.

    prepare(gateway, cluster)  # for each, before its TCMU daemon starts
    service = CephIscsi([gateway0, gateway1])
    service.start()
    service.create_target()
    service.create_disk("disk", "64M")
    service.map_disk("disk")
    HostPath(host, gateway0).login().write(0, data)
"""

import base64
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request

from . import network
from .channel import LabError
from .daemon import Daemon
from .initiator import OpenIscsi
from .isolation import wait_until
from .lio import TARGET

IQN = "iqn.2003-01.com.redhat.iscsi-gw:lab"
POOL = "rbd"
HOSTS = {f"gw{number}": network.gateway_address(number) for number in (0, 1)}
CHAP = ("labinitiator", "labpassword12")  # rbd-target-api wants at least 8 and 12 characters
_PORT = 5000
_USER, _PASSWORD = "admin", "admin"
# The imports of rbd-target-api alone take some seconds in a user-mode kernel; a configuration that it restores comes on top.
START_SECONDS = 120
CALL_SECONDS = 100
# HTTPS needs certificates and shows nothing of the daemon. Without log_to_stderr it wants a syslog.
_CONFIG = """\
[config]
cluster_name = ceph
pool = rbd
api_secure = false
api_host = 0.0.0.0
api_port = {port}
api_user = {user}
api_password = {password}
trusted_ip_list = {trusted}
log_to_stderr = true
"""


class ApiError(LabError):
    """rbd-target-api refused a call; `status` is HTTP's."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """The REST API of one gateway, as gwcli and the dashboard use it."""

    def __init__(self, address):
        self.url = f"http://{_USER}:{_PASSWORD}@{address}:{_PORT}"
        self._base = f"http://{address}:{_PORT}/api"
        self._authorization = "Basic " + base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()

    def call(self, method, path, timeout=CALL_SECONDS, **form):
        """The JSON answer; ApiError for anything but 200."""
        data = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(f"{self._base}/{path}", data, {"Authorization": self._authorization}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            text = refusal.read().decode(errors="replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                pass
            raise ApiError(refusal.code, f"{method} {path} {form}: {text}") from None

    def get(self, path, **form):
        return self.call("GET", path, **form)

    def put(self, path, **form):
        return self.call("PUT", path, **form)

    def delete(self, path, **form):
        return self.call("DELETE", path, **form)

    def answers(self):
        try:
            self.call("GET", "config", timeout=5)
            return True
        except (ApiError, OSError):
            return False


def prepare(gateway, cluster):
    """The /etc/ceph, /etc/hosts and log directory of a gateway; again after each boot. The TCMU daemon reads them as well."""
    own, seen = f"{gateway.directory}/ceph-iscsi", f"{gateway.shared}/ceph-iscsi"
    for folder in ("ceph", "log"):
        os.makedirs(f"{own}/{folder}", exist_ok=True)
    cluster.write_conf(f"{own}/ceph/ceph.conf")
    with open(f"{own}/ceph/iscsi-gateway.cfg", "w", encoding="utf-8") as config:
        trusted = ",".join([network.HOST_ADDRESS, *HOSTS.values()])
        config.write(_CONFIG.format(port=_PORT, user=_USER, password=_PASSWORD, trusted=trusted))
    with open(f"{own}/hosts", "w", encoding="utf-8") as names:
        names.write("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in HOSTS.items()))
    mounts = {f"{seen}/ceph": "/etc/ceph", f"{seen}/hosts": "/etc/hosts", f"{seen}/log": "/var/log/rbd-target-api"}
    gateway.run("mkdir -p /var/log/rbd-target-api\n" + "\n".join(
        f"mountpoint -q {place} || mount -n --bind {source} {place} || exit" for source, place in mounts.items()))


class Portal(Daemon):
    """rbd-target-api of one gateway. It logs the details to ceph-iscsi/log."""

    name = "rbd-target-api"

    def __init__(self, gateway):
        super().__init__(gateway, ["/usr/bin/rbd-target-api"], {"PYTHONUNBUFFERED": "1"})
        del self.environment["CEPH_CONF"]  # rbd-target-api and its unit know nothing of it
        self.api = Api(gateway.address)

    def start(self, timeout=START_SECONDS, ready=True):
        """It knows no sd_notify: it is ready when its API answers, which is after it has restored its configuration."""
        super().start(timeout, ready=False)
        if ready:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=START_SECONDS):
        try:
            wait_until(lambda: self.api.answers() or not self.alive(), timeout, f"{self.name} of {self.gateway.name} answers", 0.2)
        except TimeoutError as late:
            raise LabError(f"{late}\n{self.gateway.report(60)}") from None
        if not self.alive():
            raise LabError(f"{self.name} of {self.gateway.name} ended\n{self.gateway.report(60)}")

    def gwcli(self, *commands, timeout=CALL_SECONDS):
        """Runs commands in one shell; its output. It ends with 0 whatever the API said, so look at the outcome."""
        lines = "\n".join([*commands, "exit"])
        return self.gateway.run(f"unset CEPH_CONF; gwcli 2>&1 << 'END'\n{lines}\nEND", timeout)[1]


class CephIscsi:
    """The gateways together, with one target. What is asked goes to the first one, which passes it on to the others."""

    def __init__(self, gateways):
        self.portals = [Portal(gateway) for gateway in gateways]
        self.api = self.portals[0].api
        self.gwcli = self.portals[0].gwcli

    def start(self):
        """Starts those that do not run."""
        for portal in self.portals:
            if portal.pid is None or not portal.alive():
                portal.start(ready=False)
        for portal in self.portals:
            portal.wait_ready()

    # --- what operators make ---

    def create_target(self):
        self.api.put(f"target/{IQN}")
        for name, address in HOSTS.items():
            self.api.put(f"gateway/{IQN}/{name}", ip_address=address)

    def create_disk(self, name, size):
        """A disk is an image; it is served only when it is mapped to a target."""
        self.api.put(f"disk/{POOL}/{name}", mode="create", size=size)

    def attach_disk(self, name):
        """A disk of an image that exists."""
        self.api.put(f"disk/{POOL}/{name}", mode="create", create_image="false")

    def map_disk(self, name):
        self.api.put(f"targetlun/{IQN}", disk=f"{POOL}/{name}")

    def create_client(self, initiator):
        self.api.put(f"client/{IQN}/{initiator}")
        self.api.put(f"clientauth/{IQN}/{initiator}", username=CHAP[0], password=CHAP[1])

    def map_to_client(self, initiator, name):
        self.api.put(f"clientlun/{IQN}/{initiator}", disk=f"{POOL}/{name}")

    def resize(self, name, size):
        self.api.put(f"disk/{POOL}/{name}", mode="resize", size=size)

    def reconfigure(self, name, **controls):
        self.api.put(f"disk/{POOL}/{name}", mode="reconfigure", controls=json.dumps(controls))

    def snapshot(self, name, snapshot, mode):
        self.api.put(f"disksnap/{POOL}/{name}/{snapshot}", mode=mode)

    def delete_snapshot(self, name, snapshot):
        self.api.delete(f"disksnap/{POOL}/{name}/{snapshot}")

    def delete_client(self, initiator):
        self.api.delete(f"client/{IQN}/{initiator}")

    def unmap_from_client(self, initiator, name):
        self.api.delete(f"clientlun/{IQN}/{initiator}", disk=f"{POOL}/{name}")

    def unmap_disk(self, name):
        self.api.delete(f"targetlun/{IQN}", disk=f"{POOL}/{name}")

    def delete_disk(self, name, preserve_image=False):
        self.api.delete(f"disk/{POOL}/{name}", preserve_image=str(preserve_image).lower())

    def delete_target(self):
        for name in reversed(HOSTS):
            self.api.delete(f"gateway/{IQN}/{name}")
        self.api.delete(f"target/{IQN}")

    # --- what they see ---

    def config(self):
        return self.api.get("config")

    def disk(self, name):
        return self.api.get(f"disk/{POOL}/{name}")


def devices(gateway):
    """The names of all devices in a gateway's kernel."""
    return [path.rsplit("/", 1)[1] for path in gateway.files(["glob", f"{TARGET}/core/user_*/*"])[0]
            if not path.endswith(("/hba_info", "/hba_mode"))]


def device_path(gateway, name):
    """The configfs directory of a disk's device; rtslib gives each device an HBA of its own."""
    return gateway.files(["glob", f"{TARGET}/core/user_*/{POOL}.{name}"])[0][0]


def targets(gateway):
    found = gateway.files(["glob", f"{TARGET}/iscsi/iqn.*"])[0]
    return [path.rsplit("/", 1)[1] for path in found]


class _Address:
    """What OpenIscsi wants to know of a target."""

    def __init__(self, gateway):
        self.iqn = IQN
        self.portal = f"{gateway.address}:3260"


class HostPath(OpenIscsi):
    """A host's session with one of the gateways."""

    def __init__(self, host, gateway, chap=CHAP, **options):
        super().__init__(host, _Address(gateway), chap=chap, **options)
        self._address = gateway.address

    def __str__(self):
        return f"the path by {self._address}"

    def session(self):
        """Its number; the connections of a host are found by the gateway's address."""
        pattern = "/sys/class/iscsi_connection/connection*/persistent_address"
        for path in self.gateway.files(["glob", pattern])[0]:
            if self.gateway.files(["read", path])[0].strip() == self._address:
                return int(re.search(r"connection(\d+)", path)[1])
        return None

    def disk(self, lun=0):
        pattern = f"/sys/class/iscsi_session/session{self.session()}/device/target*/*:{lun}/block/*"
        found = wait_until(lambda: self.gateway.files(["glob", pattern])[0], 30, f"LUN {lun} of {self._address} appears")
        return "/dev/" + found[0].rsplit("/", 1)[1]

    def size(self, lun=0):
        return int(self.gateway.output(f"blockdev --getsize64 {self.disk(lun)}"))

    def block(self, name, lun=0):
        """An attribute of the disk in sysfs."""
        return self.gateway.output(f"cat /sys/block/{self.disk(lun)[5:]}/{name}")

    def write(self, offset, data, lun=0):
        """Writes whole sectors around the page cache."""
        with open(f"{self.gateway.directory}/pattern", "wb") as file:
            file.write(data)
        self.gateway.run(f"dd if={self.gateway.shared}/pattern of={self.disk(lun)} bs=64k oflag=direct,seek_bytes seek={offset} "
                         "conv=notrunc status=none", 120)

    def read(self, offset, length, lun=0):
        script = (f"dd if={self.disk(lun)} of={self.gateway.shared}/found bs=64k iflag=direct,skip_bytes,count_bytes "
                  f"skip={offset} count={length} status=none")
        self.gateway.run(script, 120)
        with open(f"{self.gateway.directory}/found", "rb") as file:
            return file.read()
