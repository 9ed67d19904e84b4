#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules of this source tree: allowed includes, lengths of files and functions.

Run without arguments; prints each breach as FILE:LINE: what, and exits with 1 if there is one.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The pure core: no kernel, Ceph, YAML, thread or clock, and no logging.
PURE = re.compile(r"rbd_handler/((ring|scsi|task|lock|copy|device|metrics|trace)/|image\.h)")
PURE_FORBIDDEN = re.compile(
    r"<(linux/|rbd/|rados/|yaml-cpp/|thread|mutex|condition_variable|future|atomic>|boost/asio|systemd/|netlink/|spdlog"
    r"|sys/(mman|ioctl|socket|epoll|eventfd|sdt)\.h|unistd\.h|fcntl\.h|ctime|time\.h)")
# cmd_head and cmd_tail are shared with the kernel, so the ring alone needs atomics.
ATOMIC_ALLOWED = re.compile(r"rbd_handler/ring/")

# Which of our folders each folder may include from (itself always).
ALLOWED = {
    "common": (),
    "config": ("common",),
    "rbd_handler/image.h": ("common",),
    "rbd_handler/task/rate_limits.h": (),  # properties of an image
    "rbd_handler/messages": ("common",),
    "rbd_handler/ring": ("common",),
    "rbd_handler/scsi": ("common", "rbd_handler/image.h"),
    "rbd_handler/task": ("common", "rbd_handler/image.h", "rbd_handler/ring", "rbd_handler/scsi", "rbd_handler/copy",
                         "rbd_handler/task/rate_limits.h"),
    "rbd_handler/lock": ("common",),
    "rbd_handler/copy": ("common", "rbd_handler/image.h", "rbd_handler/scsi"),
    "rbd_handler/device": ("common", "rbd_handler/image.h", "rbd_handler/ring", "rbd_handler/scsi", "rbd_handler/task",
                           "rbd_handler/lock", "rbd_handler/copy", "rbd_handler/task/rate_limits.h"),
    "rbd_handler/metrics": ("common", "rbd_handler/image.h", "rbd_handler/scsi", "rbd_handler/lock", "rbd_handler/device"),
    "rbd_handler/trace": ("common", "rbd_handler/device"),
    # ring: its layout is held against the uapi header here.
    "rbd_handler/kernel": ("common", "rbd_handler/messages", "rbd_handler/scsi", "rbd_handler/ring"),
    "rbd_handler/ceph": ("common", "config", "rbd_handler/image.h", "rbd_handler/lock", "rbd_handler/messages",
                         "rbd_handler/task/rate_limits.h"),
    "rbd_handler/reactor": ("common", "rbd_handler/image.h", "rbd_handler/messages"),
    "rbd_handler/lun": ("common", "config", "rbd_handler/image.h", "rbd_handler/ring", "rbd_handler/scsi",
                        "rbd_handler/task", "rbd_handler/lock", "rbd_handler/copy", "rbd_handler/device",
                        "rbd_handler/kernel", "rbd_handler/ceph", "rbd_handler/reactor",
                        "rbd_handler/messages", "rbd_handler/task/rate_limits.h", "rbd_handler/trace"),
    "rbd_handler/daemon": ("common", "config", "rbd_handler/ceph", "rbd_handler/kernel", "rbd_handler/messages", "rbd_handler/reactor",
                           "rbd_handler/lun", "rbd_handler/metrics", "rbd_handler/trace"),
    "rbd_handler/preflight": ("common", "config", "rbd_handler/kernel", "rbd_handler/ceph"),
    "rbd_handler/ctl": ("common", "config", "rbd_handler/preflight", "rbd_handler/trace"),
}
# One file sees yaml-cpp.
YAML_ONLY = "config/config.cc"

LINES_MAX = 500
FUNCTION_LINES_MAX = 70
# clang-format keeps C++ under 100, but for strings and comments; shell and Python have long command lines.
COLUMNS_MAX = {".h": 120, ".cc": 120, ".py": 140, ".sh": 140}


def folder_of(path):
    """The key of ALLOWED that a file or an include belongs to, or None."""
    for key in sorted(ALLOWED, key=len, reverse=True):
        if path == key or path.startswith(key + "/") or path.startswith((key + ".", key + "_")):
            return key
    return None


def includes(path, text):
    own = folder_of(path)
    if own is None and not path.startswith(("tests/", "packaging/lab/")):
        yield 1, "no include rule covers this file: see ALLOWED"
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include ([<"].*[>"])', line)
        if not match:
            continue
        what = match.group(1)
        if PURE.match(path) and PURE_FORBIDDEN.match(what) and not (
                what == "<atomic>" and ATOMIC_ALLOWED.match(path)):
            yield number, f"the pure core must not include {what}"
        if what.startswith("<yaml-cpp") and path != YAML_ONLY:
            yield number, f"only {YAML_ONLY} includes yaml-cpp"
        target = folder_of(what.strip('"')) if what.startswith('"') else None
        if own and target and target != own and target not in ALLOWED[own]:
            yield number, f"{own} must not include from {target}"


def long_functions(text):
    """Functions by their shape: clang-format puts a definition's closing brace in the column of its first line."""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"(  )?[A-Za-z_~].*\) ?(const|noexcept|override|mutable|-> .*)* ?\{$", line) or \
                re.match(r"    +: .*\{$", line):
            start = start or number
        elif re.match(r"(  )?\}$", line) and start:
            if number - start + 1 > FUNCTION_LINES_MAX:
                yield start, f"a function of {number - start + 1} lines (at most {FUNCTION_LINES_MAX})"
            start = None


def breaches(path):
    text = (ROOT / path).read_text()
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        yield len(lines), f"{len(lines)} lines (at most {LINES_MAX})"
    for number, line in enumerate(lines, 1):
        limit = COLUMNS_MAX[pathlib.Path(path).suffix]
        if len(line) > limit:
            yield number, f"{len(line)} columns (at most {limit})"
    if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(lines[:4]):
        yield 1, "no SPDX line"
    if path.endswith((".h", ".cc")):
        yield from includes(path, text)
        yield from long_functions(text)


def unlisted_tests(files):
    """A test that is missing in the build files would never run."""
    lists = [path for path in (ROOT / "tests").glob("**/*") if path.name == "CMakeLists.txt" or path.suffix == ".cmake"]
    named = "\n".join(path.read_text() for path in lists)
    for path in files:
        name = pathlib.Path(path).name
        unlisted = name.endswith("_test.cc") and not re.search(rf"\b{name}\b", named)
        lab = re.match(r"tests/lab/test_(\w+)\.py$", path)
        if unlisted or (lab and f"lab_test({lab.group(1)} " not in named):
            yield f"{path}: no CMake file runs it"


def main():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    files = [f for f in listed.stdout.split("\n") if f.endswith(tuple(COLUMNS_MAX)) and (ROOT / f).exists()]
    if not files:
        print("found no files: not a git checkout?")
        return 1
    found = [f"{path}:{line}: {what}" for path in files for line, what in breaches(path)]
    found += unlisted_tests(files)
    print("\n".join(found) or f"{len(files)} files keep the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
