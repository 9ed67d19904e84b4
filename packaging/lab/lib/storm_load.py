# SPDX-License-Identifier: Apache-2.0
"""A host whose load goes on in a thread of its own while a test makes trouble: it writes, unmaps and reads pages of a LUN at random, and
compares each read with what may be there (ghosts.Hunt).

    load = Load(case.random, [target], range(64))
    load.start()
    ...                                # load.check(): raises what the load has met
    load.finish(60)                    # and reads all of it again

A command that is answered BUSY, or with a unit attention, is sent again. One without an answer after `patience` seconds gets an ABORT
TASK, as hosts do; then a newer write goes over its pages. All else is an error. With two targets, `path` is the one in use; some reads
go to the other one.
"""

import random
import threading
import time
from collections import Counter

from . import cdb
from .channel import LabError
from .ghosts import BLOCKS, PAGE, Change, Hunt
from .libiscsi import CHECK_CONDITION, GOOD, Session
from .recovery import ABORTS_PER_SESSION, MIB, again_is_right, read

# The pages in use are the first ones of each of the image's objects, which have a MiB.
OBJECT_PAGES, USED_PAGES = MIB // PAGE, 16
_AGAIN_SECONDS = 0.02
_ABORT_SECONDS = 30
_POLL_SECONDS = 0.01


class _Path:
    def __init__(self, target):
        self._target = target
        self.session, self.aborts = Session(target.url()), 0

    def renew(self):
        """LIO never gives back the command window's places of aborted commands."""
        self.session.close()
        self.__init__(self._target)


class _Operation:
    """A read, write or unmap of some pages, until it is good: sent again after BUSY, replaced after an abort."""

    def __init__(self, change, is_read):
        self.change, self.is_read = change, is_read
        self.since = time.monotonic()
        self.command = self.abort = self.path = None
        self.again_at = 0

    def send(self, path):
        self.path, self.abort = path, None
        if self.is_read:
            blocks = self.change.count * BLOCKS
            self.command = path.session.submit(cdb.read16(self.change.page * BLOCKS, blocks), read=512 * blocks)
        else:
            self.command = self.change.submit(path.session)

    def answered(self):
        return self.command is not None and (self.abort or self.command).done


class Load(threading.Thread):
    def __init__(self, rng, targets, objects, depth=8, patience=None):
        super().__init__(daemon=True)
        self._random = random.Random(rng.getrandbits(64))
        self._paths = [_Path(target) for target in targets]
        self._objects, self._depth, self._patience = objects, depth, patience
        self._operations, self._busy_pages = [], set()
        self._ending = self._error = None
        self.hunt = Hunt()
        self.hunt.fill(self._paths[0].session, [self.hunt.change(number * OBJECT_PAGES, USED_PAGES) for number in objects])
        self.path = 0
        self.writes = self.reads = self.aborts = 0
        self.again = Counter()  # what was sent again: by status, unit attentions by their sense
        self.stall, self._last_good = 0.0, time.monotonic()

    # --- for the test's thread ---

    @property
    def good(self):
        return self.writes + self.reads

    def check(self):
        """Raises what ended the load."""
        if self._error:
            raise self._error

    def oldest(self):
        """When that of its operations began that has waited longest for its good answer."""
        return min((each.since for each in list(self._operations)), default=time.monotonic())

    def finish(self, seconds):
        """Lets what runs come to its end, and reads all pages over each path."""
        self._ending = True
        self.join(seconds)
        self.check()
        if self.is_alive():
            raise TimeoutError(f"not within {seconds} s: {[str(each.command) for each in self._operations]} are good")
        for path in self._paths:
            for number in self._objects:
                page = number * OBJECT_PAGES
                self._compare(page, read(path.session, page * BLOCKS, USED_PAGES * BLOCKS), USED_PAGES)
        self.drop()

    def drop(self):
        """Ends it, whatever is running."""
        self._ending, self._depth = True, 0
        if self.is_alive():
            self.join(10)
        for path in self._paths if not self.is_alive() else []:
            path.session.close()

    def __str__(self):
        again = ", ".join(f"{count} {what}" for what, count in sorted(self.again.items())) or "none"
        return (f"{self.reads} reads verified, {self.writes} writes, {self.aborts} aborts, sent again: {again}, "
                f"longest stall {self.stall:.1f} s")

    # --- the load ---

    def run(self):
        try:
            while self._depth and not (self._ending and not self._operations):
                self._turn()
        except BaseException as error:
            self._error = error

    def _turn(self):
        for operation in list(self._operations):
            self._step(operation, time.monotonic())
        for path in self._paths:
            if path.aborts >= ABORTS_PER_SESSION and not any(each.path is path for each in self._operations):
                path.renew()
        while len(self._operations) < self._depth and not self._ending and self._begin():
            pass
        for path in self._paths:
            path.session.linger(_POLL_SECONDS, lambda: any(each.answered() for each in self._operations))

    def _begin(self):
        path = self._paths[self.path]
        is_read = self._random.random() < 0.5
        if is_read and self._random.random() < 0.25:
            path = self._random.choice(self._paths)
        if path.aborts >= ABORTS_PER_SESSION:
            return False
        first = self._random.randrange(USED_PAGES)
        page = self._random.choice(self._objects) * OBJECT_PAGES + first
        count = self._random.randint(1, USED_PAGES - first)
        if not self._busy_pages.isdisjoint(range(page, page + count)):
            return True
        if is_read:
            operation = _Operation(Change(0, page, count), True)
        else:
            operation = _Operation(self.hunt.change(page, count, unmap=self._random.random() < 0.1), False)
            self.hunt.begun(operation.change)
        self._busy_pages.update(operation.change.pages())
        self._operations.append(operation)
        operation.send(path)
        return True

    def _step(self, operation, now):
        command = operation.command
        if command is None:
            if now >= operation.again_at:
                operation.send(self._paths[self.path])
        elif operation.answered():
            if command.done:
                self._answered(operation, now)
            else:
                self._given_up(operation)
        elif operation.abort:
            if now > operation.abort.started + _ABORT_SECONDS:
                raise TimeoutError(f"not within {_ABORT_SECONDS} s: {operation.abort.what}")
        elif self._patience and now > command.started + self._patience:
            operation.abort = operation.path.session.abort(command)
            operation.path.aborts += 1
            self.aborts += 1

    def _answered(self, operation, now):
        command, change = operation.command, operation.change
        if again_is_right(command):
            sense = f" {command.key:X}/{command.ascq:04X}" if command.status == CHECK_CONDITION else ""
            self.again[f"status {command.status:#04x}{sense}"] += 1
            operation.command, operation.again_at = None, now + _AGAIN_SECONDS
            return
        if command.status != GOOD:
            raise LabError(f"{command.what}: {command}")
        if operation.is_read:
            self._compare(change.page, command.data, change.count)
            self.reads += 1
        else:
            self.hunt.acknowledged(change)
            self.writes += 1
        self.stall, self._last_good = max(self.stall, now - self._last_good), now
        self._operations.remove(operation)
        self._busy_pages.difference_update(change.pages())

    def _given_up(self, operation):
        """After its abort: a newer write over the pages of a write, by the path that is in use now."""
        operation.path.session.forget(operation.command)
        if not operation.is_read:
            operation.change = self.hunt.change(operation.change.page, operation.change.count)
            self.hunt.begun(operation.change)
        operation.command, operation.again_at = None, 0

    def _compare(self, page, data, count):
        assert len(data) == count * PAGE
        self.hunt.check_all(data, page, "by the load")
