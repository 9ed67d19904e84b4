# SPDX-License-Identifier: Apache-2.0
"""What the tests of aborts, fences and fail-over share: OSDs that hang, commands that are sent again, what a daemon holds."""

import json
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass

from . import cdb, testing
from .channel import LabError
from .lab import daemon_under_test
from .libiscsi import BUSY, CHECK_CONDITION, GOOD, TASK_ABORTED, Session
from .lio import IQN

MIB = 1 << 20
UNIT_ATTENTION = 6
# LIO 6.1 never gives back the place in a session's command window (MaxCmdSN) of a command that was aborted and so had no
# response: after as many aborts as the window is deep, the session can send nothing more, whatever serves the device.
SESSION_DEPTH = 512
ABORTS_PER_SESSION = 256
# Between two tries of a command that got BUSY. Hosts wait longer; the lab wants to see when it would have worked.
_RETRY_SECONDS = 0.005


def again_is_right(reply):
    """A host sends a command again that got this: a LUN in transition, or the news of a reset."""
    return reply.status in (BUSY, TASK_ABORTED) or (reply.status == CHECK_CONDITION and reply.key == UNIT_ATTENTION)


def retry(session, command, seconds, data=b"", read=0):
    """Runs a command, again and again while the LUN is in transition; returns it when it was good. All else is an error."""
    deadline = time.monotonic() + seconds
    while True:
        reply = session.submit(command, read, data).wait(max(deadline - time.monotonic(), 0.001))
        if reply.status == GOOD:
            return reply
        if not again_is_right(reply):
            raise LabError(f"{reply.what}: {reply}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"not good within {seconds} s: {reply.what}: {reply}")
        session.linger(_RETRY_SECONDS)


def write(session, lba, data, seconds=60):
    return retry(session, cdb.write16(lba, len(data) // 512), seconds, data=data)


def read(session, lba, blocks, seconds=60):
    return retry(session, cdb.read16(lba, blocks), seconds, read=512 * blocks).data


@dataclass
class Footprint:
    """What a process holds."""

    rss_mib: float
    threads: int
    files: int

    @classmethod
    def of(cls, server):
        gateway, process = server.gateway, f"/proc/{server.pid}"
        status, files = gateway.files(["read", f"{process}/status"], ["glob", f"{process}/fd/*"])
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return cls(int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"]), len(files))


class RecoveryTestCase(testing.LabTestCase):
    # Not if the cluster is told that the OSD is down: others serve its placement groups then.
    stories_name_the_osd = True

    def setUp(self):
        super().setUp()
        self._stopped = set()

    def hang(self, *osds):
        """Stops OSDs; they go on at the test's end at the latest, before anything else is removed. After a test that passed, the
        flight recorders name one of them."""
        if not self._stopped and daemon_under_test() != "tcmu-runner":
            daemons = [(daemon, daemon.pid, len(daemon.log())) for daemon in self.lab.daemons.values()]
            self.addCleanup(self._assert_stories, daemons)
        self._stopped.update(osd.name for osd in osds)
        for osd in osds:
            self.addCleanup(osd.resume)
        for osd in osds:
            osd.hang()

    def _assert_stories(self, daemons):
        """The story of each hang that a daemon has logged since it began; of LUNs that are still there."""
        for daemon, pid, start in daemons:
            if self.failed() or daemon.pid != pid or not daemon.gateway.reachable():
                continue
            for name in set(re.findall(r"(user_\d+/\S+) \S+: hung op: .* is in ", daemon.log()[start:])):
                status, output = daemon.gateway.run(f"{self.client(daemon.gateway)} trace {name} --json", check=False)
                if status == 0:
                    self._assert_story(json.loads(output)["devices"][0])

    def _assert_story(self, trace):
        steps = [step["what"] for story in trace["stories"] for step in story["steps"]]
        hung = [what for what in steps if "hung, on " in what]
        if trace["kept"] == trace["events"]:  # Nothing was overwritten.
            self.assertTrue(hung, f"{trace['name']}: {steps}")
        # On no OSD: it hung for so long that the monitors marked it down, and the pool has no other copy.
        named = [what for what in hung if "on no OSD" not in what]
        if named and self.stories_name_the_osd:
            found = {osd for what in named for osd in re.findall(r"osd\.\d+", what)}
            self.assertTrue(found & self._stopped, f"{trace['name']}: {self._stopped} stopped, and not {named}")
            self.report(f"{trace['name']}: hung ops in {len(hung)} stories, on {', '.join(sorted(found))}")

    def resume(self, *osds):
        for osd in osds:
            osd.resume()

    def lun(self, size=64 * MIB, gateway=None, cmd_time_out=0, iqn=IQN, **options):
        """(device, iSCSI target), set up as ceph-iscsi does: without a cmd_time_out by default."""
        device = self.device(size, gateway=gateway, **options)
        device.set("cmd_time_out", cmd_time_out)
        self.addCleanup(self._report_status, device)
        return device, self.iscsi(device, gateway=gateway, iqn=iqn, depth=SESSION_DEPTH)

    def peer(self, device, number=1, **options):
        """The same image as LUN 0 of another gateway; returns (gateway, device, target)."""
        gateway = self.healthy_gateway(number)
        twin, target = self.lun(device.size, gateway=gateway, image=device.name, create=False, **options)
        return gateway, twin, target

    def freeze(self, gateway):
        """It is thawed at the test's end at the latest."""
        gateway.freeze()
        self.addCleanup(self.thaw, gateway)

    @staticmethod
    def thaw(gateway):
        if gateway.frozen:
            gateway.thaw()

    def cut_power(self, gateway):
        """What it ran is gone; it boots again when a test asks for it."""
        gateway.kill()
        self.lab.daemons.pop(gateway.number, None)

    @staticmethod
    def client(gateway):
        """The path of tcmu-rbdctl there."""
        tool = f"{gateway.directory}/tcmu-rbdctl"  # The gateway has a /tmp of its own, where the build may be.
        if not os.path.exists(tool):
            shutil.copy(os.path.join(os.path.dirname(daemon_under_test()), "tcmu-rbdctl"), tool)
        return f"{gateway.shared}/tcmu-rbdctl"

    def status(self, device, gateway=None):
        """The daemon's status of a device; None for tcmu-runner, which has no such tool."""
        if daemon_under_test() == "tcmu-runner":
            return None
        gateway = gateway or self.gateway
        output = gateway.output(f"{self.client(gateway)} status --json")
        return next(each for each in json.loads(output)["devices"] if each["name"].endswith(f"/{device.name}"))

    def _report_status(self, device):
        if self.failed() and device.gateway.reachable():
            try:
                print(f"{device.gateway.name}: {self.status(device, device.gateway)}", file=sys.stderr)
            except (LabError, StopIteration) as error:
                print(f"{device.gateway.name} returns no status: {error}", file=sys.stderr)

    def report(self, figure):
        print(f"\n  {figure}", flush=True)

    def fresh_session(self, target, **options):
        """Another session from outside; `options`: see Session."""
        session = Session(target.url(), **options)
        self.addCleanup(session.close)
        return session
