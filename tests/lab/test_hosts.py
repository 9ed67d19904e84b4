#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three gateways serve one image to two hosts with dm-multipath and ALUA, each with a verifying load. How long does each fault stop the
I/O of each host? No I/O fails, and at the end the image has what the hosts wrote.

One host has one of Debian's own kernels (LAB_HOST_KERNEL), with its ALUA handler. The other is user-mode Linux, which has none: there
multipathd alone knows the priorities. A second machine in QEMU would leave two processors nothing for the gateways.

LAB_HOSTS_ROUNDS=N repeats each fault.
"""

import hashlib
import os
import time

from lib import alua, qemu, testing
from lib.alua import NON_OPTIMIZED, OPTIMIZED
from lib.host_load import BLOCK, HostLoad, content
from lib.multipath import MultipathHost
from lib.placement import Placement
from lib.recovery import MIB

SIZE = 64 * MIB
ROUNDS = int(os.environ.get("LAB_HOSTS_ROUNDS", "1"))
HOST_KERNEL = os.environ.get("LAB_HOST_KERNEL") or qemu.own_version()
HOSTS = {3: HOST_KERNEL, 4: "uml"}  # their numbers among the machines of the lab, and their kernels
# A host writes to every so many blocks of its half of the image, so that most of what it reads was written.
STEP = 16
# The hosts' settings. Open-iscsi's own are 5, 5 and 120 s; the Ceph documentation has fast_io_fail_tmo 25, which multipathd makes the
# replacement timeout of the sessions, and failback 60, polling_interval 5.
NOOP_INTERVAL, NOOP_TIMEOUT, REPLACEMENT, POLLING, FAILBACK = 2, 2, 1, 2, 5
ISCSI = {"node.conn[0].timeo.noop_out_interval": NOOP_INTERVAL, "node.conn[0].timeo.noop_out_timeout": NOOP_TIMEOUT,
         "node.conn[0].timeo.login_timeout": 5}
# "failover", as the Ceph documentation has it: one path at a time, also of those with equal priority.
MULTIPATH = f"""\
defaults {{{{
  find_multipaths no
  user_friendly_names no
  polling_interval {POLLING}
  max_polling_interval {POLLING}
}}}}
devices {{{{
  device {{{{
    vendor "LIO-ORG"
    product "TCMU device"
    hardware_handler "{{handler}}"
    path_grouping_policy "failover"
    path_selector "queue-length 0"
    path_checker tur
    prio alua
    prio_args exclusive_pref_bit
    fast_io_fail_tmo {REPLACEMENT}
    failback {FAILBACK}
    no_path_retry queue
  }}}}
}}}}
"""
# From an answer that does not come to a path that is not used any more.
DETECTION = NOOP_INTERVAL + NOOP_TIMEOUT + REPLACEMENT
OSD_SECONDS, FROZEN_SECONDS, CALM_SECONDS = 10, 15, 60
# Until all paths are used again as before, in the worst case: a login that times out, a poll, the failback, a slow machine.
HOME_SECONDS = 90


def cpu_shortage():
    """For how many seconds some thread of this machine waited for a processor, in all."""
    with open("/proc/pressure/cpu", encoding="ascii") as pressure:
        return int(pressure.readline().rsplit("=", 1)[1]) / 1e6


class HostsTest(alua.AluaTestCase):
    groups = {1: ("ao", OPTIMIZED), 2: ("ano2", NON_OPTIMIZED), 3: ("ano3", NON_OPTIMIZED)}
    time_limit = 600 + 300 * ROUNDS
    # Of each fault: the longest time without I/O, and without a write, and what of it is the host's detection at most. Reads go on at once
    # through another gateway. A write waits for the lock too: a second for the silent owner's answer, up to one for the monitors' next
    # proposal (paxos_propose_interval: the blocklist entry), and the steps between.
    # Without a fault, 0.3 s on an idle machine. With five threads for each processor, ops take half a second in librbd now and then.
    # A killed daemon's successor needs seconds in user-mode Linux: to start, to fence the predecessor, to open the image.
    bounds = {"none": (1, 1, 0), "OSD stopped": (OSD_SECONDS + 1, OSD_SECONDS + 1, 0), "daemon killed": (8, 8, 0),
              "gateway frozen": (8, 9, DETECTION), "gateway dead": (8, 9, DETECTION)}

    def setUp(self):
        super().setUp()
        self.device_, owner = self.serve(0, SIZE)
        self.targets = [owner] + [self.serve(number, SIZE, image=self.device_.name, create=False)[1] for number in (1, 2)]
        self.hosts = [self.start_host(number) for number in HOSTS]
        self.home = [host.number(owner) for host in self.hosts]
        blocks, half = SIZE // BLOCK, SIZE // BLOCK // 2
        self.loads = [HostLoad(host.machine, host.disk(), blocks, self.random.getrandbits(30)).start()
                      for host, blocks in zip(self.hosts, (range(0, half, STEP), range(half, blocks, STEP)))]
        self.wait_until_home()

    def start_host(self, number):
        kernel = HOSTS[number]
        host = MultipathHost(self.lab.gateway(number, kernel=kernel))
        host.start(MULTIPATH.format(handler="0" if kernel == "uml" else "1 alua"))
        self.addCleanup(host.stop)
        # The hosts prefer different ones of the gateways that do not own the image.
        others = self.targets[1:][::1 if kernel == "uml" else -1]
        host.login(self.targets[0], *others, replacement_timeout=REPLACEMENT, settings=ISCSI)
        host.disk()
        return host

    # --- where the hosts are ---

    def wait_until_home(self):
        """Each host has all paths, and uses the owner's."""
        for host, home in zip(self.hosts, self.home):
            try:
                self.wait_until(lambda: self.is_home(host, home), HOME_SECONDS, f"{host.machine.name} uses the owner of the image")
            except TimeoutError as late:
                raise AssertionError(f"{late}\n{home} {host.path_states()}\n{host.show()}\n{host.machine.report()}") from None
        self.wait_for_writes()

    def is_home(self, host, home):
        states = host.path_states()
        return len(states) == len(self.targets) and states[home] == ("A", "A") and all(path == "A" for _, path in states.values())

    def wait_for_writes(self):
        """Writes have begun and ended; reads are served without the lock."""
        for load, before in [(load, load.writes()) for load in self.loads]:
            self.wait_until(lambda: load.writes() > before + 20, HOME_SECONDS, f"writes of {load.machine.name}")

    def watch(self, seconds):
        """The fault lasts so long, and no load ends."""
        end = time.monotonic() + seconds
        self.wait_until(lambda: all(load.writes() for load in self.loads) and time.monotonic() >= end, seconds + 30, "the time has passed")

    # --- faults ---

    def none(self):
        self.watch(CALM_SECONDS)

    def osd_stopped(self):
        placement, half = Placement(self.cluster, self.device_.name), SIZE // 2
        objects = half // placement.object_size
        both = [osd for number, osd in enumerate(self.cluster.osds)
                if {each // objects for each in placement.objects_on(number)} == {0, 1}]
        osd = self.random.choice(both)
        self.hang(osd)
        self.watch(OSD_SECONDS)
        self.resume(osd)

    def daemon_killed(self):
        daemon = self.lab.daemons[0]
        daemon.kill()
        daemon.start()

    def gateway_frozen(self):
        gateway = self.targets[0].gateway
        self.freeze(gateway)
        self.watch(FROZEN_SECONDS)
        self.wait_for_writes()
        self.thaw(gateway)

    def gateway_dead(self):
        self.cut_power(self.targets[0].gateway)
        self.wait_for_writes()
        self.serve(0, SIZE, image=self.device_.name, create=False)

    # --- the test ---

    def test_faults(self):
        spans = {name: [] for name in self.bounds}
        order = [name for name in self.bounds for _ in range(ROUNDS)]
        self.random.shuffle(order)
        for name in order:
            spans[name].append(self.measure(name))
        self.assert_image_is_what_hosts_wrote()
        self.report("\n  ".join(self.table(spans)))
        self.assert_faults_were_met(spans)
        late = [f"{name}: {span.stall[0]:.2f} s without I/O, {span.writes[0]:.2f} s without a write" for name, (bound, writes, _)
                in self.bounds.items() for rounds in spans[name] for span in rounds if span.stall[0] > bound or span.writes[0] > writes]
        self.assertFalse(late, "longer than the bound")

    def assert_faults_were_met(self, spans):
        for span in (span for rounds in spans["OSD stopped"] for span in rounds):
            self.assertGreater(span.stall[0], OSD_SECONDS / 2, "a host did without the stopped OSD")
        for span in (span for name in ("gateway frozen", "gateway dead") for rounds in spans[name] for span in rounds):
            self.assertIsNotNone(span.first("Failing path"), "a host did not change its path")

    def measure(self, name):
        begins = [load.now() for load in self.loads]
        started, short, blocklist = time.time(), cpu_shortage(), self.cluster.blocklist()
        getattr(self, name.lower().replace(" ", "_"))()
        self.wait_until_home()
        self.watch(2)  # the record has all that has completed until then
        spans = [load.between(begin, load.now()) for load, begin in zip(self.loads, begins)]
        short = (cpu_shortage() - short) / (time.time() - started)
        self.report(f"{name}: for {100 * short:.0f} % of the time this machine was short of processors")
        self.count_fences(name, self.cluster.blocklist() - blocklist)
        self.keep_traces(f"{time.strftime('%T', time.localtime(started))}-{name}")
        for load, span in zip(self.loads, spans):
            lines = (f"    {at:6.2f} {line}" for at, line in span.trouble)
            title = (f"{name} at {started:.1f}, {load.machine.name}: no I/O for {span.stall[0]:.2f} s from {span.stall[1]:.2f} on, "
                     f"no write for {span.writes[0]:.2f} s from {span.writes[1]:.2f} on, {span.late:.2f} s late")
            self.report("\n".join([title, *lines]))
        return spans

    def count_fences(self, name, entries):
        """Of gateways that were well: a busy one that does not answer a peer within a second is fenced, and its writes get BUSY for 5 s."""
        well = self.targets[name not in ("none", "OSD stopped"):]
        fenced = sum(entry.startswith(f"{target.gateway.address}:") for target in well for entry in entries)
        self.report(f"{name}: {fenced} fences of gateways that were well")
        if name == "none":
            self.assertEqual(fenced, 0, entries)

    def keep_traces(self, name):
        """What each daemon did last, among the logs that LAB_LOGS keeps of a failed run."""
        for gateway in (target.gateway for target in self.targets):
            output = f"{gateway.shared}/trace-{name.replace(' ', '-')}"
            gateway.run(f"{self.client(gateway)} trace user_0/{self.device_.name} > {output}", check=False)

    def table(self, spans):
        """Of each host the longest time without I/O, and without a write; how late the host itself was; when it gave up the path; how many
        lines its kernel logged of it. `settings`: what the host's detection of a dead path takes at most."""
        columns = ("stall", "writes", "late", "path lost", "lines")
        yield f"{'':44}" + "".join(f"{host.machine.name:>{10 * len(columns)}}" for host in self.hosts)
        yield f"{'fault':16}{'rounds':>8}{'bounds':>10}{'settings':>10}" + "".join(f"{name:>10}" for name in columns) * len(self.hosts)
        for fault, rounds in spans.items():
            bound, writes, settings = self.bounds[fault]
            yield f"{fault:16}{len(rounds):8}{bound:6}, {writes:2}{settings:10}" + "".join(self.cell(each) for each in zip(*rounds))

    @staticmethod
    def cell(spans):
        worst = max(spans, key=lambda span: span.stall)
        lost = worst.first("Failing path")
        return (f"{worst.stall[0]:10.2f}{max(span.writes[0] for span in spans):10.2f}{max(span.late for span in spans):10.2f}"
                f"{'-' if lost is None else f'{lost:.2f}':>10}{sum(len(span.trouble) for span in spans):10}")

    def assert_image_is_what_hosts_wrote(self):
        wanted = bytearray(SIZE)
        for load in self.loads:
            for block, count in load.end().items():
                wanted[block * BLOCK:(block + 1) * BLOCK] = content(block, count)
        self.assertTrue(self.cluster.export(self.device_.name) == wanted, "the image has other data than the hosts wrote")
        for host in self.hosts:
            self.assertEqual(self.sha256(host.disk(), host.machine), hashlib.sha256(wanted).hexdigest(), host.machine.name)


if __name__ == "__main__":
    testing.main(kernels=HOSTS.values(), osds=3)
