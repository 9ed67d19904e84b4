# SPDX-License-Identifier: Apache-2.0
"""A LUN that is added, used and removed again and again, also with commands in flight; its image keeps what was written."""

from . import isolation, recovery, testing
from .channel import LabError
from .ghosts import BLOCKS, Hunt
from .libiscsi import GOOD, Session
from .lio import IQN, Device, IscsiTarget
from .recovery import MIB

_SIZE, _PAGES, _IN_FLIGHT = 16 * MIB, 256, 24
_SECONDS = 60
# LOGICAL UNIT NOT SUPPORTED; WRITE PROTECTED by what LIO has in the place of a LUN 0 that is not there.
_NO_SUCH_LUN = ((5, 0x2500), (7, 0x2700))


class PassingLun:
    """A LUN that comes and goes: of the target of the load, or of one of its own. Its image stays, and has to show what was written."""

    def __init__(self, case, target, number):
        self.case, self.number, self.shared = case, number, target
        image = case.image_name()
        case.cluster.create_image(image, _SIZE)
        self.device = Device(case.gateway, image, f"rbd/rbd/{image}", _SIZE, control="max_data_area_mb=8")
        self.own = IscsiTarget(case.gateway, f"{IQN}-{number}")
        self.target = None
        self.hunt = Hunt()
        self.hunt.empty(0, _PAGES)
        self.lives = self.removed_under_load = self.cut_off = 0
        case.addCleanup(self.remove_what_is_left)

    def live(self, rng):
        """From its creation to its removal."""
        self.device.create().enable()
        self.target = rng.choice((self.shared, self.own))
        lun = self.number if self.target is self.shared else 0
        if self.target is self.own:
            self.own.create()
        self.target.add_lun(self.device, lun)
        session = isolation.wait_until(lambda: self.login(lun), _SECONDS, f"a session of {self.device.name}")
        self.look(session)
        self.hunt.write_all(session, self.changes(rng, rng.randint(1, 8)), _SECONDS)
        self.look(session)
        if rng.random() < 0.5:
            self.remove_under_load(rng, session, lun)
        else:
            session.close()
            self.target.remove_lun(self.device, lun)
        if self.target is self.own:
            self.own.delete()
        self.device.delete()
        self.target, self.lives = None, self.lives + 1

    def login(self, lun):
        """LIO interrupts a login if another target of its portal is removed just then; hosts try again."""
        try:
            return Session(self.target.url(lun))
        except LabError:
            return None

    def changes(self, rng, count):
        """They do not overlap: the order of commands that run at the same time is free."""
        pages, chosen = set(), []
        for _ in range(count):
            change = self.hunt.change(rng.randrange(_PAGES - 16), rng.randint(1, 16), unmap=rng.random() < 0.1)
            if pages.isdisjoint(change.pages()):
                pages.update(change.pages())
                chosen.append(change)
        return chosen

    def look(self, session):
        for page in range(0, _PAGES, 64):
            self.hunt.check_all(recovery.read(session, page * BLOCKS, 64 * BLOCKS), page, f"from {self.device.name}")

    def remove_under_load(self, rng, session, lun):
        """Its commands are answered good, or that there is no such LUN; or their session has ended."""
        sent = self.hunt.submit(session, self.changes(rng, _IN_FLIGHT))
        session.linger(rng.uniform(0, 0.1))
        if rng.random() < 0.5:
            session.drop()
            self.cut_off += 1
            self.target.remove_lun(self.device, lun)
            return
        removal = testing.Background(self.target.remove_lun, self.device, lun)
        session.poll(lambda: not removal.is_alive() and all(each.done for _, each in sent), _SECONDS, "the LUN is removed")
        removal.result()
        for change, command in sent:
            if command.status == GOOD:
                self.hunt.acknowledged(change)
            else:
                self.case.assertTrue(recovery.again_is_right(command) or (command.key, command.ascq) in _NO_SUCH_LUN, str(command))
        session.close()
        self.removed_under_load += 1

    def remove_what_is_left(self):
        steps = (lambda: self.target and self.target.remove_lun(self.device, self.number if self.target is self.shared else 0),
                 self.own.delete, self.device.delete)
        for step in steps if self.case.failed() else ():
            try:
                step()
            except OSError:
                pass  # it was not there
