# SPDX-License-Identifier: Apache-2.0
"""Faults that a kernel reports of itself, found in its console.

The console and not dmesg: it also has what a machine said that is frozen or dead by now, or was booted again. Needs loglevel=5, with
which warnings go to the console.
"""

import re

# Of warn_slowpath and refcount_t, BUG() and page faults, soft and hard lockups, KASAN and KFENCE, khungtaskd, RCU's stall detector,
# UBSAN, list debugging, and whatever prints a stack.
_FAULT = re.compile(
    r"WARNING: (CPU|\S+:\d+ at )|BUG: |kernel BUG at |Oops|general protection fault|Kernel panic|hard LOCKUP|use-after-free|UBSAN: "
    r"|INFO: task .* blocked for more than|rcu: .*(stall|starved)|rcu_\w+ .*stall|list_(add|del) corruption|Call Trace:")
# Shown of each: its registers and stack.
_LINES = 40


def first_fault(text):
    """The first report of a fault in a kernel's log, with its stack; None if there is none."""
    found = _FAULT.search(text)
    if not found:
        return None
    start = text.rfind("\n", 0, found.start()) + 1
    return "\n".join(text[start:].splitlines()[:_LINES])


class Console:
    """Reads what was added to a console's file since it was asked last."""

    def __init__(self, path):
        self._path = path
        self._seen = 0

    def first_fault(self):
        try:
            with open(self._path, "rb") as file:
                file.seek(self._seen)
                text = file.read()
        except FileNotFoundError:
            return None  # not booted yet
        text = text[:text.rfind(b"\n") + 1]  # the rest of the last line is still to come
        self._seen += len(text)
        return first_fault(text.decode(errors="replace"))
