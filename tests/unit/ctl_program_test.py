#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tcmu-rbdctl as a program: what it asks a daemon, what it prints, how it ends. The daemon is a script in here.

    ctl_program_test.py BUILD_DIRECTORY
"""

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

BUILD = os.path.abspath(sys.argv.pop())

STATUS = {"version": "1.2", "pid": 7, "latency_bounds_us": [1000], "devices": [
    {"name": "user_0/a", "image": "rbd/a", "state": "serving", "lock": "owned", "in_flight": 1, "hung": 0, "oldest": 0.5,
     "full": False, "primary": True, "bytes": 1, "commands_open": 1, "detached": 0,
     "counters": {"reads": 0, "read_bytes": 0, "writes": 0, "write_bytes": 0}}]}
OPS = {"devices": [{"name": "user_0/a", "image": "rbd/a", "ops": [
    {"op": "WRITE(16)", "stage": "in-librbd", "ended_by": None, "lba": 8, "range": {"offset": 4096, "length": 512}, "age": 2,
     "in_librbd": 1.9, "object": "rbd_data.1", "pg": "1.2", "acting": [0]}]}]}


class Daemon:
    """Answers each connection by its request; what was asked stands in `asked`."""

    def __init__(self, path, answers):
        self.answers, self.asked = answers, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                request = lines.readline().decode().rstrip("\n")
                self.asked.append(request)
                answer = self.answers.get(request, {"error": "unknown request; known: status"})
                answer = answer() if callable(answer) else answer
                connection.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class CtlTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/socket"
        self.reads = 0

    def daemon(self, **answers):
        daemon = Daemon(self.path, {name.replace("_", " "): answer for name, answer in answers.items()})
        self.addCleanup(daemon.close)
        return daemon

    def run_ctl(self, *arguments):
        done = subprocess.run([f"{BUILD}/tcmu-rbdctl", "--socket", self.path, *arguments], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def busier(self):
        """A LUN that has read 1000 times more at each look."""
        self.reads += 1000
        status = json.loads(json.dumps(STATUS))
        status["devices"][0]["counters"].update(reads=self.reads, read_bytes=4096 * self.reads)
        return status

    def test_status_shows_the_load_of_an_interval(self):
        daemon = self.daemon(status=self.busier)
        code, out, err = self.run_ctl("status", "--interval", "0.2")
        self.assertEqual((code, err, daemon.asked), (0, "", ["status"] * 2))
        self.assertRegex(out, r"(?m)^user_0/a +rbd/a +serving +owned +[1-9]\d+ +[\d.]+ +- +- +1 +500ms +-$")

    def test_status_once(self):
        daemon = self.daemon(status=self.busier)
        code, out, _ = self.run_ctl("status", "--once")
        self.assertEqual((code, daemon.asked), (0, ["status"]))
        self.assertRegex(out, r"owned +- +-")

    def test_status_counters_and_json(self):
        self.daemon(status=self.busier)
        self.assertIn("\n    reads 1000\n", self.run_ctl("status", "-v")[1])
        self.assertEqual(json.loads(self.run_ctl("status", "--json")[1])["devices"][0]["counters"]["reads"], 2000)

    def test_iostat(self):
        daemon = self.daemon(status=self.busier)
        code, out, err = self.run_ctl("iostat", "0.2", "2")
        self.assertEqual((code, err, len(daemon.asked)), (0, "", 3))
        self.assertEqual(out.count("r_await"), 2)
        self.assertRegex(out, r"(?m)^user_0/a +[1-9]\d+ .* 4 KiB ")
        line = json.loads(self.run_ctl("iostat", "0.2", "1", "--json")[1])
        self.assertGreater(line["devices"][0]["read"]["ops"], 1000)
        self.assertIsNone(line["devices"][0]["queue"])

    def test_iostat_without_end(self):
        self.daemon(status=self.busier)
        with subprocess.Popen([f"{BUILD}/tcmu-rbdctl", "--socket", self.path, "iostat", "0.1"], stdout=subprocess.PIPE,
                              text=True) as client:
            self.assertEqual(sum("r_await" in client.stdout.readline() for _ in range(9)), 3)
            client.terminate()

    def test_iostat_counts_once_by_default(self):
        daemon = self.daemon(status=self.busier)
        self.assertEqual(self.run_ctl("iostat")[0], 0)
        self.assertEqual(len(daemon.asked), 2)

    def test_top_in_a_pipe_is_plain(self):
        self.daemon(status=self.busier)
        code, out, err = self.run_ctl("top", "--once", "--interval", "0.1", "--sort", "latency")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("1 LUNs", out)
        self.assertNotIn("\033", out)
        self.assertGreater(self.run_ctl("top", "--sort", "colour")[0], 100)

    def in_terminal(self, act):
        """Runs `top` in a terminal of 100 columns; returns its exit code and its output."""
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 100, 0, 0))
        before = termios.tcgetattr(child)
        client = subprocess.Popen([f"{BUILD}/tcmu-rbdctl", "--socket", self.path, "top", "--interval", "0.1"], stdin=child,
                                  stdout=child, stderr=child)
        out = b""

        def read_until(text):
            nonlocal out
            end = time.monotonic() + 30
            while text not in out:
                self.assertLess(time.monotonic(), end, out)
                if select.select([parent], [], [], 0.1)[0]:
                    out += os.read(parent, 65536)
        try:
            act(client, parent, read_until)
            code = client.wait(30)
            read_until(b"\033[?1049l")
            self.assertEqual(termios.tcgetattr(child), before, "the terminal is as it was")
        finally:
            client.kill()
            client.wait()
            os.close(parent)
            os.close(child)
        return code, out

    def test_top_in_a_terminal(self):
        self.daemon(status=self.busier)

        def act(_, keyboard, read_until):
            read_until(b"#########")
            os.write(keyboard, b"n")
            os.write(keyboard, b"q")
        code, out = self.in_terminal(act)
        self.assertEqual(code, 0)
        self.assertIn(b"\033[7mLUN", out)

    def test_a_signal_ends_top_cleanly(self):
        self.daemon(status=self.busier)

        def act(client, _, read_until):
            read_until(b"user_0/a")
            client.send_signal(signal.SIGTERM)
        self.assertEqual(self.in_terminal(act)[0], 0)

    def test_ops(self):
        daemon = self.daemon(ops=OPS, ops_a=OPS)
        code, out, err = self.run_ctl("ops")
        self.assertEqual((code, err, daemon.asked), (0, "", ["ops"]))
        self.assertRegex(out, r"WRITE\(16\) +8 +512 B +2\.0s +in-librbd +1\.9s +rbd_data\.1 +1\.2 +osd\.0\n")
        self.assertEqual(json.loads(self.run_ctl("ops", "a", "--json")[1]), OPS)
        self.assertEqual(daemon.asked[-1], "ops a")

    def test_explain_is_wrapped(self):
        self.daemon(explain_a={"text": "It waits. " * 30})
        code, out, _ = self.run_ctl("explain", "a")
        self.assertEqual(code, 0)
        self.assertTrue(3 <= out.count("\n") <= 4 and max(map(len, out.splitlines())) <= 100, out)
        self.assertGreater(self.run_ctl("explain")[0], 100, "the LUN is missing")
        self.assertGreater(self.run_ctl("ops", "a\nstatus")[0], 100)

    def test_slow_and_fences(self):
        self.daemon(slow={"devices": []}, fences_a={"devices": []})
        self.assertEqual(self.run_ctl("slow"), (0, "no slow commands\n", ""))
        self.assertEqual(self.run_ctl("fences", "a"), (0, "no fenced instances\n", ""))

    def test_the_exit_code_of_a_release(self):
        for outcome, code in (("released", 0), ("not-owner", 0), ("hung", 1), ("fencing", 1), ("no-answer", 1)):
            with self.subTest(outcome):
                daemon = Daemon(self.path, {"release-lock user_0/a": {"name": "user_0/a", "image": "i", "outcome": outcome}})
                self.assertEqual(self.run_ctl("lock", "release", "user_0/a")[0], code)
                self.assertEqual(json.loads(self.run_ctl("lock", "release", "user_0/a", "--json")[1])["outcome"], outcome)
                daemon.close()
                os.unlink(self.path)

    def test_errors_of_the_daemon(self):
        self.daemon(explain_x={"error": "no LUN 'x' is served here"}, status=b"[]", ops={"devices": [{"name": 5}]})
        self.assertEqual(self.run_ctl("explain", "x"), (1, "", "tcmu-rbdctl: no LUN 'x' is served here\n"))
        for request in ("status", "ops", "slow", "fences", "iostat", "top"):
            code, out, err = self.run_ctl(request)
            self.assertEqual((code, out, err.count("\n")), (1, "", 1), request)
            self.assertTrue(err.startswith("tcmu-rbdctl: "), err)

    def test_a_daemon_of_an_older_version(self):
        self.daemon(status={"version": "0.9", "pid": 3, "devices": [
            {"name": "user_0/a", "image": "rbd/a", "state": "serving", "lock": "owned", "counters": {}}]})
        for request in (["ops"], ["slow"], ["explain", "a"], ["fences"], ["lock", "release", "a"]):
            code, _, err = self.run_ctl(*request)
            self.assertEqual(code, 1)
            self.assertIn("is of another version", err)
        self.assertRegex(self.run_ctl("status", "--once")[1], r"user_0/a +rbd/a +serving +owned +- ")


if __name__ == "__main__":
    unittest.main()
