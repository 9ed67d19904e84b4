# SPDX-License-Identifier: Apache-2.0
"""A gateway whose kernel is user-mode Linux: one processor, boots within seconds, its processes run at full speed."""

import os
import subprocess
import time

from . import isolation
from .gateway import Gateway

_KERNEL = "/usr/bin/linux.uml"


class UmlGateway(Gateway):
    kernel = "uml"

    def argv(self):
        lab = isolation.directory()
        os.makedirs(f"{lab}/uml", exist_ok=True)
        return [_KERNEL, f"mem={self.memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
                f"init={lab}/guest/init.sh", "MODULES=/usr/lib/uml/modules", *self.parameters(),
                f"uml_dir={lab}/uml/", f"umid={self.name}-{time.monotonic_ns()}", "noreboot",
                f"vec0:transport=tap,ifname={self.tap},depth=128,gro=1", "con=null", "con0=fd:0,fd:1"]

    def environment(self):
        """With the help that it needs on processors with AMX (wide_xstate.cc)."""
        with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
            if " amx_tile" not in cpuinfo.read():
                return os.environ
        library = f"{isolation.directory()}/wide_xstate.so"
        if not os.path.exists(library):
            source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "wide_xstate.cc")
            subprocess.run(["g++", "-std=c++20", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        return {**os.environ, "LD_PRELOAD": library}
