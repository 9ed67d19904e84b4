# SPDX-License-Identifier: Apache-2.0
"""A host with a light and steady load over two paths, as a timeline shows it: when each write was sent, answered, aborted, sent again.

Its rules are the same for all daemons. A write that has no answer after `abort_after` seconds gets an ABORT TASK; when that is answered,
the write is sent again. A write answered BUSY, or with the unit attention of a reset, is sent again after 0.1 s. At fail_over() the
writes that have no answer yet are aborted and sent again on the other path, and nothing else goes to the first one any more. It does
not wait longer than a second for the first path to answer an abort.
"""

import time

from . import cdb
from .channel import LabError
from .libiscsi import GOOD
from .recovery import again_is_right

PAGE = 4096
_BLOCKS = PAGE // 512
_BUSY_SECONDS = 0.1
_LEAVE_SECONDS = 1
_POLL_SECONDS = 0.001


class Writer:
    """Writes one block again and again, one write at a time, each with the next number."""

    def __init__(self, host, name, lba, due):
        self.host, self.name, self.lba = host, name, lba
        self.due = due
        self.count = 0
        self.write = None  # the record of the write that has no good answer yet
        self.command = self.abort = self.path = None
        self.again_at = None  # a moment later

    def data(self):
        return self.count.to_bytes(8, "big") * (PAGE // 8)

    def step(self, now):
        if self.write is None:
            if now >= self.due and not self.host.ending:
                self.count += 1
                self.write = {"writer": self.name, "sent": self.host.at(now), "tries": 0}
                self._send()
        elif self.command is None:
            if now >= self.again_at:
                self._send()
        elif self.command.done:
            self._answered(now)
        elif self.abort is None:
            if self.left() or now - self.command.started >= self.host.abort_after:
                self.abort = self.path.abort(self.command)
                self.host.aborts.append((self.abort, self, self.path))
        elif self.abort.done:
            self.path.forget(self.command)
            self._send()
        elif self.left() and now - self.abort.started >= _LEAVE_SECONDS:
            self._send()

    def left(self):
        """Its path is not the host's any more."""
        return self.path is not self.host.path

    def _send(self):
        self.path, self.abort = self.host.path, None
        self.write["tries"] += 1
        self.command = self.path.submit(cdb.write16(self.lba, _BLOCKS), data=self.data())

    def _answered(self, now):
        if self.command.status == GOOD:
            self.write["answered"] = self.host.at(self.command.ended)
            self.host.writes.append(self.write)
            self.write = None
            while self.due <= now:  # what it missed it does not make up for
                self.due += self.host.interval
        elif again_is_right(self.command):
            self.again_at = now + _BUSY_SECONDS
        else:
            raise LabError(f"{self.name}: {self.command}")
        self.command = None


class SteadyHost:
    """`paths`: sessions, the first one preferred. `blocks`: the LBA of each writer by its name. Each writes every `interval` seconds."""

    def __init__(self, paths, blocks, interval, abort_after):
        self.paths, self.path = paths, paths[0]
        self.interval, self.abort_after = interval, abort_after
        self.begin = time.monotonic()
        self.ending = False
        self.writes, self.aborts = [], []
        gap = interval / len(blocks)
        self.writers = [Writer(self, name, lba, self.begin + gap * number) for number, (name, lba) in enumerate(blocks.items())]

    def at(self, moment):
        """Seconds since the load began."""
        return round(moment - self.begin, 4)

    def now(self):
        return self.at(time.monotonic())

    def run(self, until):
        """Runs the load up to that time."""
        while self.now() < until:
            self._turn()

    def finish(self, seconds):
        """All writes get their answer, and no new ones begin."""
        self.ending = True
        deadline = time.monotonic() + seconds
        while any(writer.write for writer in self.writers):
            self._turn()
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s: {[w.name for w in self.writers if w.write]} get their answers")

    def _turn(self):
        for writer in self.writers:
            writer.step(time.monotonic())
        for path in self.paths[: self.paths.index(self.path) + 1]:
            path.linger(_POLL_SECONDS)

    def fail_over(self):
        self.path = self.paths[1]

    def record(self):
        aborts = [{"writer": writer.name, "path": self.paths.index(path), "sent": self.at(each.started),
                   "answered": self.at(each.ended) if each.done else None, "response": each.response}
                  for each, writer, path in self.aborts]
        return {"writes": sorted(self.writes, key=lambda write: write["sent"]), "aborts": aborts}
