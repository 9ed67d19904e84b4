#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The quickstart's demonstration: serves an image as a local disk and over iSCSI, and checks that all views are identical."""

import argparse
import contextlib
import hashlib
import os
import signal
import socket
import sys
import threading
import time

_LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab")
sys.path.insert(0, _LAB)
sys.dont_write_bytecode = True

from lib import cdb, daemon, host, isolation  # noqa: E402
from lib.channel import LabError  # noqa: E402
from lib.images import Images  # noqa: E402
from lib.lab import Lab, daemon_under_test  # noqa: E402
from lib.lio import Device, IscsiTarget, LoopTarget  # noqa: E402

MIB = 1 << 20
IQN = "iqn.2026-11.tcmu-rbd:quickstart"
PORT = 3260


class Steps:
    """Prints each step, with the elapsed time on a terminal."""

    def __init__(self):
        self.started = time.monotonic()

    @contextlib.contextmanager
    def __call__(self, text):
        started, ended = time.monotonic(), threading.Event()
        watched = sys.stdout.isatty()
        print(f"   {text} ...", end="", flush=True)

        def tick():
            while not ended.wait(1):
                print(f"\r   {text} ... {time.monotonic() - started:.0f} s", end="", flush=True)

        ticker = threading.Thread(target=tick, daemon=True)
        if watched:
            ticker.start()
        note = []
        try:
            yield note.append
        finally:
            ended.set()
        if watched:
            ticker.join()
        again = f"\r   {text} ..." if watched else ""
        print(f"{again} {'; '.join([*note, ''])}{time.monotonic() - started:.1f} s", flush=True)


