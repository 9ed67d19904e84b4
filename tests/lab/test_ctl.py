#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator sees with tcmu-rbdctl while the only OSD hangs, and afterwards; and the lock by hand."""

import json
import re
import threading
import time

from lib import cdb, recovery, testing
from lib.libiscsi import CANCELLED
from lib.placement import Placement
from lib.recovery import MIB

SIZE = 16 * MIB
# Commands older than a second are looked for in the cluster; the rest is for a slow machine.
OLD_SECONDS = 1.5
PATIENCE_SECONDS = 20


class CtlTestCase(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        self.serve()

    def serve(self):
        self.lun_device, target = self.lun(SIZE)
        self.name = f"user_0/{self.lun_device.name}"
        self.host = self.session(target)
        recovery.write(self.host, 0, bytes(MIB))
        self.osd = self.cluster.osds[0]
        self.data_object = Placement(self.cluster, self.lun_device.name).data_object(0)

    def ctl(self, *words, status=0):
        shown, output = self.gateway.run(f"{self.client(self.gateway)} {' '.join(words)}", check=False)
        self.assertEqual(shown, status, output)
        return output

    def json(self, *words, status=0):
        return json.loads(self.ctl(*words, "--json", status=status))

    def ops(self):
        return self.json("ops", self.name)["devices"][0]["ops"]

    def lun_status(self):
        return next(each for each in self.json("status")["devices"] if each["name"] == self.name)


class HungTest(CtlTestCase):
    def serve(self):
        """Without a fence or a deadline while the test looks."""
        self.settings("device:\n  fence_after_s: 60\n  command_deadline_s: 60\n")
        self.addCleanup(self.settings, "")
        super().serve()

    def settings(self, text):
        start = len(self.daemon.log())
        self.daemon.write_config(text)
        self.daemon.signal("HUP")
        self.daemon.wait_log("settings reloaded", start=start)

    def test_a_hung_osd(self):
        self.assertEqual(self.ops(), [])
        self.assertIn("is idle", self.ctl("explain", self.name))
        started = time.monotonic()
        self.hang(self.osd)
        command = self.host.submit(cdb.write16(64, 8), 0, bytes(4096))
        self.host.linger(OLD_SECONDS)
        with self.subTest("in flight"):
            self.assert_hung_write("in-librbd", None)
            shown = " ".join(self.ctl("explain", self.name).split())
            self.assertRegex(shown, r"WRITE\(16\) of 4 KiB at LBA 64, came .* Look at osd\.0 first\.")
            self.assertIn("it gets BUSY", shown)
            status = self.lun_status()
            self.assertEqual((status["hung"], status["in_flight"]), (1, 1))
            self.assertRegex(self.ctl("status"), rf"{self.name} .* hung 1")
            # Told by the lock's owner, and nothing is fenced for an operator.
            self.assertEqual(self.json("lock", "release", self.name, status=1)["outcome"], "hung")
        with self.subTest("detached"):
            abort = self.host.abort(command)
            self.host.poll(lambda: abort.done, PATIENCE_SECONDS, "the abort is answered")
            self.assert_hung_write("detached", "abort")
            shown = " ".join(self.ctl("explain", self.name).split())
            self.assertRegex(shown, r"The initiator aborted it .* ago; its op continues in the background \(detached\)")
            self.assertRegex(shown, r"If the detached ops have not ended in [\d.]+ m?s, this gateway fences its own client")
            self.assertNotIn("abort", self.ctl("slow", self.name), "it has not ended")
            story = r"WRITE\(16\) 32768\+4096: .* in-librbd, .* aborted by ABORT_TASK, .* detached, .* hung, on osd\.0"
            self.wait_until(lambda: re.search(story, self.ctl("trace", self.name)), PATIENCE_SECONDS, "the trace names the OSD")
        self.resume(self.osd)
        seconds = time.monotonic() - started
        self.wait_until(lambda: not self.ops(), PATIENCE_SECONDS, "the op has ended")
        with self.subTest("slow"):
            shown = self.json("slow", self.name)["devices"][0]
            slow = next(each for each in shown["Ops"] if each["description"] == f"WRITE(16) offset={64 * 512} length=4096")
            self.assertEqual(slow["type_data"]["ended_by"], "abort")
            self.assertEqual([each["event"] for each in slow["type_data"]["events"]], ["queued", "waited", "answered", "ended"])
            self.assertGreater(slow["duration"], OLD_SECONDS)
            self.assertLess(slow["duration"], seconds + PATIENCE_SECONDS)
            self.assertIn("abort", self.ctl("slow"))
        self.host.linger(0.2)
        self.host.forget(command)
        self.assertEqual(command.status, CANCELLED)
        self.assert_daemon_lives()

    def assert_hung_write(self, stage, ended_by):
        shown = self.ops()
        self.assertEqual([(each["op"], each["lba"], each["stage"], each["ended_by"]) for each in shown],
                         [("WRITE(16)", 64, stage, ended_by)])
        self.assertEqual((shown[0]["object"], shown[0]["acting"]), (self.data_object, [0]))
        self.assertRegex(shown[0]["pg"], r"^\d+\.[0-9a-f]+$")
        self.assertRegex(self.ctl("ops"), rf"WRITE\(16\) +64 +4 KiB .*{stage}.* {self.data_object} +{shown[0]['pg']} +osd\.0")


class CtlTest(CtlTestCase):
    def test_a_fence_is_listed(self):
        self.assertEqual(self.json("fences", self.name)["devices"][0]["fences"], [])
        client = self.json("fences", self.name)["devices"][0]["client"]
        self.hang(self.osd)
        command = self.host.submit(cdb.write16(64, 8), 0, bytes(4096))
        self.host.linger(0.5)
        abort = self.host.abort(command)
        self.host.poll(lambda: abort.done, PATIENCE_SECONDS, "the abort is answered")
        self.wait_until(lambda: self.json("fences", self.name)["devices"][0]["fences"], PATIENCE_SECONDS, "it is fenced")
        fence = self.json("fences", self.name)["devices"][0]["fences"][0]
        self.assertEqual((fence["address"], fence["cause"]), (client, "hung-ops"))
        self.assertLess(abs(fence["until"] - time.time() - 24 * 3600), 1200)
        self.assertIn("an instance of this gateway, whose ops hung", self.ctl("fences"))
        self.resume(self.osd)
        self.host.forget(command)
        recovery.write(self.host, 0, bytes(4096))

    def test_the_lock_by_hand(self):
        self.assertEqual(self.lun_status()["lock"], "owned")
        self.assertIn("the exclusive lock is released", self.ctl("lock", "release", self.lun_device.name))
        self.assertEqual(self.lun_status()["lock"], "unowned")
        self.assertEqual(self.json("lock", "release", self.name)["outcome"], "not-owner")
        recovery.write(self.host, 0, bytes(4096))
        self.assertEqual(self.lun_status()["lock"], "owned")
        self.assertIn("no LUN 'nosuch' is served here", self.ctl("explain", "nosuch", status=1))

    def test_the_load(self):
        enough = threading.Event()
        load = testing.Background(self.write_until, enough)
        try:
            table = self.ctl("status")
            self.assertRegex(table, rf"(?m)^{self.name} +rbd/\S+ +serving +owned +[1-9]\S* +[\d.]+ +[\d.]+[um]?s +[\d.]+[um]?s ")
            self.assertRegex(self.ctl("iostat", "1", "1"), rf"(?m)^{self.name} .* 4 KiB +\S+ +\d+$")
            self.assertRegex(self.ctl("top", "--once"), rf"{self.name} .* #####")
        finally:
            enough.set()
            load.result()

    def write_until(self, enough):
        while not enough.is_set():
            recovery.write(self.host, 8, bytes(4096))


if __name__ == "__main__":
    testing.main(osds=1)
