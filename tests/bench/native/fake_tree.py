#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The files of TCMU devices as a daemon finds them, in a mount namespace of our own; then runs a program there.

    unshare --mount --propagation private python3 fake_tree.py DEV_CONFIG BYTES DEVICES PROGRAM ARGUMENTS...

The images of the devices after the first one are DEV_CONFIG-1, DEV_CONFIG-2, ...
"""

import os
import stat
import subprocess
import sys

COVERED = ("/dev", "/sys/class", "/sys/kernel", "/sys/module")
MAP_BYTES = (8 + 64) << 20  # KernelRing::kMapBytes
MODULE = "/sys/module/target_core_user/parameters"
DEVICES = "/sys/kernel/config/target/core/user_0"
UIOS = "/sys/class/uio"


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


def make_module():
    for name, value in {"block_netlink": 0, "reset_netlink": 0, "global_max_data_area_mb": 2048}.items():
        write(f"{MODULE}/{name}", f"{value}\n")
    os.makedirs("/sys/kernel/config/target/iscsi", exist_ok=True)


def make_device(number, dev_config, size):
    device, uio = f"{DEVICES}/disk{number}", f"{UIOS}/uio{number}"
    for name, value in attributes(dev_config, size):
        write(f"{device}/attrib/{name}", f"{value}\n")
    for name in ("block_dev", "reset_ring", "free_kept_buf"):
        write(f"{device}/action/{name}", "0\n")
    write(f"{device}/enable", "1\n")
    write(f"{device}/control", "")
    write(f"{device}/alias", "")
    write(f"{device}/info", f"Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512  HwMaxSectors: 8192\n        Config: {dev_config} "
                            f"Size: {size} MaxDataAreaMB: 64\n")
    write(f"{device}/wwn/vpd_unit_serial", f"T10 VPD Unit Serial Number: 7f1a2c3e-52b5-4a77-9a57-{number:012x}\n")
    for name, value in {"vendor_id": "LIO-ORG", "product_id": "TCMU device", "revision": "0002"}.items():
        write(f"{device}/wwn/{name}", f"{value}\n")
    group = {"alua_access_state": "0", "alua_access_status": "None", "alua_access_type": "Implicit and Explicit", "preferred": "0",
             "tg_pt_gp_id": "0", "members": "", "nonop_delay_msecs": "100", "trans_delay_msecs": "0", "implicit_trans_secs": "0",
             "alua_write_metadata": "0"}
    states = ("transitioning", "offline", "lba_dependent", "unavailable", "standby", "active_optimized", "active_nonoptimized")
    group |= {f"alua_support_{state}": "1" for state in states}
    for name, value in group.items():
        write(f"{device}/alua/default_tg_pt_gp/{name}", f"{value}\n")
    for name, value in {"version": "2", "event": "0", "dev": f"247:{number}", "maps/map0/size": f"{MAP_BYTES:#x}", "maps/map0/addr": "0x0",
                        "maps/map0/offset": "0x0", "name": f"tcm-user/0/disk{number}/{dev_config}"}.items():
        write(f"{uio}/{name}", f"{value}\n")
    write(f"/dev/uio{number}", "")


def main():
    dev_config, size, devices, *program = sys.argv[1:]
    for folder in COVERED:
        cover(folder)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")  # Sockets and lock files of daemons; no D-Bus.
    os.makedirs("/run/lock")
    make_module()
    for number in range(int(devices)):
        make_device(number, f"{dev_config}-{number}" if number else dev_config, int(size))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