class Show:
    """The demonstration on a machine with LIO; `undo` collects the cleanup steps."""

    def __init__(self, steps, machine, images, undo, image, size, pool="rbd"):
        self.steps, self.machine, self.images, self.undo = steps, machine, images, undo
        self.image, self.size, self.pool = image, size, pool
        self.sums = {}

    def start_daemon(self):
        self.daemon = daemon.make(self.machine, daemon_under_test())
        with self.steps(f"Starting {self.daemon.name} in {self.machine.name}"):
            self.daemon.start()
            self.undo.callback(self._stop_daemon)

    def _stop_daemon(self):
        if self.daemon.alive():
            self.daemon.stop(timeout=60)

    def serve(self):
        with self.steps(f"Creating the image {self.pool}/{self.image} of {self.size // MIB} MiB"):
            self.images.create_image(self.image, self.size, self.pool)
            self.undo.callback(self.images.remove, self.image, self.pool)
        with self.steps("Serving it: one device in LIO, over iSCSI and as a local disk") as note:
            self.device = Device(self.machine, self.image, f"rbd/{self.pool}/{self.image}", self.size, control="max_data_area_mb=64")
            self.device.create()
            self.undo.callback(self.device.delete)
            self.device.enable()
            self.target = IscsiTarget(self.machine, IQN).create()
            self.undo.callback(self.target.delete)
            self.target.add_lun(self.device)
            self.undo.callback(self.target.remove_lun, self.device)
            local = LoopTarget(self.machine).create()
            self.undo.callback(local.delete)
            local.add_lun(self.device)
            self.undo.callback(local.remove_lun, self.device)
            self.disk = local.disk()
            note(f"{self.target.iqn} at {self.target.portal}, and {self.disk} in {self.machine.name}")

    def use_disk(self):
        run, where = self.machine.run, f"{self.machine.shared}/mount"
        with self.steps(f"mkfs.ext4 {self.disk}, mount"):
            run(f"mkfs.ext4 -q -E nodiscard {self.disk} && mkdir -p {where} && mount {self.disk} {where}", 120)
            self.undo.callback(run, f"umount {where} 2> /dev/null", check=False)
        with self.steps("Writing files, taking their checksums, unmounting") as note:
            run(f"mkdir {where}/files && cd {where}/files && head -c {self.size // 8} /dev/urandom | split -b 555K - file. && "
                f"sha256sum * > {self.machine.shared}/sums; rc=$?; cd /; umount {where} && exit $rc", 300)
            note(self.machine.output(f"grep -c . {self.machine.shared}/sums") + f" files, {self.size // 8 // MIB} MiB")
        with self.steps("Mounting again, comparing every file with its checksum") as note:
            run(f"blockdev --flushbufs {self.disk}; mount {self.disk} {where} && cd {where}/files && "
                f"sha256sum -c --quiet {self.machine.shared}/sums; rc=$?; cd /; umount {where} && exit $rc", 300)
            note("all the same")

    def compare(self):
        with self.steps(f"Reading the whole device in {self.machine.name}"):
            script = f"dd if={self.disk} bs=1M iflag=direct status=none | sha256sum"
            self.sums["the local disk"] = self.machine.output(script, 600).split()[0]
        with self.steps("Reading it over iSCSI, from outside") as note:
            self.sums["iSCSI"] = self._over_iscsi(note)
        with self.steps("Reading the image on the cluster's side: rbd export"):
            self.sums["rbd export"] = hashlib.sha256(self.images.export(self.image, pool=self.pool, timeout=600)).hexdigest()
        if len(set(self.sums.values())) != 1:
            raise LabError(f"the views differ: {self.sums}\n{self.machine.report()}")

    def _over_iscsi(self, note):
        from lib.libiscsi import Session  # loads libiscsi, which only deps.sh may have brought

        digest, step = hashlib.sha256(), MIB // 2
        with Session(self.target.url()) as session:
            blocks, block_size = session.capacity()
            inquiry = session.command(cdb.inquiry(), read=252).good().data
            note(f"'{inquiry[8:32].decode().strip()}', {blocks} blocks of {block_size}")
            for lba in range(0, blocks, step // block_size):
                digest.update(session.read(lba, min(step // block_size, blocks - lba), block_size))
        return digest.hexdigest()

    def run(self):
        self.start_daemon()
        self.serve()
        self.use_disk()
        self.compare()
        print(f"\nDone in {time.monotonic() - self.steps.started:.0f} s. {self.daemon.name} served {self.pool}/{self.image} on Linux "
              f"{self.machine.output('uname -r')}. Files written to it survived a remount.\n"
              f"All {self.size // MIB} MiB were read three ways ({', '.join(self.sums)}), the same each time:\n"
              f"sha256 {next(iter(self.sums.values()))}")


def _forward(listener, address):
    """Passes connections from this host's own network to the gateway's portal inside the lab."""

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            client, _ = listener.accept()
            try:
                portal = socket.create_connection(address, 10)
                portal.settimeout(None)
            except OSError:
                client.close()
                continue
            for pair in ((client, portal), (portal, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def _how_to_connect(address, port):
    url = f"iscsi://{address}:{port}/{IQN}/0"
    node = f"iscsiadm -m node -T {IQN} -p {address}:{port}"
    print(f"\nIt stays up. Connect an initiator from this host:\n"
          f"   iscsi-inq {url}\n"
          f"   qemu-img info {url}\n"
          f"   {node} -o new && {node} --login")


def _how_to_go_on():
    print("\nEverything is removed now. With --keep it stays up until Ctrl-C and prints how to connect an initiator; see --help.")


def _wait_for_the_end(pid):
    print(f"\nStop with Ctrl-C or  kill {pid}  (everything is removed)", flush=True)
    while True:
        time.sleep(0.5)  # not pause(): a librados thread may receive the signal, but Python handles it in the main thread


def _tell_failure(main_job):
    """Reports a failure as text instead of a traceback."""
    try:
        main_job()
    except (LabError, RuntimeError, OSError) as failure:
        print(f"\nquickstart.sh: failed after the steps above:\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


def in_lab(arguments):
    """Runs everything in a lab, which is removed with this process."""
    outer = os.getpid()
    try:
        listener = socket.create_server(("127.0.0.1", arguments.port)) if arguments.keep else None
    except OSError as taken:
        sys.exit(f"quickstart.sh: port {arguments.port} of 127.0.0.1: {os.strerror(taken.errno)}; choose another one with --port")

    def body():
        steps = Steps()
        print("3. A private cluster and gateway, in memory")
        with contextlib.ExitStack() as ends:
            lab = Lab()
            with steps("Starting a Ceph cluster: one monitor, one OSD"):
                ends.enter_context(lab)
            with steps("Booting a gateway: a user-mode Linux kernel with LIO and TCMU"):
                machine = lab.gateway()
            print("4. An image as a disk")
            show = Show(steps, machine, lab.cluster, contextlib.ExitStack(), "quickstart", arguments.size * MIB)
            show.run()
            if arguments.keep:
                _forward(listener, (machine.address, PORT))
                _how_to_connect("127.0.0.1", arguments.port)
                enter = f"nsenter --target {outer} --net --mount"
                agent = os.path.join(_LAB, "lib", "channel.py")
                print(f"Inspect the cluster, or run a command in the gateway (the disk is {show.disk}):\n"
                      f"   {enter} ceph -c {lab.cluster.conf} -s\n"
                      f"   {enter} python3 {agent} {machine.address} 'lsblk; dmesg | tail'")
                _wait_for_the_end(outer)

    def show():
        status = _tell_failure(body)
        if status == 0:
            _how_to_go_on()
        return status

    isolation.run(show)


def on_host(arguments):
    """Uses this host's kernel and cluster; always removes what it created."""
    conf = os.environ.get("CEPH_CONF", "/etc/ceph/ceph.conf")
    print("3. This host")
    try:
        host.check_kernel()
        host.check_no_other_daemon()
        host.check_cluster(conf)
    except host.Unfit as reason:
        sys.exit(f"quickstart.sh --host: {reason}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)

    def body():
        with contextlib.ExitStack() as undo:
            machine = host.Host(conf)
            undo.callback(machine.close)
            print("4. An image as a disk")
            show = Show(Steps(), machine, Images(conf), undo, f"quickstart-{os.getpid()}", arguments.size * MIB, arguments.pool)
            show.run()
            if arguments.keep:
                _how_to_connect(machine.address, PORT)
                _wait_for_the_end(os.getpid())

    status = _tell_failure(body)
    if status == 0:
        _how_to_go_on()
    sys.exit(status)


def _mib(text):
    """Parses the image size: large enough for ext4 and the files, small enough to read in a few minutes."""
    if not text.isdecimal() or not 16 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r}: it takes 16 to 4096 (MiB)")
    return int(text)


def main():
    parser = argparse.ArgumentParser(prog="quickstart.sh", description=__doc__)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--pool", default="rbd")
    parser.add_argument("--size", type=_mib, default=256, metavar="MIB")
    parser.add_argument("--port", type=int, default=PORT, help="with --keep: the port on this host's loopback address")
    parser.add_argument("--check-options", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.check_options:
        return
    if os.sep in daemon_under_test() and not os.access(daemon_under_test(), os.X_OK):
        sys.exit(f"quickstart.sh: no daemon at {daemon_under_test()} (TCMU_RBD)")
    if arguments.host:
        on_host(arguments)
    else:
        in_lab(arguments)


if __name__ == "__main__":
    main()
