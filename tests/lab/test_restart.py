#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon ends, by signal or by kill, while hosts write: they see a pause, no error, and lose nothing. And its other signals."""

import json
import os
import shutil
import time

from lib import cdb, testing
from lib.initiator import Fio
from lib.lab import daemon_under_test
from lib.libiscsi import GOOD, Session

MIB = 1 << 20


class RestartTest(testing.LabTestCase):
    def load(self, disk, name):
        """A verifying load, whose last round can be verified once more afterwards."""
        return Fio(self.gateway, disk, name=name, bssplit="512/20:4k/50:64k/30", size="6M", iodepth=16,
                   randseed=self.random.getrandbits(30))

    def writes(self, disk):
        return int(self.gateway.files(["read", f"/sys/block/{disk.rsplit('/', 1)[1]}/stat"])[0].split()[4])

    def wait_for_more_writes(self, disk, count):
        enough = self.writes(disk) + count
        self.wait_until(lambda: self.writes(disk) >= enough, 60, f"{count} more writes are done")

    def interrupted(self, end, rounds):
        """Runs the load over both fabrics at once, ends the daemon in the midst of it `rounds` times, verifies afterwards."""
        remote = self.login(self.iscsi(self.device(64 * MIB, name="remote", image=f"{end.__name__}-remote"))).disk()
        local = self.loop(self.device(64 * MIB, name="local", image=f"{end.__name__}-local")).disk()
        loads = {disk: self.load(disk, name).start() for disk, name in ((remote, "remote"), (local, "local"))}
        for _ in range(rounds):
            for disk in loads:
                self.wait_for_more_writes(disk, 20 + self.random.randrange(60))
            end()
            self.daemon.start()
        for load in loads.values():
            load.finish(240)
            load.verify(240)
        dmesg = self.gateway.output("dmesg")
        self.assertNotIn("I/O error", dmesg)
        self.assertNotIn("ring is broken", dmesg)
        self.assert_daemon_lives()

    def test_kill_under_load(self):
        def kill():
            self.daemon.kill()

        self.interrupted(kill, rounds=3)

    def test_terminate_under_load(self):
        def terminate():
            self.assertEqual(self.daemon.stop(), 0)

        self.interrupted(terminate, rounds=3)

    def stand_still(self):
        """Stops the daemon for longer than a busy machine delays it; returns where its log goes on."""
        said = len(self.daemon.log())
        self.daemon.signal("STOP")
        time.sleep(3)
        self.daemon.signal("CONT")
        return said

    def test_it_notices_that_it_was_stopped(self):
        self.device(16 * MIB)
        said = self.stand_still()
        self.daemon.wait_log(r"the control thread did not run for [3-9]\.\d s", start=said)
        self.daemon.wait_log(r"it_notices\S* rbd/\S*: away: ", start=said)

    def test_a_new_lun_was_not_away(self):
        """It opens after its daemon was stopped: what it gets is not old."""
        self.device(16 * MIB)
        said = self.stand_still()
        self.daemon.wait_log(r"not_away-1: away: the (reactor|control thread) did not run for [3-9]\.\d s", start=said)
        for number in range(2, 5):
            said = len(self.daemon.log())
            device = self.device(16 * MIB)
            session = self.session(self.iscsi(device, iqn=f"iqn.2026-11.lab:new-{number}"))
            self.assertEqual(session.command(cdb.write16(0, 1), data=bytes(512)).status, GOOD)
            self.assertNotRegex(self.daemon.log()[said:], rf"{device.name} \S+: away: ")

    def test_commands_sent_while_no_daemon_runs(self):
        session = self.session(self.iscsi(self.device(16 * MIB)))
        self.daemon.kill()
        data = self.random.randbytes(4096)
        waiting = [session.submit(cdb.write16(8 * number, 8), data=data) for number in range(16)]
        self.daemon.start()
        for number, command in enumerate(waiting):
            # The new daemon may serve what waits on the ring, or hand it back to be sent again; never a hard error.
            command.wait(40)
            self.assertIn(command.status, (GOOD, 0x08), str(command))
            session.write(8 * number, data)
        self.assertEqual(session.read(0, 128), data * 16)

    def test_a_dead_daemons_write_does_not_land_on_a_newer_one(self):
        device = self.device(16 * MIB)
        session = self.session(self.iscsi(device))
        session.write(0, b"first" + bytes(507))
        self.cluster.osds[0].hang()
        stale = session.submit(cdb.write16(0, 1), data=b"stale" + bytes(507))
        with self.assertRaises(TimeoutError):
            stale.wait(1)  # it is with the OSD now
        self.daemon.kill()
        self.daemon.start(ready=False)
        self.cluster.osds[0].resume()
        newer = b"newer" + bytes(507)

        def written():
            return session.command(cdb.write16(0, 1), data=newer).status == GOOD

        self.wait_until(written, 60, "the new daemon takes the newer write")
        for _ in range(20):
            self.assertEqual(session.read(0, 1), newer)
            session.command(cdb.synchronize_cache10()).good()
        self.assertEqual(self.cluster.read(device.name, 0, 512), newer)

    def test_restarted_without_load(self):
        target = self.iscsi(*(self.device(16 * MIB, image=f"idle-{number}") for number in range(3)))
        for _ in range(3):
            self.assertEqual(self.daemon.stop(), 0)
            self.daemon.start()
            for lun in range(3):
                with Session(target.url(lun)) as session:
                    session.write(0, bytes(512))


class ControlTest(testing.LabTestCase):
    def reload(self, settings, output):
        start = len(self.daemon.log())
        self.daemon.write_config(settings)
        self.daemon.signal("HUP")
        self.daemon.wait_log(output, 10, start)

    def test_settings_are_read_again(self):
        self.addCleanup(self.daemon.write_config, "")
        session = self.session(self.iscsi(self.device(16 * MIB)))
        self.reload("log:\n  level: debug\n", "settings reloaded")
        self.reload("log:\n  level: loud\n", r"the old settings stay in effect: \S*:2: log\.level: 'loud'")
        self.reload("reactor:\n  threads: 2\n", "take effect after a restart")
        session.write(0, bytes(512))

    def test_a_second_daemon_is_refused(self):
        session = self.session(self.iscsi(self.device(16 * MIB)))
        status, output = self.gateway.run(" ".join(self.daemon.argv), check=False)
        self.assertEqual(status, 1, output)
        self.assertIn(f"pid {self.daemon.pid}", output)
        session.write(0, bytes(512))

    def test_status(self):
        client = os.path.join(os.path.dirname(daemon_under_test()), "tcmu-rbdctl")
        if not os.access(client, os.X_OK):
            self.skipTest(f"{client} is not built")
        shutil.copy(client, f"{self.gateway.directory}/tcmu-rbdctl")
        device = self.device(16 * MIB)
        self.session(self.iscsi(device)).write(0, bytes(8192))
        output = json.loads(self.gateway.output("/run/gw/tcmu-rbdctl status --json"))
        self.assertEqual(output["pid"], self.daemon.pid)
        served = [entry for entry in output["devices"] if entry["image"] == f"rbd/{device.name}"]
        self.assertEqual([(entry["state"], entry["bytes"]) for entry in served], [("serving", 16 * MIB)])
        self.assertEqual((served[0]["counters"]["writes"], served[0]["counters"]["write_bytes"]), (1, 8192))
        self.assertIn(f"rbd/{device.name}  serving", self.gateway.output("/run/gw/tcmu-rbdctl status"))


if __name__ == "__main__":
    testing.main()
