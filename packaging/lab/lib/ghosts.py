# SPDX-License-Identifier: Apache-2.0
"""The ghost hunt: a ghost is an old write that was aborted, and that comes over newer, acknowledged data when its OSD goes on.

    hunt = Hunt(case.random, pages)
    old = hunt.submit(session, writes)          # OSD hung
    hunt.end(session, old, reset=False)
    hunt.write_all(another_session, newer, 60)  # OSD resumed somewhere in between
    hunt.look(sessions, pages, seconds)         # AssertionError: what was seen, and what may have been
"""

import time
from dataclasses import dataclass

from . import cdb
from .libiscsi import GOOD
from .recovery import again_is_right, read, write

PAGE = 4096
BLOCKS = PAGE // 512
_ABORT_SECONDS = 10


class Ghost(AssertionError):
    """Older data was read than may be there."""


@dataclass
class Change:
    """A write, or an unmap, of whole pages from `page` on."""

    version: int
    page: int
    count: int
    unmap: bool = False

    def content(self, page):
        return bytes(PAGE) if self.unmap else (b"version %07d page %07d " % (self.version, page) * PAGE)[:PAGE]

    def submit(self, session):
        lba, blocks = self.page * BLOCKS, self.count * BLOCKS
        if self.unmap:
            return session.submit(cdb.unmap(), data=cdb.unmap_parameters(lba, blocks))
        return session.submit(cdb.write16(lba, blocks), data=b"".join(map(self.content, self.pages())))

    def pages(self):
        return range(self.page, self.page + self.count)


class Hunt:
    def __init__(self):
        self._version = 0
        self._possible = {}  # page -> changes, oldest first, one of which it shows; the first is the newest that is acknowledged

    # --- the model ---

    def change(self, page, count, unmap=False):
        self._version += 1
        return Change(self._version, page, count, unmap)

    def begun(self, change):
        for page in change.pages():
            possible = self._possible.setdefault(page, [])
            if change not in possible:
                possible.append(change)

    def acknowledged(self, change):
        for page in change.pages():
            self._possible[page] = [each for each in self._possible[page] if each.version >= change.version]

    def check(self, page, content, where):
        """One page as read just now, with no write of it started in the meantime."""
        possible = self._possible[page]
        if any(each.content(page) == content for each in possible):
            return
        raise Ghost(f"page {page}, read {where}: {content[:32]!r}..., not one of {possible}")

    def empty(self, page, count):
        """Pages of a new image."""
        change = self.change(page, count, unmap=True)
        self.begun(change)
        self.acknowledged(change)

    # --- what is done to the LUN ---

    def fill(self, session, changes):
        """The pages' first contents."""
        for change in changes:
            self.begun(change)
            write(session, change.page * BLOCKS, b"".join(map(change.content, change.pages())))
            self.acknowledged(change)

    def submit(self, session, changes):
        """Sends old changes, to be ended by end()."""
        for change in changes:
            self.begun(change)
        return [(change, change.submit(session)) for change in changes]

    def end(self, session, old, reset):
        """Aborts what hangs, by one LUN RESET or an ABORT TASK each; returns the seconds until all of it was answered."""
        hanging = [command for _, command in old if not command.done]
        started = time.monotonic()
        managements = [session.lun_reset()] if reset else [session.abort(command) for command in hanging]
        session.poll(lambda: all(each.done for each in managements), _ABORT_SECONDS, "task managements are answered")
        for change, command in old:
            if command.status == GOOD:
                self.acknowledged(change)
        session.forget(*hanging)
        return time.monotonic() - started

    def write_all(self, session, changes, seconds):
        """Newer changes, all at once, each sent again until it is acknowledged."""
        deadline = time.monotonic() + seconds
        waiting, running = list(changes), {}
        for change in changes:
            self.begun(change)
        while waiting or running:
            running.update((change.submit(session), change) for change in waiting)
            left = max(deadline - time.monotonic(), 0)
            session.poll(lambda: any(command.done for command in running), left, "newer writes are good")
            waiting = [change for command, change in running.items() if command.done and not self._good(command, change)]
            running = {command: change for command, change in running.items() if not command.done}
            session.linger(0.005 if waiting else 0)

    def _good(self, command, change):
        if command.status == GOOD:
            self.acknowledged(change)
            return True
        if not again_is_right(command):
            raise AssertionError(f"{command.what}: {command}")
        return False

    def look(self, sessions, pages, seconds):
        """Reads pages by all of the sessions, {name: session}, for a while; at least once. Reports all ghosts found at a time."""
        end = time.monotonic() + seconds
        while True:
            ghosts = [ghost for page in pages for name, session in sessions.items() if (ghost := self._ghost(page, name, session))]
            if ghosts:
                raise AssertionError(f"{len(ghosts)} of {len(pages) * len(sessions)} reads show what is old, the first: {ghosts[0]}")
            if time.monotonic() >= end:
                return

    def _ghost(self, page, name, session):
        try:
            self.check(page, read(session, page * BLOCKS, BLOCKS), name)
        except Ghost as ghost:
            return str(ghost)
        return None

    def look_in_cluster(self, content, first_page):
        """`content`: of the image from that page on, as the cluster has it."""
        self.check_all(content, first_page, "by the cluster's own client")

    def check_all(self, content, first_page, where):
        """Those of the pages that are known."""
        for page in range(first_page, first_page + len(content) // PAGE):
            if page in self._possible:
                offset = (page - first_page) * PAGE
                self.check(page, content[offset:offset + PAGE], where)
