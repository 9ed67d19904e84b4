# SPDX-License-Identifier: Apache-2.0
"""A verifying load on a part of a shared disk, and a record of when its I/O completed.

    load.py DISK FIRST END STEP WORKERS PAUSE SEED OUTPUT

Each worker writes and reads blocks of its own among those of range(FIRST, END, STEP), one at a time, with a pause of PAUSE seconds. A block
has its number and how often it was written; a read must find the last write. SIGTERM ends the load: when all I/O has its answer, it
writes OUTPUT.end with the count of each written block. Until then it adds lines to OUTPUT, each a JSON object, `at` in the clock of
/proc/uptime:
    {at, ios, writes, any, write, late}   each second: I/Os and writes in all; `any`, `write`: (beginning, length) of the longest time
                                          without a completed I/O, and without a completed write, that ended in this second; by how
                                          much this machine woke up too late
    {at, kernel}                          a line of the kernel's log
    {at, error}                           an I/O failed, or a read found other data; the worker has ended
"""

import json
import mmap
import os
import random
import signal
import sys
import threading
import time

BLOCK = 4096
CLOCK_SECONDS = 0.02


class Gap:
    """The longest time without an event."""

    def __init__(self):
        self._last = time.monotonic()
        self._longest = (0.0, 0.0)

    def event(self, now):
        self._longest = max(self._longest, (now - self._last, self._last))
        self._last = now

    def take(self):
        (length, beginning), self._longest = self._longest, (0.0, 0.0)
        return round(beginning, 3), round(length, 3)


class Record:
    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        self._file = open(path, "w", encoding="utf-8", buffering=1)
        self.ios = self.writes = 0
        self._any, self._write = Gap(), Gap()
        self._late = 0.0

    def completed(self, write):
        with self._lock:
            now = time.monotonic()
            self._any.event(now)
            if write:
                self._write.event(now)
                self.writes += 1
            self.ios += 1

    def watch_clock(self):
        """How late this machine runs what is due: its own part of a gap."""
        while True:
            due = time.monotonic() + CLOCK_SECONDS
            time.sleep(CLOCK_SECONDS)
            with self._lock:
                self._late = max(self._late, time.monotonic() - due)

    def line(self, **fields):
        self._file.write(json.dumps({"at": round(time.monotonic(), 3), **fields}) + "\n")

    def second(self):
        with self._lock:
            fields = {"ios": self.ios, "writes": self.writes, "any": self._any.take(), "write": self._write.take(),
                      "late": round(self._late, 3)}
            self._late = 0.0
        self.line(**fields)

    def end(self, counts):
        with open(f"{self._path}.new", "w", encoding="utf-8") as file:
            json.dump(counts, file)
        os.rename(f"{self._path}.new", f"{self._path}.end")


class Worker(threading.Thread):
    def __init__(self, disk, blocks, pause, seed, record, ending):
        super().__init__(daemon=True)
        self._file = os.open(disk, os.O_RDWR | os.O_DIRECT)
        self._blocks, self._pause, self._record, self._ending = blocks, pause, record, ending
        self._random = random.Random(seed)
        self._buffer = mmap.mmap(-1, BLOCK)  # aligned, as O_DIRECT wants it
        self.counts = {}

    def run(self):
        while not self._ending.wait(self._pause):
            block = self._random.choice(self._blocks)
            try:
                if self._random.random() < 0.6:
                    self._write(block)
                else:
                    self._read(block)
            except (OSError, ValueError) as error:
                self._record.line(error=f"block {block}: {error}")
                return

    def _write(self, block):
        count = self.counts.get(block, 0) + 1
        self._buffer[:] = content(block, count)
        if os.pwritev(self._file, [self._buffer], block * BLOCK) != BLOCK:
            raise ValueError("short write")
        self.counts[block] = count
        self._record.completed(write=True)

    def _read(self, block):
        if os.preadv(self._file, [self._buffer], block * BLOCK) != BLOCK:
            raise ValueError("short read")
        self._record.completed(write=False)
        found, wanted = self._buffer[:], content(block, self.counts.get(block, 0))
        if found != wanted:
            raise ValueError(f"a read found {found[:16].hex()} instead of {wanted[:16].hex()}")


def content(block, count):
    return (block.to_bytes(8, "big") + count.to_bytes(8, "big")) * (BLOCK // 16) if count else bytes(BLOCK)


def copy_kernel_log(record):
    log = os.open("/dev/kmsg", os.O_RDONLY)
    os.lseek(log, 0, os.SEEK_END)
    while True:
        try:
            text = os.read(log, 8192).decode(errors="replace")
        except BrokenPipeError:  # lines were overwritten before they were read
            continue
        record.line(kernel=text.split(";", 1)[-1].splitlines()[0])


def main():
    disk, first, end, step, workers, pause, seed, output = sys.argv[1:]
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    record = Record(output)
    threading.Thread(target=copy_kernel_log, args=(record,), daemon=True).start()
    threading.Thread(target=record.watch_clock, daemon=True).start()
    blocks = range(int(first), int(end), int(step))
    running = [Worker(disk, blocks[number::int(workers)], float(pause), f"{seed} {number}", record, ending)
               for number in range(int(workers))]
    for worker in running:
        worker.start()
    while any(worker.is_alive() for worker in running):
        time.sleep(1)
        record.second()
    record.end({block: times for worker in running for block, times in worker.counts.items()})


if __name__ == "__main__":
    main()
