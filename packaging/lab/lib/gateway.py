# SPDX-License-Identifier: Apache-2.0
"""A gateway: a real Linux kernel as a process (user-mode Linux), with LIO and TCMU, on the lab's network."""

import os
import shutil
import signal
import subprocess
import time

from . import isolation, network
from .channel import AGENT_PORT, Channel, LabError
from .machine import Machine

_KERNEL = "/usr/bin/linux.uml"
_BOOT_SECONDS = 120
_GUEST_FILES = os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir, "guest")


def _kernel_environment():
    """The user-mode kernel's environment: with the help that it needs on processors with AMX (wide_xstate.cc)."""
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        if " amx_tile" not in cpuinfo.read():
            return os.environ
    library = f"{isolation.directory()}/wide_xstate.so"
    if not os.path.exists(library):
        source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "wide_xstate.cc")
        subprocess.run(["g++", "-std=c++20", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return {**os.environ, "LD_PRELOAD": library}


class Gateway(Machine):
    """One user-mode kernel. Its /run/gw is `directory` here; all else that it sees of the host is read-only."""

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
        self.logs.append(f"{self.directory}/console")
        self._tap = network.create_tap(number)

    def boot(self):
        lab = isolation.directory()
        os.makedirs(f"{lab}/uml", exist_ok=True)
        with open(f"{self.directory}/console", "a", encoding="utf-8") as console:
            self.process = subprocess.Popen(
                [_KERNEL, f"mem={self.memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
                 f"init={lab}/guest/init.sh", f"LAB={lab}", f"GW={self.number}", f"AGENT_PORT={AGENT_PORT}",
                 f"uml_dir={lab}/uml/", f"umid={self.name}-{time.monotonic_ns()}", "noreboot", "panic=1",
                 f"vec0:transport=tap,ifname={self._tap},depth=128,gro=1", "con=null", "con0=fd:0,fd:1", "quiet", "loglevel=4"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env=_kernel_environment())
        try:
            isolation.wait_until(lambda: not self.alive() or self.channel.answers(), _BOOT_SECONDS, f"{self.name} boots")
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
        # The kernel's process alone: its guest processes are traced by it, and a SIGCONT of their own would be their end.
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
        """Kills its process group: the kernel and the guest's processes that it traces; true when none is left."""
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
