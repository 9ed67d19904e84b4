# SPDX-License-Identifier: Apache-2.0
"""A machine with LIO that things are run on: a gateway of the lab (gateway.py), or this very host (host.py)."""

from .channel import LabError


class Machine:
    """`directory` is where the lab finds what the machine itself calls `shared`: logs and job files."""

    def __init__(self, name, address, number, directory, shared, conf, channel):
        self.name = name
        self.address = address
        self.number = number
        self.directory = directory
        self.shared = shared
        self.conf = conf
        self.channel = channel
        self.logs = []  # files whose end is worth showing with an error

    def run(self, script, timeout=60, check=True):
        """Runs a bash script there, with CEPH_CONF set; returns (status, output). `check` makes a failure an error."""
        try:
            status, output = self.channel.script(f"export CEPH_CONF={self.conf}\n{script}", timeout)
        except LabError as error:
            raise type(error)(f"{self.name}: {error}\n{self.report()}") from None
        if check and status != 0:
            raise LabError(f"{self.name}: status {status} of {script!r}:\n{output}\n{self.report()}")
        return status, output

    def output(self, script, timeout=60):
        return self.run(script, timeout)[1].strip()

    def files(self, *steps, timeout=30):
        """File operations there (see guest/agent.py); a hang is reported with all that is known."""
        try:
            return self.channel.files(*steps, timeout=timeout)
        except LabError as error:
            raise type(error)(f"{self.name}: {error}\n{self.report()}") from None

    def report(self, lines=25):
        """The last words of its kernel and of what runs on it: the part of an error message that explains it."""
        parts = []
        if self.reachable():
            try:
                parts.append(f"--- dmesg of {self.name}\n" + self.channel.script(f"dmesg | tail -n {lines}", 5)[1])
            except LabError as error:
                parts.append(f"--- dmesg of {self.name}: {error}")
        parts += [_tail(path, lines) for path in self.logs]
        return "\n".join(parts)

    def reachable(self):
        return True


def _tail(path, lines):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return f"--- {path}\n" + "".join(file.readlines()[-lines:])
    except OSError as error:
        return f"--- {path}: {error.strerror}"
