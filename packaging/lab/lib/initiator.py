# SPDX-License-Identifier: Apache-2.0
"""Initiators: open-iscsi and fio in a gateway, libiscsi's tools from outside."""

import os
import subprocess

from . import isolation
from .channel import LabError


def tool(*argv, timeout=60, check=True):
    """Runs a libiscsi tool (or any other program) on the lab's own side of the network."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=timeout, errors="replace")
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class OpenIscsi:
    """The kernel's own initiator in a gateway, logged in to a target (of the same gateway or another). `chap`: (user, password).

    `settings`: further ones of open-iscsi's node database.
    """

    def __init__(self, gateway, target, replacement_timeout=120, chap=None, settings=None):
        self.gateway = gateway
        self.target = target
        self.settings = {"node.session.timeo.replacement_timeout": replacement_timeout, "node.startup": "manual",
                         **(settings or {})}
        if chap:
            self.settings |= {"node.session.auth.authmethod": "CHAP", "node.session.auth.username": chap[0],
                              "node.session.auth.password": chap[1]}

    def _admin(self, words, timeout=60, check=True):
        return self.gateway.run(f"iscsiadm -m node -T {self.target.iqn} -p {self.target.portal} {words}", timeout, check)

    def login(self):
        # Without systemd, iscsid must be started for iscsiadm.
        self.gateway.run("pgrep -x iscsid > /dev/null || iscsid")
        self._admin("-o new")
        for name, value in self.settings.items():
            self._admin(f"-o update -n '{name}' -v {value}")
        self._admin("--login")
        return self

    def rescan(self):
        self._admin("--rescan")

    def logout(self, timeout=120):
        self._admin("--logout", timeout)

    def disk(self, lun=0):
        """/dev/sdX in the gateway."""
        link = f"/sys/class/iscsi_session/session*/device/target*/*:{lun}/block/*"
        found = isolation.wait_until(lambda: self.gateway.files(["glob", link])[0], 30, f"LUN {lun} of {self.target.iqn} appears")
        return "/dev/" + found[-1].rsplit("/", 1)[1]


class Fio:
    """A fio job with verification in a gateway, in the background if wanted."""

    def __init__(self, gateway, filename, name="verify", **options):
        self.gateway = gateway
        self.name = name
        self.options = {"filename": filename, "name": name, "ioengine": "libaio", "direct": 1, "iodepth": 32, "rw": "randwrite",
                        "verify": "crc32c", "verify_fatal": 1, "verify_dump": 0, "verify_backlog": 0, "group_reporting": 1,
                        "thread": 1, "serialize_overlap": 1, "randrepeat": 1, **options}
        self._job = f"{gateway.shared}/{name}.fio"
        self._output = f"{gateway.shared}/{name}.out"
        self._here = f"{gateway.directory}/{name}.out"

    def _script(self, extra=""):
        lines = "".join(f"{key}={value}\n" for key, value in self.options.items() if key != "name" and value is not None)
        with open(f"{self.gateway.directory}/{self.name}.fio", "w", encoding="utf-8") as job:
            job.write(f"[{self.name}]\n{lines}")
        return f"cd /run/home && fio {extra} {self._job}"

    def run(self, timeout=120, extra=""):
        """Runs it to its end; any failed I/O or verification is an error."""
        return self.gateway.run(self._script(extra), timeout)[1]

    def verify(self, timeout=120):
        """Reads again what a finished run has written, and compares."""
        return self.run(timeout, "--verify_only")

    def start(self):
        """Runs it in the background, again and again until finish()."""
        self.gateway.run(f"""
            rm -f {self._output}.rc {self._output}.stop
            (while :; do
               ({self._script()}); status=$?
               [ $status = 0 ] && [ ! -e {self._output}.stop ] || break
             done > {self._output} 2>&1
             # In one step: a reader of the file gets all of it.
             echo $status > {self._output}.new && mv {self._output}.new {self._output}.rc) > /dev/null 2>&1 < /dev/null &""")
        return self

    def running(self):
        return not os.path.exists(f"{self._here}.rc")

    def finish(self, timeout=120):
        """Lets its current round come to its end; an error in any round is an error here."""
        open(f"{self._here}.stop", "w", encoding="utf-8").close()
        isolation.wait_until(lambda: not self.running(), timeout, f"fio job {self.name} ends")
        with open(f"{self._here}.rc", encoding="utf-8") as status:
            if status.read() == "0\n":
                return
        with open(self._here, encoding="utf-8", errors="replace") as text:
            raise LabError(f"fio job {self.name} failed:\n{text.read()[-3000:]}\n{self.gateway.report()}")
