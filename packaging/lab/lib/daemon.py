# SPDX-License-Identifier: Apache-2.0
"""The daemon under test in a gateway: tcmu-rbd, or tcmu-runner as the peer to compare with."""

import os
import re
import shutil
import stat

from . import isolation
from .channel import LabError

_START_SECONDS = 90
# Debug and sanitizer builds give their best account through these; halting would turn a finding into a dead path.
_ENVIRONMENT = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


class Daemon:
    """A daemon process in a gateway. Its output goes to NAME.log in the machine's shared directory, `log_path` here."""

    name = "daemon"

    def __init__(self, gateway, argv, environment=None):
        self.gateway = gateway
        self.argv = argv
        self.environment = {"CEPH_CONF": gateway.conf, **_ENVIRONMENT, **(environment or {})}
        self.log_path = f"{gateway.directory}/{self.name}.log"
        self.pid = None
        if self.log_path not in gateway.logs:
            gateway.logs.append(self.log_path)

    def start(self, timeout=_START_SECONDS, ready=True):
        """Starts it and returns when it says that it is ready; `ready=False` does not wait for that."""
        request = {"op": "spawn", "argv": self.argv, "env": self.environment, "log": f"{self.gateway.shared}/{self.name}.log"}
        for reply in self.gateway.channel.requests(request, timeout):
            if "pid" in reply:
                self.pid = reply["pid"]
                if not ready:
                    return self
            elif "ready" in reply:
                return self
            else:
                raise LabError(f"{self.name} ended before it was ready: {reply}\n{self.gateway.report()}")
        raise LabError(f"{self.name}: the gateway's agent hung up\n{self.gateway.report()}")

    def signal(self, number):
        self.gateway.run(f"kill -{number} {self.pid}")

    def wait(self, timeout=30):
        """Waits for its end; returns the status (negative: killed by that signal)."""
        for reply in self.gateway.channel.requests({"op": "wait", "pid": self.pid}, timeout):
            self.pid = None
            return reply["rc"]
        raise LabError(f"{self.name} did not end within {timeout} s\n{self.gateway.report()}")

    def stop(self, timeout=30):
        """SIGTERM, as a service manager does; returns its exit status."""
        self.signal(15)
        return self.wait(timeout)

    def kill(self):
        self.signal(9)
        return self.wait()

    def hang(self):
        """Returns when all of its threads have stopped."""
        self.signal("STOP")
        tasks = f"cat /proc/{self.pid}/task/*/stat | sed 's/.*) //' | cut -c 1 | sort -u"
        isolation.wait_until(lambda: self.gateway.output(tasks) == "T", 10, f"{self.name} has stopped")

    def resume(self):
        self.signal("CONT")

    def restart(self):
        self.stop()
        return self.start()

    def alive(self):
        return self.pid is not None and self.gateway.files(["exists", f"/proc/{self.pid}/fd/0"])[0]

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, seconds=30, start=0):
        """The first match of a regular expression in the log from character `start` on."""
        try:
            return isolation.wait_until(lambda: re.search(pattern, self.log()[start:]), seconds, f"{self.name} logs {pattern!r}")
        except TimeoutError as late:
            raise LabError(f"{late}\n{self.gateway.report(60)}") from None


class TcmuRbd(Daemon):
    """$TCMU_RBD, copied into the lab first: a rebuild beside a running test must not pull it from under the kernel."""

    name = "tcmu-rbd"

    def __init__(self, gateway, binary, config="", environment=None):
        copy = f"{gateway.directory}/{self.name}"
        if not os.path.exists(copy):
            shutil.copy(binary, copy)
            os.chmod(copy, stat.S_IRWXU)
        self.config = f"{gateway.directory}/tcmu-rbd.yaml"
        self.write_config(config)
        super().__init__(gateway, [copy, "--config", f"{gateway.shared}/tcmu-rbd.yaml"], environment)

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)


def start_system_bus(gateway):
    """D-Bus, as a machine with systemd has it. Debian's tcmu-runner brings the policy for the name of TCMU handlers."""
    gateway.run("[ -S /run/dbus/system_bus_socket ] || dbus-daemon --system --fork")


class TcmuRunner(Daemon):
    """The peer. It knows no sd_notify; it is ready when it has taken its name on D-Bus."""

    name = "tcmu-runner"

    def __init__(self, gateway):
        super().__init__(gateway, ["tcmu-runner", "--tcmu-log-dir", gateway.shared])

    def start(self, timeout=_START_SECONDS, ready=True):
        # It looks for the kernel's modules under /lib/modules, which is where they would be on a machine of its own.
        self.gateway.run("""
            [ -e /lib/modules/$(uname -r) ] && exit
            if [ -d /usr/lib/modules ]; then
              mount -t tmpfs tmpfs /usr/lib/modules && ln -s /run/modules/lib/modules/* /usr/lib/modules/
            else
              modprobe -d /run/modules overlay && mkdir /run/overlay && ln -s /run/modules/lib/modules /run/overlay/modules &&
              mount -t overlay overlay -o lowerdir=/run/overlay:/usr/lib /usr/lib
            fi""")
        start_system_bus(self.gateway)
        super().start(timeout, ready=False)
        if ready:
            self.gateway.run("gdbus wait --system --timeout 50 org.kernel.TCMUService1", timeout)
        return self


def make(gateway, kind, **options):
    """`kind`: 'tcmu-runner', or the path of a tcmu-rbd."""
    return TcmuRunner(gateway) if kind == "tcmu-runner" else TcmuRbd(gateway, kind, **options)
