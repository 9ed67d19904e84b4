# SPDX-License-Identifier: Apache-2.0
"""A gateway: a real Linux kernel as a process, with LIO and TCMU, on the lab's network.

uml.py and qemu.py have what is particular to a kind of kernel; all else is here, and the same for both.
"""

import os
import shutil
import signal
import subprocess

from . import isolation, network
from .channel import AGENT_PORT, Channel, LabError
from .kernel_log import Console
from .machine import Machine

_GUEST_FILES = os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir, "guest")


class Gateway(Machine):
    """Its /run/gw is `directory` here; all else that it sees of the host is read-only."""

    kernel = ""  # as LAB_KERNEL names it
    boot_seconds = 120  # a machine that needs longer is considered broken

    def __init__(self, number, conf, memory="1500M"):
        name, address = f"gw{number}", network.gateway_address(number)
        super().__init__(name, address, number, f"{isolation.directory()}/{name}", "/run/gw", conf, Channel((address, AGENT_PORT)))
        self.memory = memory
        self.process = None
        self.frozen = False
        os.makedirs(self.directory, exist_ok=True)
        guest = f"{isolation.directory()}/guest"
        if not os.path.isdir(guest):
            shutil.copytree(_GUEST_FILES, guest)
        self._console = f"{self.directory}/console"
        self.logs.append(self._console)
        self.console = Console(self._console)
        self.tap = network.create_tap(number)

    def argv(self):
        """The command that is the kernel; its output is the console."""
        raise NotImplementedError

    def environment(self):
        return os.environ

    def parameters(self):
        """The kernel parameters that guest/init.sh takes."""
        return [f"LAB={isolation.directory()}", f"GW={self.number}", f"AGENT_PORT={AGENT_PORT}", "quiet", "loglevel=5", "panic=1"]

    def boot(self):
        with open(self._console, "a", encoding="utf-8") as console:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                            start_new_session=True, env=self.environment())
        try:
            isolation.wait_until(lambda: not self.alive() or self.channel.answers(), self.boot_seconds, f"{self.name} boots")
        except TimeoutError as late:
            raise LabError(f"{late}\n{self.report()}") from None
        if not self.alive():
            raise LabError(f"{self.name} did not boot\n{self.report()}")
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def reachable(self):
        return self.alive() and not self.frozen

    def freeze(self):
        """Stops its kernel: it neither answers nor loses anything, as a machine that hangs."""
        # The kernel's process alone: a user-mode kernel traces its guest processes, and a SIGCONT of their own would be their end.
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def kill(self):
        """Power cut."""
        if self.process is None:
            return
        isolation.wait_until(self._killed, 10, f"all processes of {self.name} are gone")
        self.process, self.frozen = None, False

    def _killed(self):
        """Kills its process group: the kernel and what it traces; true when none is left."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        self.process.poll()
        return False

    def reboot(self):
        self.kill()
        return self.boot()

    def set_network(self, up):
        network.set_link(self.number, up)
