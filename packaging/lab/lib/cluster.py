# SPDX-License-Identifier: Apache-2.0
"""A Ceph cluster by hand: one monitor, 1 to 3 OSDs, a manager if wanted; no systemd, no files outside the lab, up in seconds."""

import base64
import glob
import json
import os
import re
import signal
import struct
import subprocess
import time
import uuid

from . import network
from .images import Images
from .isolation import wait_until

_MON_ADDRESSES = "[v2:{ip}:13300,v1:{ip}:16789]"
_GIB = 1 << 30

# An OSD that hung for longer than its read lease (osd_heartbeat_grace, 20 s, times this; Ceph has 0.8) marks its placement groups
# laggy and queues their ops. What ends that is the acknowledgement of a replica; a pool of size 1 has none and would stay so until
# the next map. 120 s is longer than any test lets an OSD hang.
_LEASE_RATIO = 6

_CONF = """\
[global]
fsid = {fsid}
mon host = {mons}
public network = {ip}/32
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {dir}/keyring
run dir = {dir}/run
log file = {dir}/log/$name.log
admin socket = {dir}/run/$name.$pid.asok
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default read lease ratio = {lease_ratio}
mon allow pool size one = true
mon allow pool delete = true
mon warn on pool no redundancy = false
mon warn on insecure global id reclaim = false
mon warn on insecure global id reclaim allowed = false
ms bind ipv6 = false
osd objectstore = {store}
memstore device bytes = {capacity}
memstore page set = true
bluestore block size = {capacity}
osd memory target = 939524096
osd class load list = *
osd class default list = *
mon osd min down reporters = 1
osd max markdown count = 1000000
mon osd down out interval = 600
mon data avail crit = 1
mon data avail warn = 2
setuser match path = /nonexistent
[client]
log file = /dev/null
admin socket =
[mon.a]
mon data = {dir}/mon
[osd]
osd data = {dir}/osd.$id
[mgr]
mgr data = {dir}/mgr
mgr module path = /usr/share/ceph/mgr
"""


def new_key():
    """A cephx secret: type 1 (AES), creation time, length, 16 random bytes."""
    return base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


def keyring_entry(name, key, **caps):
    lines = [f"[{name}]", f"\tkey = {key}"] + [f'\tcaps {service} = "{cap}"' for service, cap in caps.items()]
    return "\n".join(lines) + "\n"


