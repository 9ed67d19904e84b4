# SPDX-License-Identifier: Apache-2.0
"""Namespaces for one lab: its processes, network, mounts and files are removed together.

A lab starts daemons, kernels, bridges and gigabytes of storage. Cleaning those up by code would leave traces whenever the
code does not get to run (kill -9, a power cut, a bug), so nothing is cleaned up by code: the lab lives in fresh namespaces and
keeps its files on a tmpfs mounted only there, and the kernel drops all of it with the last process.

    outer process   stays outside the PID namespace; forwards signals; its death kills the inner init (PR_SET_PDEATHSIG)
      inner init    PID 1 of the lab; reaps orphans; its death kills everything in the namespace
        body        the test or the quickstart itself
"""

import ctypes
import os
import signal
import socket
import sys
import time
import traceback

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_PR_SET_PDEATHSIG = 1

# Time for a body to end after a signal; then its namespace is killed.
_FAREWELL_SECONDS = 20

# Debian's own interpreter has the python3-rados module that the lab depends on; a user's may not.
_SYSTEM_PYTHON = "/usr/bin/python3"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _mount(source, target, kind, flags=0, options=""):
    encoded = [text.encode() for text in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), options.encode()), f"mount {kind} on {target}")


def _die_with_parent():
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def _mount_point():
    """An existing directory that a tmpfs may cover without hiding anything the lab needs."""
    needed = [os.path.realpath(p) for p in (__file__, os.getcwd(), sys.executable, os.environ.get("TCMU_RBD", "/"))]
    usable = []
    for candidate in ("/mnt", "/media", "/srv", "/opt"):
        covers = any(path.startswith(candidate + "/") for path in needed)
        if os.path.isdir(candidate) and not os.path.islink(candidate) and not covers:
            usable.append(candidate)
    if usable:
        return min(usable, key=lambda path: len(os.listdir(path)))  # an empty one hides no files
    raise RuntimeError("no directory to mount the lab's tmpfs on: one of /mnt, /media, /srv, /opt must exist")


def _use_system_python():
    if os.path.exists(_SYSTEM_PYTHON) and os.path.realpath(sys.executable) != os.path.realpath(_SYSTEM_PYTHON):
        sys.stdout.flush()
        os.execv(_SYSTEM_PYTHON, [_SYSTEM_PYTHON, *sys.argv])


def _interrupt(*_):
    # A second signal must not break into the farewell of the first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run_body(body):
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    status = 1
    try:
        status = body() or 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = 130
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Library threads (librados) may wait for a cluster that is gone: leave without their atexit handlers.
    os._exit(status)


def _end(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended by itself just now


def _exit_code(wait_status):
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _inner_init(body, directory):
    _die_with_parent()
    _mount("none", "/", "none", _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc")
    _mount("lab", directory, "tmpfs", 0, "mode=0755,size=80%")
    os.environ["LAB_DIR"] = directory
    for variable, folder in (("TMPDIR", "tmp"), ("HOME", "home")):
        os.environ[variable] = f"{directory}/{folder}"
        os.mkdir(os.environ[variable])
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    socket.sethostname("lab")
    child = os.fork()
    if child == 0:
        _run_body(body)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _end(child, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the body as well
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(_exit_code(status))


def run(body):
    """Runs body() isolated; ends this process with its exit status. Needs root."""
    if os.geteuid() != 0:
        sys.exit("the lab needs root: it makes namespaces, mounts and network interfaces")
    _use_system_python()
    directory = _mount_point()
    sys.stdout.flush()
    _check(_libc.unshare(_CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS), "unshare")
    init = os.fork()
    if init == 0:
        try:
            _inner_init(body, directory)
        except BaseException:
            traceback.print_exc()
        os._exit(1)

    def forward(*_):
        _end(init, signal.SIGTERM)
        signal.alarm(_FAREWELL_SECONDS)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    signal.signal(signal.SIGALRM, lambda *_: _end(init, signal.SIGKILL))
    _, status = os.waitpid(init, 0)
    sys.exit(_exit_code(status))


def directory():
    """The lab's own directory, on its tmpfs."""
    path = os.environ.get("LAB_DIR")
    if not path:
        raise RuntimeError("not inside a lab: start through isolation.run()")
    return path


def wait_until(condition, seconds, what, interval=0.05):
    """Polls condition() until it returns something true, and returns that; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(interval)
