# SPDX-License-Identifier: Apache-2.0
"""What a lab could leave behind on the machine, looked at from outside of it."""

import glob
import os


def namespace(pid, kind="pid"):
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def processes_in(world):
    return [p for p in os.listdir("/proc") if p.isdigit() and namespace(p) == world]


def machine_state():
    """What a lab that leaks would change: mounts, links, shared memory, mount points, user-mode Linux's files."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        state = {"mounts": mounts.read()}
    state["links"] = sorted(os.listdir("/sys/class/net"))
    for folder in ("/mnt", "/media", "/srv", "/opt", "/dev/shm", "/run/netns", os.path.expanduser("~/.uml")):
        state[folder] = sorted(glob.glob(f"{folder}/*"))
    return state


def inner_world(pid):
    """(PID of the inner init, its PID namespace) of a lab by its outer process."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as children:
        init = int(children.read().split()[0])
    world = namespace(init)
    if world == namespace("self"):
        raise AssertionError(f"process {pid} has no separate namespace")
    return init, world
