# SPDX-License-Identifier: Apache-2.0
"""This very host as the machine with LIO, for the quickstart's --host: its kernel, and the cluster of its ceph.conf."""

import os
import shutil
import subprocess
import sys
import tempfile

from .channel import Channel
from .isolation import wait_until
from .machine import Machine

_AGENT = os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir, "guest", "agent.py")
_CONFIGFS = "/sys/kernel/config"


class Unfit(Exception):
    """This host cannot be a gateway; the text says what it lacks."""


def check_kernel():
    """Loads what the kernel has to have, or says what is missing."""
    for module in ("target_core_user", "tcm_loop", "iscsi_target_mod"):
        subprocess.run(["modprobe", "-q", module], check=False)
        if not os.path.isdir(f"/sys/module/{module}"):
            raise Unfit(f"the kernel {os.uname().release} has no module {module} (TCMU, CONFIG_TCM_USER2, and LIO's fabrics). "
                        "Install a kernel that has it, or run without --host, which uses a private kernel")
    if not os.path.isdir(f"{_CONFIGFS}/target"):
        subprocess.run(["mount", "-t", "configfs", "none", _CONFIGFS], check=False)
    if not os.path.isdir(f"{_CONFIGFS}/target/core"):
        raise Unfit(f"configfs is not mounted on {_CONFIGFS}, and mounting it failed")


def check_cluster(conf):
    if not os.access(conf, os.R_OK):
        raise Unfit(f"there is no {conf}: this host is no client of a Ceph cluster. Set CEPH_CONF if it lies elsewhere, "
                    "or run without --host, which uses a private cluster")
    status = subprocess.run(["ceph", "-c", conf, "--connect-timeout", "10", "health"], capture_output=True, text=True)
    if status.returncode != 0:
        raise Unfit(f"the cluster of {conf} does not answer: {status.stderr.strip() or status.returncode}")


def check_no_other_daemon():
    """Two daemons would answer for each other's devices."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                name = comm.read().strip()
        except OSError:
            continue
        if name in ("tcmu-runner", "tcmu-rbd"):
            raise Unfit(f"{name} runs already here (pid {pid}) and serves this kernel's TCMU devices; stop it first")


class Host(Machine):
    def __init__(self, conf, address="127.0.0.1"):
        directory = tempfile.mkdtemp(prefix="tcmu-rbd-quickstart.", dir="/run")
        endpoint = f"{directory}/agent"
        super().__init__(os.uname().nodename, address, 0, directory, directory, conf, Channel(endpoint))
        self._agent = subprocess.Popen([sys.executable, _AGENT, endpoint], stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until(self.channel.answers, 20, "the agent listens")

    def close(self):
        self._agent.terminate()
        self._agent.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)
