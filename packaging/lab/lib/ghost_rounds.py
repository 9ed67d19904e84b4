# SPDX-License-Identifier: Apache-2.0
"""A round of the ghost hunt, in parts: an OSD hangs, writes to it are aborted, newer ones come over them, the OSD goes on."""

import threading

from . import network, recovery
from .ghosts import PAGE, Hunt
from .placement import image_beside_an_osd
from .recovery import MIB

SIZE = 64 * MIB
OBJECT_PAGES = MIB // PAGE
# More than the sockets on the way hold while the OSD doesn't read: the last of it comes to the OSD behind the newer writes, and
# only their order by the fence keeps it from being a ghost.
OLD_OBJECTS, OLD_PAGES = 8, 64
NEWER = 12
NEWER_SECONDS = 60
WATCH_SECONDS = 1
CONTROL = "max_data_area_mb=64,hw_max_sectors=2048"


class GhostTestCase(recovery.RecoveryTestCase):
    def prepare(self, object_map_there=False, pool="rbd"):
        """An image, a gateway or two that serve it, and the OSD that is going to hang."""
        network.limit_receive_buffers()
        names = (f"{self.image_name()}" for _ in range(200))
        name, victim, self.placement = image_beside_an_osd(
            self.cluster, names, SIZE, object_map_there, pool=pool, object_size=MIB)
        self.victim = self.cluster.osds[victim]
        self.pool = pool
        self.here = None
        self.sessions = {}
        self.device_here, self.target = self.lun(SIZE, image=name, create=False, control=CONTROL, pool=pool)
        self.new_session()
        self.hunt = Hunt()
        others = [number for number in range(self.placement.object_count) if self.placement.data(number) != victim]
        self.objects = (others if object_map_there else self.placement.objects_on(victim))[:OLD_OBJECTS]
        self.hunt.fill(self.here, [self.hunt.change(number * OBJECT_PAGES, OBJECT_PAGES) for number in self.objects])

    def new_session(self):
        """Each round has its own: aborts use up a session's command window."""
        if self.here:
            self.here.close()
        self.here = self.sessions["by the first gateway"] = self.fresh_session(self.target)

    def prepare_second(self):
        self.second, _, target = self.peer(self.device_here, control=CONTROL, pool=self.pool)
        self.there = self.sessions["by the second gateway"] = self.session(target)

    def send_old(self, unmap=False, pages=OLD_PAGES):
        """Changes all over the objects, of so many pages each, or unmaps of whole objects."""
        step = OBJECT_PAGES if unmap else OLD_PAGES
        self.old_pages = pages
        self.old_starts = [page for number in self.objects for page in range(number * OBJECT_PAGES, (number + 1) * OBJECT_PAGES, step)]
        self.random.shuffle(self.old_starts)
        old = self.hunt.submit(self.here, [self.hunt.change(page, step if unmap else pages, unmap) for page in self.old_starts])
        self.here.linger(self.random.uniform(0.05, 0.6))
        return old

    def send_and_drop(self):
        """Writes small enough to come along with their commands, and the end of their session."""
        self.send_old(pages=1)
        self.sessions.pop("by the first gateway").drop()
        self.here = None

    def old_writes(self, unmap=False, reset=None):
        """Sends them and gives them up, by a reset or by aborts, at random by default."""
        old = self.send_old(unmap)
        # A reset has the instance fenced at once: unmaps are there to try what is held without a fence.
        if reset is None:
            reset = not unmap and self.random.random() < 0.5
        if reset:
            self.wait_for_arrival(old)
        seconds = self.hunt.end(self.here, old, reset)
        self.report(f"{len(old)} old {'unmaps' if unmap else 'writes'} ended by {'LUN RESET' if reset else 'ABORT TASK'} "
                  f"in {1000 * seconds:.0f} ms")

    def wait_for_arrival(self, old):
        """On a slow machine, data may still be on its way. LIO 6.1 did not answer a LUN RESET over writes whose data was missing."""
        def arrived():
            self.here.linger(0.5)  # The session moves data only here.
            status = self.status(self.device_here)
            return status is None or status["commands_open"] >= sum(not command.done for _, command in old)
        self.wait_until(arrived, 60, "the daemon has all old commands")

    def newer_writes(self, session, seconds=NEWER_SECONDS):
        """Small writes over the old ones, over the last sent ones among them: those are most likely to come too late."""
        half = min(NEWER, len(self.old_starts)) // 2
        chosen = self.old_starts[-half:] + self.random.sample(self.old_starts[:-half], half)
        self.newer_pages = [page + self.random.randrange(self.old_pages) for page in chosen]
        self.hunt.write_all(session, [self.hunt.change(page, 1) for page in self.newer_pages], seconds)

    def resume_at_random(self, *osds):
        timer = threading.Timer(self.random.uniform(0, 2), lambda: self.resume(*osds))
        self.addCleanup(timer.join)
        timer.start()
        return timer

    def look(self, sessions=None, seconds=WATCH_SECONDS):
        self.hunt.look(sessions or self.sessions, self.newer_pages, seconds)

    def look_in_cluster(self):
        for number in self.objects:
            content = self.cluster.read_object(self.placement.data_object(number), self.pool).ljust(MIB, b"\0")
            self.hunt.look_in_cluster(content, number * OBJECT_PAGES)

    def fence(self):
        """Old writes, a reset and its fence; returns what is on the blocklist since."""
        before, start = self.cluster.blocklist(), len(self.daemon.log())
        self.old_writes(reset=True)
        # Fences are spaced: up to 40 s after the one before.
        self.wait_until(lambda: self.linger_everywhere() or "fence: done" in self.daemon.log()[start:], 90, "the fence is done")
        fenced = self.cluster.blocklist() - before
        self.assertTrue(fenced, "no instance was fenced")
        return fenced

    def linger_everywhere(self):
        """LIO drops a session that does not answer its NOP-In for 15 s."""
        for session in self.sessions.values():
            session.linger(0.05)

    def wait_for_entries(self, fenced, seconds):
        self.wait_until(lambda: fenced <= self.cluster.blocklist(), seconds, f"{fenced} is on the blocklist again")
