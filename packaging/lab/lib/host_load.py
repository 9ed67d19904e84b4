# SPDX-License-Identifier: Apache-2.0
"""The load of a host on its part of a shared disk (guest/load.py), and what its record says of a span of time.

    load = HostLoad(machine, disk, range(0, 8192, 16), seed).start()
    begin = load.now()
    ...
    stall = load.between(begin, load.now())
    load.end()
"""

import json
import os
import re
import shlex
from dataclasses import dataclass, field

from . import isolation
from .channel import LabError
from .isolation import wait_until

BLOCK = 4096
_WORKERS, _PAUSE_SECONDS = 4, 0.05
# What a host's kernel says when it has to do something about an error.
_TROUBLE = re.compile(r"I/O error|conn error|Failing path|timed out|Reinstating path|[Aa]bort|ping timeout|critical|reset")


@dataclass
class Span:
    """Times are seconds; those of a gap (length, beginning) and in `trouble` (when, line of the kernel's log) count from its beginning."""

    stall: tuple = (0.0, 0.0)  # the longest time without a completed I/O
    writes: tuple = (0.0, 0.0)  # ... without a completed write
    late: float = 0.0  # by how much the host itself ran what was due too late, at most
    trouble: list = field(default_factory=list)

    def first(self, words):
        """When the kernel reported that first; None if it did not."""
        return next((at for at, line in self.trouble if words in line), None)


class HostLoad:
    def __init__(self, machine, disk, blocks, seed):
        self.machine = machine
        self._output = f"{machine.directory}/load"
        arguments = [disk, blocks.start, blocks.stop, blocks.step, _WORKERS, _PAUSE_SECONDS, seed, f"{machine.shared}/load"]
        self._command = f"python3 {isolation.directory()}/guest/load.py {shlex.join(map(str, arguments))}"

    def start(self):
        for path in (self._output, f"{self._output}.end"):
            if os.path.exists(path):  # of an earlier load
                os.remove(path)
        self._pid = self.machine.output(f"{self._command} > {self.machine.shared}/load.log 2>&1 < /dev/null & echo $!")
        self.machine.logs.append(f"{self._output}.log")
        wait_until(self.writes, 60, f"the load on {self.machine.name} runs")
        return self

    def _lines(self):
        try:
            with open(self._output, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def writes(self):
        """How many have completed. An error, of I/O or of a comparison, is an error here."""
        lines = self._lines()
        failures = [f"{line['at']}: {line['error']}" for line in lines if "error" in line]
        if failures or os.path.exists(f"{self._output}.end"):
            raise LabError(f"the load on {self.machine.name} has ended: {failures}\n{self.machine.report(40)}")
        return max((line["writes"] for line in lines if "writes" in line), default=0)

    def now(self):
        """The host's own clock."""
        return float(self.machine.output("read -r up _ < /proc/uptime; echo $up"))

    def between(self, begin, end):
        span = Span()
        for line in self._lines():
            if "kernel" in line and begin <= line["at"] <= end and _TROUBLE.search(line["kernel"]):
                span.trouble.append((line["at"] - begin, line["kernel"]))
            elif "ios" in line and begin < line["at"]:
                (at, length), (write_at, write_length) = line["any"], line["write"]
                if at < end:
                    span.stall = max(span.stall, (length, at - begin))
                if write_at < end:
                    span.writes = max(span.writes, (write_length, write_at - begin))
                if line["at"] < end:
                    span.late = max(span.late, line["late"])
        return span

    def end(self):
        """Lets all I/O get its answer; returns how often each written block was written."""
        self.writes()
        self.machine.run(f"kill -TERM {self._pid}")
        wait_until(lambda: os.path.exists(f"{self._output}.end"), 60, f"the load on {self.machine.name} ends")
        failures = [line for line in self._lines() if "error" in line]
        if failures:
            raise LabError(f"the load on {self.machine.name}: {failures}\n{self.machine.report(40)}")
        with open(f"{self._output}.end", encoding="utf-8") as file:
            return {int(block): count for block, count in json.load(file).items()}


def content(block, count):
    """What a block has after so many writes."""
    return (block.to_bytes(8, "big") + count.to_bytes(8, "big")) * (BLOCK // 16) if count else bytes(BLOCK)
