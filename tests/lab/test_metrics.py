#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The metrics over HTTP and from tcmu-rbdctl: they count what was done, promtool likes them, and they name the OSD that hangs."""

import re
import shutil
import subprocess
import urllib.error
import urllib.request

from lib import cdb, recovery, testing
from lib.recovery import MIB

SIZE = 16 * MIB
PORT = 10009
WRITES, READS, BLOCKS = 7, 5, 8
ANSWER_SECONDS = 5
ON_ITS_WAY_SECONDS = 0.3
# A hung op is one after 1 s; its OSD is known to the scrape after that.
HUNG_SECONDS = 20
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Series(dict):
    """The samples of a scrape, by (name, labels)."""

    def __init__(self, text):
        super().__init__()
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, labels, value = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line).groups()
                key = name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
                assert key not in self, f"twice: {line}"
                self[key] = float(value)

    def of(self, name, **labels):
        """The sum of all series of that name that have these labels."""
        return sum(value for (each, has), value in self.items() if each == name and has >= labels.items())


class MetricsTest(recovery.RecoveryTestCase):
    def setUp(self):
        super().setUp()
        start = len(self.daemon.log())
        self.daemon.write_config(f"metrics: {{address: 0.0.0.0, port: {PORT}}}\n")
        self.addCleanup(self.reload, "")
        self.daemon.signal("HUP")
        self.daemon.wait_log(f"metrics: served at 0.0.0.0 port {PORT}", 10, start)
        self.lun_device, target = self.lun(SIZE)
        self.here = self.session(target)
        recovery.write(self.here, 0, bytes(4096))

    def reload(self, settings):
        self.daemon.write_config(settings)
        self.daemon.signal("HUP")

    def http(self, path="/metrics", method="GET", **headers):
        request = urllib.request.Request(f"http://{self.gateway.address}:{PORT}{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    def ctl(self, options=""):
        return self.gateway.output(f"{self.client(self.gateway)} metrics {options}")

    def scrape(self):
        return Series(self.http()[1])

    def promtool(self, text):
        if not shutil.which("promtool"):
            self.tell("promtool is not installed (Debian: prometheus)")
            return
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_what_was_done_is_counted(self):
        before = self.scrape()
        for n in range(WRITES):
            recovery.write(self.here, n * BLOCKS, self.random.randbytes(512 * BLOCKS))
        for n in range(READS):
            recovery.read(self.here, n * BLOCKS, 2 * BLOCKS)
        after = self.scrape()
        lun = {"lun": f"user_0/{self.lun_device.name}", "pool": "rbd", "namespace": "", "image": self.lun_device.name}

        def grew(name, **labels):
            return after.of(name, **lun, **labels) - before.of(name, **lun, **labels)

        for operation, count in (("write", WRITES), ("read", READS)):
            labels = {"operation": operation}
            self.assertEqual(grew("tcmu_rbd_commands_total", **labels), count)
            for histogram in ("tcmu_rbd_command_seconds", "tcmu_rbd_image_op_seconds"):
                self.assertEqual(grew(f"{histogram}_count", **labels), count, histogram)
                self.assertEqual(grew(f"{histogram}_bucket", **labels, le="+Inf"), count, histogram)
                self.assertEqual(grew(f"{histogram}_bucket", **labels, le="60.0"), count, histogram)
                self.assertGreater(grew(f"{histogram}_sum", **labels), 0, histogram)
            waited = grew("tcmu_rbd_command_seconds_sum", **labels) - grew("tcmu_rbd_image_op_seconds_sum", **labels)
            self.assertGreater(waited, -1e-9)
        self.assertEqual(grew("tcmu_rbd_written_bytes_total"), WRITES * 512 * BLOCKS)
        self.assertEqual(grew("tcmu_rbd_read_bytes_total"), READS * 2 * 512 * BLOCKS)
        self.assertEqual(grew("tcmu_rbd_answers_total", status="good"), WRITES + READS)
        self.assertEqual(after.of("tcmu_rbd_lun_size_bytes", **lun), SIZE)
        self.assertEqual(after.of("tcmu_rbd_lun_state", **lun, state="serving"), 1)
        self.assertEqual(after.of("tcmu_rbd_lun_lock_owner", **lun), 1)
        self.assertEqual(after.of("tcmu_rbd_commands_in_flight", **lun), 0)
        self.assertGreater(after.of("tcmu_rbd_ring_size_bytes", **lun), 0)
        self.assertGreater(after.of("tcmu_rbd_data_area_size_bytes", **lun), 4 * MIB)
        self.assertGreater(after.of("process_resident_memory_bytes"), 4 * MIB)
        self.assertGreater(after.of("tcmu_rbd_reactor_cpu_seconds_total", reactor="0"), 0)
        status = self.status(self.lun_device)
        self.assertEqual(status["counters"]["commands_write"], after.of("tcmu_rbd_commands_total", **lun, operation="write"))
        self.assertEqual(status["latency"]["command"]["write"]["count"],
                         after.of("tcmu_rbd_command_seconds_count", **lun, operation="write"))

    def test_both_ways_and_both_formats(self):
        kind, text = self.http()
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        self.promtool(text)
        kind, newer = self.http(Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        self.assertEqual(kind, OPEN_METRICS)
        printed = self.ctl()
        self.promtool(printed + "\n")
        self.assertEqual(Series(newer).keys(), Series(text).keys())
        self.assertEqual(Series(printed).keys(), Series(text).keys())
        for each in (text, newer, printed + "\n"):
            self.assertTrue(each.endswith("\n# EOF\n"))
        self.assertEqual(self.http(method="HEAD")[1], "")
        for path, method, code in (("/", "GET", 404), ("/metrics", "POST", 405)):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.http(path, method)
            self.assertEqual(refused.exception.code, code)
            refused.exception.close()

    def test_a_file_for_the_textfile_collector(self):
        self.gateway.run("mkdir -p /run/textfile")
        self.assertEqual(self.ctl("--output /run/textfile/tcmu-rbd.prom"), "")
        text = self.gateway.files(["read", "/run/textfile/tcmu-rbd.prom"])[0]
        self.promtool(text)
        self.assertEqual(Series(text).keys(), self.scrape().keys())
        self.assertEqual(self.gateway.output("ls /run/textfile"), "tcmu-rbd.prom", "nothing else is left there")

    def test_the_osd_that_hangs_is_named(self):
        lun = {"lun": f"user_0/{self.lun_device.name}"}
        self.assertEqual(self.scrape().of("tcmu_rbd_hung_commands", **lun), 0)
        self.hang(self.cluster.osds[0])
        hung = self.here.submit(cdb.write16(0, BLOCKS), data=bytes(512 * BLOCKS))
        self.here.linger(ON_ITS_WAY_SECONDS)
        self.wait_until(lambda: self.scrape().of("tcmu_rbd_hung_commands", **lun, osd="0", role="primary") == 1, HUNG_SECONDS,
                        "the OSD is named")
        self.wait_until(lambda: self.scrape().of("tcmu_rbd_oldest_command_seconds", **lun) > 4, HUNG_SECONDS, "its age grows")
        at_last = self.scrape()
        self.assertEqual(at_last.of("tcmu_rbd_commands_in_flight", **lun), 1)
        self.assertGreater(at_last.of("tcmu_rbd_data_area_used_bytes", **lun), 0)
        self.assertEqual(at_last.of("tcmu_rbd_scrape_unanswered_luns"), 0, "a hung cluster does not hold a scrape up")
        self.resume(self.cluster.osds[0])
        hung.wait(HUNG_SECONDS)
        self.wait_until(lambda: self.scrape().of("tcmu_rbd_hung_commands", **lun) == 0, HUNG_SECONDS, "nothing hangs any more")
        self.assertEqual(self.scrape().of("tcmu_rbd_oldest_command_seconds", **lun), 0)
        self.assert_daemon_lives()


if __name__ == "__main__":
    testing.main(osds=1)
