#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs as an operator meets them before anything is served: flags, config files, exit codes, messages.

    daemon_flags_test.py BUILD_DIRECTORY
"""

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(sys.argv.pop())
SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "config", "tcmu-rbd.yaml")
DEFAULT = "/etc/tcmu-rbd/tcmu-rbd.yaml"
EX_CONFIG = 78


def run(program, *arguments):
    return subprocess.run([f"{BUILD}/{program}", *arguments], capture_output=True, text=True, timeout=60)


class FlagsTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, text):
        path = f"{self.directory.name}/tcmu-rbd.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def assert_ends(self, done, status, stdout="", stderr=""):
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, stdout, stderr))

    def test_version_and_help(self):
        self.assert_ends(run("tcmu-rbd", "--version"), 0, "tcmu-rbd 0.1.0\n")
        done = run("tcmu-rbd", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for flag in ("--config", "--check-config", "--version"):
            self.assertIn(flag, done.stdout)

    def test_unknown_flag(self):
        done = run("tcmu-rbd", "--colour")
        self.assertNotIn(done.returncode, (0, EX_CONFIG))
        self.assertIn("--colour", done.stderr)

    def test_the_sample_is_good(self):
        self.assert_ends(run("tcmu-rbd", "--check-config", "--config", SAMPLE), 0, f"{SAMPLE}: good\n")

    @unittest.skipIf(os.path.exists(DEFAULT), "this host has a configuration")
    def test_the_default_file_is_optional(self):
        self.assert_ends(run("tcmu-rbd", "--check-config"), 0, f"{DEFAULT} does not exist: the defaults apply\n")

    def test_a_bad_file_ends_with_its_line(self):
        path = self.file("log:\n  level: info\n  colour: blue\n")
        for flags in (["--check-config"], []):
            done = run("tcmu-rbd", *flags, "--config", path)
            self.assertEqual((done.returncode, done.stdout), (EX_CONFIG, ""))
            self.assertRegex(done.stderr, f"^{path}:3: .*colour.*\n$")

    def test_a_missing_file_is_named(self):
        done = run("tcmu-rbd", "--config", "/nosuch/tcmu-rbd.yaml")
        self.assertEqual(done.returncode, EX_CONFIG)
        self.assertRegex(done.stderr, "^/nosuch/tcmu-rbd.yaml.*[Nn]o such file")

    def test_10_megabytes_are_refused_at_once(self):
        path = self.file("log: {level: info}\n" + "# filler\n" * 1_200_000)
        started = time.monotonic()
        done = run("tcmu-rbd", "--check-config", "--config", path)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (EX_CONFIG, 1))
        self.assertLess(time.monotonic() - started, 10)

    def test_a_client_without_a_daemon_says_so(self):
        done = run("tcmu-rbdctl", "--socket", "/nosuch.sock", "status")
        self.assert_ends(done, 1, "", "tcmu-rbdctl: no daemon at /nosuch.sock: No such file or directory\n")

    def asked(self, answer):
        """What a client does with the answer of a daemon; None: it hangs up instead. And what it asked."""
        path = f"{self.directory.name}/socket"
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.bind(path)
            daemon.listen()
            client = subprocess.Popen([f"{BUILD}/tcmu-rbdctl", "--socket", path, "status"], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
            connection = daemon.accept()[0]
            with connection, connection.makefile("rb") as lines:
                question = lines.readline() if answer is not None else None
                connection.sendall(answer or b"")
        out, err = client.communicate(timeout=60)
        return question, subprocess.CompletedProcess((), client.returncode, out, err)

    def test_a_client_asks_for_the_status_and_shows_it(self):
        question, done = self.asked(b'{"devices": [], "pid": 7, "version": "1.2"}\n')
        self.assertEqual(question, b"status\n")
        self.assert_ends(done, 0, "tcmu-rbd 1.2, pid 7\n", "")

    def test_a_daemon_that_ends_while_it_is_asked(self):
        self.assertEqual(self.asked(None)[1].returncode, 1)
        os.unlink(f"{self.directory.name}/socket")
        _, done = self.asked(b'{"devices": [')
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))


class RunnerNameTest(unittest.TestCase):
    """Called as tcmu-runner, by scripts and containers that were made for it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.runner = f"{self.directory}/tcmu-runner"
        os.symlink(f"{BUILD}/tcmu-rbd", self.runner)

    def run_it(self, *arguments):
        return subprocess.run([self.runner, *arguments], capture_output=True, text=True, timeout=60)

    def settings(self):
        path = f"{self.directory}/tcmu-rbd.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"paths: {{lock_file: {self.directory}/lock}}\n")
        return ["--config", path]

    def test_version_and_help(self):
        for flag in ("-V", "--version"):
            done = self.run_it(flag)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, "tcmu-rbd 0.1.0 (in place of tcmu-runner 1.6.2)\n", ""))
        done = self.run_it("-h")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for flag in ("--debug", "--nofile", "--tcmu-log-dir", "--handler-path", "--check-config"):
            self.assertIn(flag, done.stdout)

    def test_all_flags_of_tcmu_runner(self):
        done = self.run_it("-d", "-f", "1024", "-l", "/var/log", "--handler-path", "/nosuch", "--check-config",
                           *self.settings())
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_only_that_name_has_them(self):
        self.assertNotEqual(run("tcmu-rbd", "--check-config", "-d").returncode, 0)
        self.assertNotEqual(self.run_it("--colour").returncode, 0)

    def test_it_is_found_by_that_name_and_tells_what_has_no_effect(self):
        # The lock is ours, so that the daemon begins, logs and ends before it touches the kernel.
        settings = self.settings()
        with open(f"{self.directory}/lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = self.run_it("-d", "-l", "/var/log", *settings)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"warning as tcmu-runner: --tcmu-log-dir has no effect.*\n.*error .*lock")

    def test_logrotate_finds_the_process(self):
        # The FIFO keeps it reading its settings for as long as we look.
        os.mkfifo(f"{self.directory}/fifo")
        with subprocess.Popen([self.runner, "--check-config", "--config", f"{self.directory}/fifo"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                # Popen returns a moment before the kernel changes the name.
                deadline = time.monotonic() + 10
                name = ""
                while name != "tcmu-runner\n" and time.monotonic() < deadline:
                    with open(f"/proc/{process.pid}/comm", encoding="ascii") as comm:
                        name = comm.read()
                self.assertEqual(name, "tcmu-runner\n")
            finally:
                process.kill()


class ImportConfigTest(unittest.TestCase):
    """tcmu-rbdctl import-config."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.old = f"{directory.name}/tcmu.conf"
        self.etc = f"{directory.name}/tcmu-rbd"
        self.new = f"{self.etc}/tcmu-rbd.yaml"

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self):
        with open(self.new, encoding="utf-8") as file:
            return file.read()

    def imported(self, text):
        self.write(self.old, text)
        return run("tcmu-rbdctl", "import-config", "--from", self.old, "--to", self.new)

    def assert_ends(self, done, status, stdout, stderr=""):
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, stdout, stderr))

    def test_writes_a_file_that_the_daemon_reads(self):
        done = self.imported("log_level = 4\nlog_dir = '/var/log'\n")
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.new}: log.level: debug\n"))
        self.assertRegex(done.stderr, rf"^{self.old}:2: log_dir has no effect: [^\n]*journal[^\n]*\n$")
        self.assertEqual(self.read(), "log:\n  level: debug\n")
        self.assertEqual(os.stat(self.new).st_mode & 0o7777, 0o644)
        self.assertEqual(os.listdir(self.etc), ["tcmu-rbd.yaml"])
        self.assertEqual(run("tcmu-rbd", "--check-config", "--config", self.new).returncode, 0)

    def test_keeps_what_is_set_and_everything_else(self):
        self.write(self.new, "# mine\nlog:\n  burst: 7\n")
        os.chmod(self.new, 0o600)
        self.assert_ends(self.imported("log_level = 2\n"), 0, f"{self.new}: log.level: warning\n")
        self.assertEqual(self.read(), "# mine\nlog:\n  level: warning\n  burst: 7\n")
        self.assertEqual(os.stat(self.new).st_mode & 0o7777, 0o600)
        self.assert_ends(self.imported("log_level = 5\n"), 0,
                         f"{self.new}: sets log.level already, which stays; {self.old} asks for debug\n")
        self.assertIn("level: warning", self.read())

    def test_follows_a_symbolic_link(self):
        self.write(f"{self.etc}/real.yaml", "")
        os.symlink("real.yaml", self.new)
        self.assertEqual(self.imported("log_level = 2\n").returncode, 0)
        self.assertTrue(os.path.islink(self.new))
        self.assertIn("warning", self.read())

    def test_without_a_level_nothing_is_written(self):
        self.assert_ends(self.imported("# log_level = 3\n"), 0, f"{self.old}: nothing to import\n")
        self.assertFalse(os.path.exists(self.etc))

    def test_errors_change_nothing(self):
        done = run("tcmu-rbdctl", "import-config", "--from", "/nonexistent", "--to", self.new)
        self.assert_ends(done, 1, "", "tcmu-rbdctl: /nonexistent: No such file or directory\n")
        done = self.imported("log_level = loud\n")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, rf"^tcmu-rbdctl: {self.old}:1: log_level: 'loud' is not allowed; expected [^\n]*\n$")
        self.assertFalse(os.path.exists(self.etc))
        self.write(self.new, "log:\n  colour: blue\n")
        done = self.imported("log_level = 2\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.new}:2: unknown key", done.stderr)
        self.assertEqual(self.read(), "log:\n  colour: blue\n")


if __name__ == "__main__":
    unittest.main()
