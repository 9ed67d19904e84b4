# SPDX-License-Identifier: Apache-2.0
"""The lab's network: one bridge in the lab's own network namespace, with the host side and every gateway on it."""

import subprocess

HOST_ADDRESS = "10.99.0.1"


def gateway_address(number):
    return f"10.99.0.{number + 2}"


def _ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def create_bridge():
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "br0", "type", "bridge")
    _ip("addr", "add", f"{HOST_ADDRESS}/24", "dev", "br0")
    _ip("link", "set", "br0", "up")


def create_tap(number):
    """The gateway's end of the wire; returns its name."""
    name = f"tap{number}"
    _ip("tuntap", "add", name, "mode", "tap")
    _ip("link", "set", name, "master", "br0")
    _ip("link", "set", name, "up")
    return name


def set_link(number, up):
    """Pulls the gateway's network cable, or plugs it in again."""
    _ip("link", "set", f"tap{number}", "up" if up else "down")


def limit_receive_buffers():
    """New connections to this side, the OSDs' among them, hold little that was not read yet: the rest stays with its sender."""
    with open("/proc/sys/net/ipv4/tcp_rmem", "w", encoding="ascii") as limits:  # of the lab's own namespace
        limits.write("4096 131072 262144")
