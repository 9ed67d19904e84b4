#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages and the completions name each flag and each setting that the programs have; each message is listed and logged.

    pages_test.py BUILD_DIRECTORY
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv.pop())
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)


def content(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def flags(*command):
    """The long flags, and the subcommands, that --help lists."""
    text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    subcommands = re.findall(r"^  ([\w-]+) ", text.partition("Subcommands:")[2], re.MULTILINE)
    found = set(re.findall(r"--[a-z][a-z-]+", text.partition("Options:")[2])) | set(subcommands)
    for subcommand in subcommands:
        found |= flags(*command, subcommand)
    return found


def sources(folder, *endings):
    """The text of all files in a folder of the daemon."""
    return "".join(content(os.path.join(path, name)) for path, _, names in os.walk(os.path.join(ROOT, "rbd_handler", folder))
                   for name in sorted(names) if name.endswith(endings))


class PagesTest(unittest.TestCase):
    def check(self, program, page, completion):
        listed = flags(program)
        self.assertIn("--help", listed)
        text = content(f"packaging/man/{page}").replace("\\-", "-")
        script = content(f"packaging/completions/{completion}")
        for flag in listed:
            self.assertRegex(text, rf"(?m)^(\.(B|BI|BR|SS) .*)?{flag}\b", page)
            self.assertRegex(script, rf"(?<![\w-]){flag}(?![\w-])", completion)

    def test_the_daemon(self):
        self.check(f"{BUILD}/tcmu-rbd", "tcmu-rbd.8", "tcmu-rbd")

    def test_the_daemon_as_tcmu_runner(self):
        with tempfile.TemporaryDirectory() as directory:
            os.symlink(f"{BUILD}/tcmu-rbd", f"{directory}/tcmu-runner")
            self.check(f"{directory}/tcmu-runner", "tcmu-rbd.8", "tcmu-rbd")

    def test_the_client(self):
        self.check(f"{BUILD}/tcmu-rbdctl", "tcmu-rbdctl.8", "tcmu-rbdctl")

    def test_each_message_is_listed_and_logged(self):
        messages = sources("messages", ".h")
        names = re.findall(r"inline constexpr LogMessage (k\w+)\{", messages)
        self.assertGreater(len(names), 90)
        self.assertEqual(re.findall(r"&(k\w+)", messages), names)
        self.assertEqual(set(re.findall(r"\bmessages::(k[A-Z]\w+)", sources("", ".cc"))), set(names))

    def test_operators_find_the_message_that_the_page_names(self):
        named = re.findall(r"MESSAGE_ID=(\w{32})", content("packaging/OPERATING.md") + content("packaging/man/tcmu-rbd.8"))
        self.assertTrue(named)
        for each in named:
            self.assertIn(f'{{"{each}"', sources("messages", ".h").replace("{\n    ", "{"))

    def test_each_setting_and_its_default(self):
        page = content("packaging/man/tcmu-rbd.yaml.5")
        sections = {name: text for name, text in re.findall(r"(?ms)^\.SH SECTION (\w+)\n(.*?)(?=^\.SH)", page)}
        section, keys = None, 0
        for line in content("config/tcmu-rbd.yaml").splitlines():
            if match := re.match(r"(\w+):$", line):
                section = sections[match.group(1)]
            elif match := re.match(r"  (\w+): (\S+)$", line):
                key, value = match.groups()
                keys += 1
                entry = re.search(rf"(?ms)^\.B {key}\n(.*?)(?=^\.TP|^\.PP|\Z)", section)
                self.assertTrue(entry, f"{key} is not in the page")
                self.assertRegex(entry.group(1), rf"Default:\s(\.IR? )?{re.escape(value)}\b", key)
        self.assertGreater(keys, 10)

    @unittest.skipUnless(shutil.which("man"), "no man here")
    def test_man_has_no_warning(self):
        pages = os.listdir(os.path.join(ROOT, "packaging/man"))
        self.assertGreater(len(pages), 2)
        for page in pages:
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", os.path.join(ROOT, "packaging/man", page)],
                                  capture_output=True, text=True, timeout=60, env={**os.environ, "MANWIDTH": "80"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)


if __name__ == "__main__":
    unittest.main()
