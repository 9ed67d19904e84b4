#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Applies each mutation of mutants.txt to a copy of the tree, builds the tests concerned, and reports which of them detect it.

  run.py                 all; those that were killed in an earlier run with the same --dir are not repeated
  run.py NAME...         only mutants whose names contain one of these
  run.py --list          names, files and whether they apply; nothing is built

The copy of HEAD is in --dir (default: a folder under the temp dir, by HEAD's commit), with its own build. A
mutant is killed when a test fails, crashes or does not end; each test is built and run until one does, the one that killed
it in an earlier run first. Those that need a cluster are run if TCMU_RBD_TEST_CEPH_CONF names one. Exits with 1 if a mutant
that is not known to survive does, or one does not apply.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Those that need a cluster and skip themselves without one.
LIVE = ("ceph_lock_live_test",) if "TCMU_RBD_TEST_CEPH_CONF" in os.environ else ()
# Which tests a file's mutants are shown to, the quick ones first.
TESTS = (
    ("rbd_handler/task/throttle", ("range_order_test", "device_test", "device_sim_test")),
    ("rbd_handler/task/", ("range_order_test", "lock_test", "device_test", "device_sim_test", "device_interleavings_test")),
    ("rbd_handler/lock/", ("lock_test", "device_test", "device_sim_test", "device_interleavings_test")),
    ("rbd_handler/device", ("device_test", "device_sim_test", "device_interleavings_test")),
    ("rbd_handler/ceph/lock_procedure", ("lock_procedure_test", "device_sim_test")),
    ("rbd_handler/ceph/", ("lock_procedure_test", "ceph_parts_test", *LIVE)),
    ("rbd_handler/lun/lun_image", ("lun_image_test", "lun_test")),
    ("rbd_handler/lun/lun_open", ("lun_open_test",)),
    ("rbd_handler/lun/copy_", ("copy_manager_test",)),
    ("rbd_handler/lun/lun", ("lun_test",)),
    ("rbd_handler/metrics/", ("metrics_test",)),
    ("rbd_handler/daemon/scrape", ("scrape_test",)),
    ("common/latency_histogram", ("latency_histogram_test",)),
    ("common/log_limiter", ("log_test",)),
    ("common/crash_dump", ("crash_dump_test",)),
    ("rbd_handler/daemon/daemon", ("daemon_test",)),
    ("rbd_handler/", ("daemon_parts_test",)),
)
TEST_SECONDS = 300
# Enough for the rarest of what the simulation finds; the seed is the same for all, so that a result can be repeated.
SIM = {"SIM_LIVES": "200", "SIM_SEED": "1"}


class Mutant:
    """One record of mutants.txt."""

    def __init__(self, name):
        self.name, self.file, self.survives, self.old, self.new = name, "", "", "", ""

    def pattern(self):
        words = self.old.split()
        return re.compile(r"(?:\s|//[^\n]*\n)+".join(re.escape(word) for word in words))

    def apply(self, root):
        """Changes the file below root; what it was, or None if the text is not there just once."""
        path = root / self.file
        if not path.exists():
            return None
        text = path.read_text()
        if len(self.pattern().findall(text)) != 1:
            return None
        path.write_text(self.pattern().sub(lambda _: self.new, text))
        return text

    def tests(self):
        return next(tests for prefix, tests in TESTS if self.file.startswith(prefix))


def read_mutants(path):
    mutants, part = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("[") and line.endswith("]"):
            mutants.append(Mutant(line[1:-1]))
            part = None
        elif not line.strip() or line.startswith("#"):
            part = None
        elif line.startswith("! "):
            mutants[-1].survives = line[2:]
        elif line[:2].rstrip() in ("-", "+"):
            part = "old" if line[0] == "-" else "new"
            setattr(mutants[-1], part, f"{getattr(mutants[-1], part)}\n{line[2:]}".strip())
        elif part == "new":  # Its own lines may go on without the sign.
            mutants[-1].new += "\n" + line
        elif not mutants[-1].file:
            mutants[-1].file = line.strip()
        else:
            sys.exit(f"{path}:{number}: what is this?")
    return mutants


def export(directory):
    """The tree of HEAD; files that are there already with the same text keep their time, so that little is built."""
    with tempfile.TemporaryDirectory() as fresh:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", fresh], input=archive.stdout, check=True)
        for path in pathlib.Path(fresh).rglob("*"):
            target = directory / path.relative_to(fresh)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif not target.exists() or target.read_bytes() != path.read_bytes():
                shutil.copyfile(path, target)


def build(directory, tests, jobs):
    environment = dict(os.environ, CCACHE_BASEDIR=str(directory), CCACHE_NOHASHDIR="1")
    out = directory / "build"
    if not (out / "build.ninja").exists():
        options = ["-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -w"]
        if shutil.which("ccache"):
            options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        subprocess.run(["cmake", "-S", str(directory), "-B", str(out), "-G", "Ninja", *options], check=True,
                       stdout=subprocess.DEVNULL, env=environment)
    done = subprocess.run(["cmake", "--build", str(out), "-j", str(jobs), "--target", *tests], env=environment,
                          capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout


def killer(directory, tests):
    """The first test that notices, and how; or None."""
    for test in tests:
        # device_test and the like draw seeds of their own; the simulation does not.
        try:
            done = subprocess.run([str(directory / "build" / test), "--gtest_brief=1", "--gtest_fail_fast"],
                                  env=dict(os.environ, **SIM), timeout=TEST_SECONDS, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return f"{test} (does not end)"
        if done.returncode < 0:
            return f"{test} (signal {-done.returncode})"
        if done.returncode != 0:
            return test
    return None


def try_mutant(directory, mutant, jobs, last_killer):
    before = mutant.apply(directory)
    if before is None:
        return "does not apply", ""
    try:
        # Each is linked only when those before it have noticed nothing.
        for test in sorted(mutant.tests(), key=lambda test: not last_killer.startswith(test)):
            built, output = build(directory, [test], jobs)
            if not built:
                errors = [line for line in output.splitlines() if "error:" in line]
                return "does not build", errors[0] if errors else ""
            if by := killer(directory, [test]):
                return "killed", by
        return "survived", mutant.survives
    finally:
        (directory / mutant.file).write_text(before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dir", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="repeat what was killed")
    options = parser.parse_args()

    mutants = read_mutants(HERE / "mutants.txt")
    if options.names:
        mutants = [m for m in mutants if any(name in m.name for name in options.names)]
    if options.list:
        bad = 0
        for mutant in mutants:
            path = ROOT / mutant.file
            found = len(mutant.pattern().findall(path.read_text())) if path.exists() else 0
            bad += found != 1
            print(f"{'' if found == 1 else f'found {found} times: '}{mutant.name} ({mutant.file})")
        return 1 if bad else 0

    head, tree = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD", "HEAD^{tree}"], capture_output=True, text=True,
                                check=True).stdout.split()
    directory = (options.dir or pathlib.Path(tempfile.gettempdir()) / f"mutants-{os.getuid()}-{head[:10]}").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    export(directory)
    results_path = directory / "mutants.json"
    results = json.loads(results_path.read_text()) if results_path.exists() else {}
    tests = sorted({test for mutant in mutants for test in mutant.tests()})
    passed = results.setdefault("", {})  # By test, the tree that it has passed with.
    tests = [test for test in tests if passed.get(test) != tree]
    if tests:
        built, output = build(directory, tests, options.jobs)
        if not built:
            sys.exit("the tree as it is does not build:\n" + output[-3000:])
        if by := killer(directory, tests):
            sys.exit(f"the tree as it is fails {by}")
        passed.update(dict.fromkeys(tests, tree))

    for number, mutant in enumerate(mutants, 1):
        key = mutant.old + "\0" + mutant.new
        last = results.get(mutant.name, {"key": "", "outcome": "", "detail": ""})
        if options.again or last["key"] != key or last["outcome"] != "killed":
            outcome, detail = try_mutant(directory, mutant, options.jobs, last["detail"])
            results[mutant.name] = {"key": key, "outcome": outcome, "detail": detail}
            results_path.write_text(json.dumps(results))
        result = results[mutant.name]
        print(f"{number:3}/{len(mutants)} {result['outcome']:14} {mutant.name}: {result['detail']}", flush=True)

    outcomes = [results[mutant.name]["outcome"] for mutant in mutants]
    print(", ".join(f"{outcomes.count(o)} {o}" for o in sorted(set(outcomes))))
    unexpected = [m for m in mutants if results[m.name]["outcome"] != "killed" and not m.survives]
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
