#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a real systemd-journald makes of the daemon's lines, and journalctl of its catalog. In a mount namespace: the host's journal
is not used.

    journal_test.py BUILD_DIRECTORY
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv.pop())
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
CATALOG = os.path.join(ROOT, "packaging/systemd/tcmu-rbd.catalog")
JOURNALD = next((path for path in ("/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald") if os.path.exists(path)), None)

# Alone in its /run, journald has no rights and no kernel log to lose.
INSIDE = """
set -e
mount -t tmpfs none /run
mount -t tmpfs none /usr/lib/systemd/catalog
mount -t tmpfs none /var/lib/systemd/catalog
cp "$CATALOG" /usr/lib/systemd/catalog
journalctl --update-catalog
mkdir -p /run/systemd/journald.conf.d /run/systemd/journal /run/log
printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\nForwardToWall=no\\n' > /run/systemd/journald.conf.d/test.conf
"$JOURNALD" &
journald=$!
trap 'kill $journald' EXIT
for i in $(seq 100); do [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/io.systemd.journal ] && break; sleep 0.1; done
"$BUILD/log_writer_test" --gtest_filter=JournalWriter.SendsLines > "$OUT/test"
: > "$OUT/stderr"
JOURNAL_STREAM=$(stat -L -c %d:%i "$OUT/stderr") "$BUILD/tcmu-rbd" --config "$OUT/settings.yaml" 2> "$OUT/stderr" || true
journalctl --sync
journalctl -D /run/log/journal -o json --all SYSLOG_IDENTIFIER=tcmu-rbd > "$OUT/lines"
journalctl -D /run/log/journal -o json --all OSDS=0 > "$OUT/osd"
journalctl -D /run/log/journal -x -o short SYSLOG_IDENTIFIER=tcmu-rbd > "$OUT/explained"
journalctl --list-catalog > "$OUT/list"
"""


@unittest.skipUnless(JOURNALD and shutil.which("journalctl") and os.geteuid() == 0, "needs root and systemd-journald")
class JournalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.out = directory.name
        with open(f"{cls.out}/settings.yaml", "w", encoding="utf-8") as file:
            file.write(f"paths: {{lock_file: {cls.out}/no/lock, control_socket: {cls.out}/socket, state_dir: {cls.out}}}\n")
        cls.done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", INSIDE], timeout=60, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                                  env={**os.environ, "BUILD": BUILD, "OUT": cls.out, "JOURNALD": JOURNALD, "CATALOG": CATALOG})
        if "unshare" in cls.done.stdout or "mount:" in cls.done.stdout:
            raise unittest.SkipTest(f"no mount namespace here: {cls.done.stdout}")

    def read(self, name):
        with open(f"{self.out}/{name}", encoding="utf-8") as file:
            return file.read()

    def lines(self, name="lines"):
        return [json.loads(line) for line in self.read(name).splitlines()]

    def setUp(self):
        self.assertEqual(self.done.returncode, 0, self.done.stdout)

    def test_fields(self):
        full, hostile, daemon = self.lines()
        fields = ("MESSAGE", "PRIORITY", "MESSAGE_ID", "LUN", "IMAGE", "OBJECT", "PG", "OSDS", "INITIATOR_TASK")
        self.assertEqual([full.get(each) for each in fields], ["hung", "4", "0123456789abcdef0123456789abcdef", "user_0/disk", "rbd/image",
                                                               "rbd_data.1.0", "1.2f", ["2", "0"], "7"])
        # Bytes that are no text come as numbers.
        self.assertEqual([hostile.get(each) for each in fields], ["two\nlines", "4", "0123456789abcdef0123456789abcdef", "user_0/disk",
                                                                  list(b"rbd/a\nLUN=other\0b"), None, None, None, None])
        self.assertRegex(daemon["MESSAGE"], "^cannot start: .*/no/lock")
        self.assertEqual(daemon["PRIORITY"], "3")
        self.assertEqual(self.read("stderr"), "")

    def test_lines_are_found_by_an_osd(self):
        self.assertEqual([each["MESSAGE"] for each in self.lines("osd")], ["hung"])

    def test_catalog(self):
        with open(CATALOG, encoding="utf-8") as file:
            ids = re.findall(r"(?m)^-- (\w{32})$", file.read())
        self.assertGreater(len(ids), 90)
        self.assertEqual(sorted(re.findall(r"(?m)^(\w{32}) tcmu-rbd: ", self.read("list"))), sorted(ids))
        self.assertRegex(self.read("explained"), r"cannot start: .*\n(.*\n)+\W+The daemon ends; the line has the reason\.\n")


if __name__ == "__main__":
    unittest.main()
