# SPDX-License-Identifier: Apache-2.0
"""A host with open-iscsi and dm-multipath, set up as the Ceph documentation says for Linux hosts of ceph-iscsi.

    host = MultipathHost(machine).start(CONF)
    host.login(*targets)
    for group in host.groups(): ...
    host.stop()
"""

import re
from dataclasses import dataclass

from .initiator import OpenIscsi
from .isolation import wait_until

# One group of paths for each priority. The documentation's failback of 60 s and polling of 5 to 20 s would only make a test longer.
CONF = """\
defaults {
  find_multipaths no
  user_friendly_names no
  polling_interval 2
  max_polling_interval 2
}
devices {
  device {
    vendor "LIO-ORG"
    product "TCMU device"
    hardware_handler "1 alua"
    path_grouping_policy "group_by_prio"
    path_selector "queue-length 0"
    path_checker tur
    prio alua
    prio_args exclusive_pref_bit
    fast_io_fail_tmo 5
    failback 5
    no_path_retry queue
  }
}
"""
# A dead gateway is noticed within the sum of these; open-iscsi's own are 5 and 5.
NOOP = {"node.conn[0].timeo.noop_out_interval": 2, "node.conn[0].timeo.noop_out_timeout": 2}


@dataclass
class Group:
    """Paths of one priority, as `multipath -ll` shows them."""

    priority: int
    status: str  # active: I/O goes there; enabled: it could
    paths: dict  # sdX -> its states, as "active ready running"


class MultipathHost:
    def __init__(self, machine):
        self.machine = machine
        self._sessions = []

    def start(self, conf=CONF):
        with open(f"{self.machine.directory}/multipath.conf", "w", encoding="utf-8") as file:
            file.write(conf)
        self.machine.run(f"""
            command -v multipathd || {{ echo "install what packaging/deps.sh --list hosts prints"; exit 1; }}
            modprobe -d /run/modules -a overlay dm-multipath dm-queue-length || exit
            modprobe -d /run/modules scsi_dh_alua || echo "no scsi_dh_alua"  # user-mode Linux has none
            if [ ! -d /run/etc ]; then
              mkdir -p /run/etc/upper /run/etc/work
              mount -n -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc || exit
              mount -n --bind /run/iscsi /etc/iscsi || exit
            fi
            cp {self.machine.shared}/multipath.conf /etc/multipath.conf
            /lib/systemd/systemd-udevd --daemon && udevadm settle -t 60 && multipathd""", 120)
        wait_until(self._answers, 60, "multipathd answers")
        return self

    def _answers(self):
        return self.machine.run("multipathd show daemon 2>&1 | grep -q 'running\\|idle'", 30, check=False)[0] == 0

    def login(self, *targets, replacement_timeout=5, settings=NOOP):
        """`settings`: see OpenIscsi."""
        for target in targets:
            session = OpenIscsi(self.machine, target, replacement_timeout=replacement_timeout, settings=settings)
            self._sessions.append(session.login())

    def show(self):
        """`multipath -ll`."""
        return self.machine.output("multipath -ll 2> /dev/null", 60)

    def groups(self):
        """The only disk's groups, the preferred first."""
        found = []
        for line in self.show().splitlines():
            group = re.search(r"policy='.*' prio=(-?\d+) status=(\w+)", line)
            path = re.search(r" \d+:\d+:\d+:\d+ (sd\w+) +\S+ +(.*)$", line)
            if group:
                found.append(Group(int(group[1]), group[2], {}))
            elif path:
                found[-1].paths[path[1]] = path[2].strip()
        return found

    def priorities(self):
        """(priority, status) of each group, the highest priority first."""
        return sorted(((group.priority, group.status) for group in self.groups()), reverse=True)

    def number(self, target):
        """major:minor of the session's disk, as the kernel's table of paths has it."""
        return self.machine.output(f"cat /sys/block/{self.path(target)}/dev")

    def path_states(self):
        """The only disk's paths as the kernel has them, which costs less than groups(): major:minor -> (group, path), each "A" if
        active or usable."""
        words = iter(self.machine.output("dmsetup status --target multipath", 30).split())
        while next(words) != "multipath":
            pass

        def skip():
            for _ in range(int(next(words))):
                next(words)

        skip()  # features
        skip()  # hardware handler
        groups, states = int(next(words)), {}
        next(words)  # the group that comes next
        for _ in range(groups):
            group = next(words)
            skip()  # path selector
            paths, selector_words = int(next(words)), int(next(words))
            for _ in range(paths):
                number, state = next(words), next(words)
                states[number] = (group, state)
                for _ in range(1 + selector_words):  # failures, and the selector's
                    next(words)
        return states

    def disk(self):
        """The device of the only disk."""
        name = wait_until(lambda: self.machine.output("multipath -l -v 1 2> /dev/null", 60), 60, "multipathd makes a device")
        return f"/dev/mapper/{name.split()[0]}"

    def path(self, target):
        """sdX of the session with a target's gateway."""
        script = f"""
            for connection in /sys/class/iscsi_connection/*; do
              [ "$(cat $connection/persistent_address)" = {target.gateway.address} ] || continue
              ls -d $connection/device/../target*/*/block/*
            done"""
        return wait_until(lambda: self.machine.run(script, check=False)[1].split(), 30, "the path appears")[-1].rsplit("/", 1)[1]

    def stop(self):
        self.machine.run("multipathd disablequeueing maps; multipathd del maps; multipath -F", 60, check=False)
        for session in self._sessions:
            session.logout()
        self._sessions = []
        self.machine.run("multipathd shutdown; udevadm control --exit", 60, check=False)
