#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The files of one TCMU device as a daemon finds them, in a mount namespace of our own; then runs a program there.

    unshare --mount --propagation private python3 fake_tree.py DEV_CONFIG BYTES PROGRAM ARGUMENTS...
"""

import os
import stat
import subprocess
import sys

COVERED = ("/dev", "/sys/class", "/sys/kernel", "/sys/module")
MAP_BYTES = (8 + 64) << 20  # KernelRing::kMapBytes
MODULE = "/sys/module/target_core_user/parameters"
DEVICE = "/sys/kernel/config/target/core/user_0/disk0"
UIO = "/sys/class/uio/uio0"


def run(*argv):
    subprocess.run(argv, check=True)


def cover(folder):
    """A tmpfs over `folder` that shows everything that was there."""
    old = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    seen = f"/proc/{os.getpid()}/fd/{old}"
    entries = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in os.scandir(folder)]
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for name, mode in entries:
        place = f"{folder}/{name}"
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(f"{seen}/{name}"), place)
            continue
        if stat.S_ISDIR(mode):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT))
        run("mount", "--rbind", f"{seen}/{name}", place)
    os.close(old)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def attributes(dev_config, size):
    yield from {"cmd_time_out": 30, "qfull_time_out": -1, "max_data_area_mb": 64, "data_pages_per_blk": 1, "cmd_ring_size_mb": 8,
                "dev_config": dev_config, "dev_size": size, "emulate_write_cache": 0, "tmr_notification": 0,
                "nl_reply_supported": 1, "hw_block_size": 512, "hw_max_sectors": 8192, "hw_queue_depth": 128, "emulate_pr": 1,
                "alua_support": 1, "pgr_support": 1}.items()


def make_device(dev_config, size):
    for name, value in {"block_netlink": 0, "reset_netlink": 0, "global_max_data_area_mb": 2048}.items():
        write(f"{MODULE}/{name}", f"{value}\n")
    for name, value in attributes(dev_config, size):
        write(f"{DEVICE}/attrib/{name}", f"{value}\n")
    for name in ("block_dev", "reset_ring", "free_kept_buf"):
        write(f"{DEVICE}/action/{name}", "0\n")
    write(f"{DEVICE}/enable", "1\n")
    write(f"{DEVICE}/control", "")
    write(f"{DEVICE}/alias", "")
    write(f"{DEVICE}/info", f"Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512  HwMaxSectors: 8192\n        Config: {dev_config} "
                            f"Size: {size} MaxDataAreaMB: 64\n")
    write(f"{DEVICE}/wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: 7f1a2c3e-52b5-4a77-9a57-0a1b2c3d4e5f\n")
    for name, value in {"vendor_id": "LIO-ORG", "product_id": "TCMU device", "revision": "0002"}.items():
        write(f"{DEVICE}/wwn/{name}", f"{value}\n")
    group = {"alua_access_state": "0", "alua_access_status": "None", "alua_access_type": "Implicit and Explicit", "preferred": "0",
             "tg_pt_gp_id": "0", "members": "", "nonop_delay_msecs": "100", "trans_delay_msecs": "0", "implicit_trans_secs": "0",
             "alua_write_metadata": "0"}
    states = ("transitioning", "offline", "lba_dependent", "unavailable", "standby", "active_optimized", "active_nonoptimized")
    group |= {f"alua_support_{state}": "1" for state in states}
    for name, value in group.items():
        write(f"{DEVICE}/alua/default_tg_pt_gp/{name}", f"{value}\n")
    os.makedirs("/sys/kernel/config/target/iscsi", exist_ok=True)
    for name, value in {"version": "2", "event": "0", "dev": "247:0", "maps/map0/size": f"{MAP_BYTES:#x}", "maps/map0/addr": "0x0",
                        "maps/map0/offset": "0x0", "name": f"tcm-user/0/disk0/{dev_config}"}.items():
        write(f"{UIO}/{name}", f"{value}\n")
    write("/dev/uio0", "")


def main():
    dev_config, size, *program = sys.argv[1:]
    for folder in COVERED:
        cover(folder)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")  # Sockets and lock files of daemons; no D-Bus.
    os.makedirs("/run/lock")
    make_device(dev_config, int(size))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