class CephProcess:
    """A daemon of the cluster, in the foreground, so that its pid is ours."""

    def __init__(self, cluster, program, identity):
        self.argv = [program, "-f", "-c", cluster.conf, "-i", str(identity)]
        self.name = f"{program[5:]}.{identity}"
        self._output = f"{cluster.directory}/log/{self.name}.out"
        self.process = None

    def start(self):
        with open(self._output, "ab") as output:
            # At "/" as systemd does it: osd_class_dir of Debian 13's Ceph is relative to that.
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/")

    def hang(self):
        """Returns when all of its threads have stopped: until then it may still serve."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(self._stopped, 10, f"{self.name} has stopped", interval=0.001)

    def _stopped(self):
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/stat"):
            with open(path, encoding="ascii", errors="replace") as file:
                if file.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Cluster(Images):
    def __init__(self, directory, osds=1, mgr=False, store="memstore", placement_groups=32, capacity=4 * _GIB,
                 lease_ratio=_LEASE_RATIO):
        super().__init__(f"{directory}/ceph.conf")
        self.directory = directory
        self.fsid = str(uuid.uuid4())
        self.store = store
        self.placement_groups = placement_groups
        self._capacity = capacity
        self._lease_ratio = lease_ratio
        self._rados = self._no_object = None
        self.mon = CephProcess(self, "ceph-mon", "a")
        self.mgr = CephProcess(self, "ceph-mgr", "x") if mgr else None
        self.osds = [CephProcess(self, "ceph-osd", number) for number in range(osds)]

    # --- life ---

    def start(self):
        for folder in ("run", "log", "mgr", *(f"osd.{n}" for n in range(len(self.osds)))):
            os.makedirs(f"{self.directory}/{folder}")
        self.write_conf(self.conf)
        self._write_keyring()
        mons = _MON_ADDRESSES.format(ip=network.HOST_ADDRESS)
        self._tool("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", mons, f"{self.directory}/monmap")
        self._tool("ceph-mon", "-i", "a", "--mkfs", "--monmap", f"{self.directory}/monmap", "--keyring", f"{self.directory}/keyring")
        self.mon.start()
        ids = [str(uuid.uuid4()) for _ in self.osds]
        for number, identity in enumerate(ids):
            self._make_osd(number, identity)
        self._connect()
        for identity in ids:
            self.command("osd new", uuid=identity)
        if self.mgr:
            self.mgr.start()
        for osd in self.osds:
            osd.start()
        wait_until(lambda: self.command("osd stat")["num_up_osds"] == len(self.osds), 60, "all OSDs are up")
        self.create_pool("rbd")
        return self

    def stop(self):
        for process in [*self.osds, self.mgr, self.mon]:
            if process and process.process:
                process.resume()
                process.kill()

    def write_conf(self, path, **changes):
        """Writes a ceph.conf; `changes` replace its values (mon_host, keyring), for clients that are configured wrongly."""
        text = _CONF.format(fsid=self.fsid, mons=_MON_ADDRESSES.format(ip=network.HOST_ADDRESS), ip=network.HOST_ADDRESS,
                            dir=self.directory, store=self.store, capacity=self._capacity, lease_ratio=self._lease_ratio)
        for key, value in changes.items():
            name = key.replace("_", " ")
            text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            if not count:
                text = text.replace("[client]\n", f"[client]\n{name} = {value}\n")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _write_keyring(self):
        # All keys are made here and handed to the monitor's mkfs: no round trip for each of them later.
        entries = keyring_entry("mon.", new_key(), mon="allow *")
        entries += keyring_entry("client.admin", new_key(), mon="allow *", osd="allow *", mgr="allow *", mds="allow *")
        entries += keyring_entry("mgr.x", new_key(), mon="allow profile mgr", osd="allow *", mds="allow *")
        for number in range(len(self.osds)):
            entries += keyring_entry(f"osd.{number}", new_key(), mon="allow profile osd", mgr="allow profile osd", osd="allow *")
        with open(f"{self.directory}/keyring", "w", encoding="utf-8") as file:
            file.write(entries)

    def _make_osd(self, number, identity):
        self._tool("ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", identity, "--no-mon-config",
                   "--monmap", f"{self.directory}/monmap")

    def _tool(self, *argv):
        done = subprocess.run([argv[0], "-c", self.conf, *argv[1:]], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr}{done.stdout}")

    def _connect(self):
        import rados  # of Debian's python3-rados, which another interpreter than the system's lacks

        self._no_object = rados.ObjectNotFound
        self._rados = rados.Rados(conffile=self.conf)
        self._rados.connect(timeout=30)

    # --- administration ---

    def command(self, prefix, **arguments):
        """A monitor command, as `ceph PREFIX ...`; returns its JSON answer."""
        request = json.dumps({"prefix": prefix, "format": "json", **arguments})
        status, answer, message = self._rados.mon_command(request, b"", timeout=30)
        if status != 0:
            raise RuntimeError(f"ceph {prefix} {arguments}: {message}")
        # Some put words behind it.
        return json.JSONDecoder().raw_decode(answer.decode())[0] if answer else None

    def manager_command(self, prefix, text="", **arguments):
        """A command that the manager executes, as `ceph PREFIX ... -i FILE` with `text` in it; returns what it says."""
        request = json.dumps({"prefix": prefix, **arguments})
        status, answer, message = self._rados.mgr_command(request, text.encode(), timeout=30)
        if status != 0:
            raise RuntimeError(f"ceph {prefix} {arguments}: {message}")
        return answer.decode()

    def create_pool(self, name, size=1):
        """A pool with `size` copies of each object."""
        self.command("osd pool create", pool=name, pg_num=self.placement_groups, pgp_num=self.placement_groups)
        if size != 1:
            self.command("osd pool set", pool=name, var="size", val=str(size))
        self.command("osd pool application enable", pool=name, app="rbd")

    def create_user(self, name, **caps):
        """A user client.NAME; returns its key."""
        flat = [word for service, cap in caps.items() for word in (service, cap)]
        return self.command("auth get-or-create", entity=f"client.{name}", caps=flat)[0]["key"]

    def add_user(self, name, **caps):
        """The same, with its key in the keyring of all of the lab's clients."""
        key = self.create_user(name, **caps)
        with open(f"{self.directory}/keyring", "a", encoding="utf-8") as keyring:
            keyring.write(keyring_entry(f"client.{name}", key))

    def read_object(self, name, pool="rbd"):
        """An object's bytes by a client that knows nothing of images or locks; b"" if it is not there."""
        with self._rados.open_ioctx(pool) as ioctx:
            try:
                return ioctx.read(name, ioctx.stat(name)[0])
            except self._no_object:
                return b""

    def write_object(self, name, data, pool="rbd"):
        """Replaces an object without notifying any client."""
        with self._rados.open_ioctx(pool) as ioctx:
            ioctx.write_full(name, data)

    def remove_object(self, name, pool="rbd"):
        with self._rados.open_ioctx(pool) as ioctx:
            try:
                ioctx.remove_object(name)
            except self._no_object:
                pass

    def object_names(self, pool="rbd"):
        with self._rados.open_ioctx(pool) as ioctx:
            return {thing.key for thing in ioctx.list_objects()}

    def data_objects(self, image, pool="rbd"):
        """How many objects hold the image's data: what it costs."""
        prefix = json.loads(self.rbd("info", f"{pool}/{image}", "--format", "json").stdout)["block_name_prefix"]
        with self._rados.open_ioctx(pool) as ioctx:
            return sum(thing.key.startswith(prefix) for thing in ioctx.list_objects())

    def blocklist(self):
        """The addresses on the OSD map's blocklist."""
        return {entry["addr"] for entry in self.command("osd blocklist ls") or []}

    def remove_from_blocklist(self, addresses):
        """Removes all entries with an address of its host, as rbd-target-api does at its start."""
        for address in addresses:
            self.command("osd blocklist", blocklistop="rm", addr=address)

    def clear_blocklist(self, _addresses=()):
        """What operators do."""
        self.command("osd blocklist clear")
