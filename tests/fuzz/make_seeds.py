#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of tests/fuzz/corpus: small inputs from which the fuzzers start, in the targets' own encodings.

Run it after a target's encoding has changed. It overwrites seed-*, and leaves alone what was found and kept.
"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
ROOT = CORPUS.parents[2]


def seeds(target, **inputs):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("seed-*"):
        old.unlink()
    for name, content in inputs.items():
        (folder / f"seed-{name.replace('_', '-')}").write_bytes(content)


def config():
    sample = (ROOT / "config/tcmu-rbd.yaml").read_bytes()
    bare = b"\n".join(line for line in sample.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#"))
    seeds("config",
          sample=bare,
          flow=b"{log: {level: debug, burst: 1}, reactor: {threads: 64, poll_us: '1000'}}\n",
          comments=b"# nothing\n---\nlog:\n  # level: info\n...\n",
          alias=b"log: &a\n  level: info\npaths: *a\n",
          nested=b"device: {open_timeout_s: [1, {a: b}]}\n? - log\n: !!str x\n",
          block=b"paths:\n  state_dir: |\n    /run/x\n  lock_file: \"/a\\u0041\\x00b\"\n",
          directive=b"%YAML 1.2\n%TAG ! tag:x,2000:\n---\n<<: {}\n")


def dev_config():
    seeds("dev_config",
          plain=b"rbd/pool/image",
          all=b"rbd/pool/ns/image@snap;osd_op_timeout=30;conf=/etc/ceph/x.conf;id=gw\n",
          ceph_iscsi=b"rbd/rbd/disk_1;osd_op_timeout=30",
          odd=b"pool/image;;tcmur_cmd_time_out=3;osd_op_timeout=601;id=client.x;conf=x;id=",
          long=b"rbd/" + b"p" * 70 + b"/" + b"i" * 70 + b"@\x7f")


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def event(command, *attributes):
    body = struct.pack("=BBH", command, 2, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 0x1d, 0, 0, 0) + body


def netlink():
    device = (attribute(1, b"tcm-user/0/disk/rbd/pool/image;id=x\0"), attribute(2, struct.pack("=I", 3)),
              attribute(8, struct.pack("=I", 77)))
    seeds("netlink",
          added=event(1, *device),
          removed=event(2, *device),
          size=event(3, *device, attribute(5, struct.pack("=Q", 1 << 40))),
          config=event(3, *device, attribute(4, b"rbd/pool/other\n\0")),
          cache=event(3, *device, attribute(6, b"\1")),
          two_changes=event(3, *device, attribute(6, b"\1"), attribute(5, bytes(8))),
          bad_name=event(1, attribute(1, b"tcm-user/0/../x\0"), *device[1:]))


def configfs():
    def record(index, content):  # As configfs_target.cc numbers them: the port, 6 of the device, 12 for each group, enable.
        return bytes([index, len(content)]) + content
    seeds("configfs",
          serial=record(1, b"T10 VPD Unit Serial Number: \xff\x01\n") + record(2, b"VENDORtoolong\n"),
          not_a_serial=record(1, b"6a7e\n"),
          missing=bytes([1, 255, 7, 255, 0, 255]),
          numbers=record(5, b"0x200\n") + record(6, b"18446744073709551616\n") + record(0, b"65536"),
          group=record(7, b"") + record(8, b"16\n") + record(9, b"Altered by Implicit ALUA\n") + record(10, b"2\n"),
          members=record(18, b"iSCSI/iqn.x/tpgt_1/lun_0\n\0iSCSI/iqn.x/tpgt_1/lun_0\n\0"),
          long_member=bytes([18, 240]) + b"iSCSI" * 54 + b"/iqn.x/tpgt_1/lun_0\n",
          disabled=record(31, b"0\n"),
          enable_garbage=record(31, b"yes\n") + record(0, b"0\n"),
          outside=record(18, b"../../../lun_0\n") + record(30, b"iscsi/../../lun_0\n/iqn.x//\n"))


# --- ring: see ring_target.cc ---

def ring():
    change, turn, complete, publish = b"\5", b"\0", b"\2", b"\3"
    read = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])

    def command(cmd_id, cdb, iovs=((0, 1),)):
        return (b"\2" + bytes([1, cmd_id, len(iovs), 1]) + b"".join(bytes([a, b, 1]) for a, b in iovs) + bytes([len(cdb)]) + cdb)

    def tmr(kind, *ids):
        return b"\3" + bytes([len(ids), kind, 1]) + bytes(ids)
    alone = b"\xf0"
    seeds("ring",
          alone=alone + (change + command(7, read) + turn + complete + b"\0\0\0\0\0" + publish) * 3,
          alone_tmr=alone + change + command(7, read) + change + tmr(1, 7) + turn * 3 + complete + bytes(5) + publish,
          alone_head=alone + change + command(7, read) + change + b"\1\1\0\0" + turn,
          alone_poke=alone + change + b"\0" + b"\x80\0" + b"\x1f" + bytes(range(32)) + turn,
          device=b"\xf1\0" + (b"\1" + command(7, read, ((0, 1), (2, 1))) + b"\0\0" + b"\0\2\0\0" + b"\0\0") * 3,
          device_abort=b"\xf1\0" + b"\1" + command(7, b"\x2a" + read[1:]) + b"\0\0" + b"\0\4\0" + b"\1" + tmr(1, 7) + b"\0\0"
          + b"\1" + tmr(5, 7, 8) + b"\0\0" + b"\0\2\0\0",
          device_same_id=b"\xf1\0" + (b"\1" + command(7, read)) * 2 + b"\0\0" + b"\0\2\0\0" + b"\1" + command(8, read) + b"\0\0",
          device_reset=b"\x31\0" + b"\1" + command(7, read) + b"\1\1\3\0\0" + b"\0\0" + b"\0\2\0\0")


# --- device: see device_target.cc ---

RUN = bytes([7, 0])            # The device looks at the ring.
FINISH = bytes([7, 2, 0, 0])   # The first image op ends well.
FAIL = bytes([7, 2, 0, 3])     # It times out.
JOB = bytes([7, 4, 1, 0])      # The lock's job succeeds.
FACTS = bytes([7, 5])
COPY_READ, COPY_WRITE = bytes([7, 10, 0, 0, 4, 3, 9]), bytes([7, 10, 0, 1, 2, 3, 9])
COPY_CANCEL = bytes([7, 11, 0])
PEER = bytes([7, 7])
TICK = bytes([7, 9])
SECONDS = bytes([7, 6]) + struct.pack("<H", 16000)


def cdb(*content):
    return bytes(content) + bytes(16 - len(content))


def reads(command, length=252):
    return b"\0" + command + b"\1" + struct.pack("<H", length) + RUN


def writes(command, data=b"", scattered=False, blocks=0, fill=0):
    how = 2 | (4 if scattered else 0) | (8 if blocks else 0) | fill << 4
    return b"\0" + command + bytes([how, len(data)]) + data + (struct.pack("<B", blocks) if blocks else b"") + RUN


def without_data(command):
    return b"\0" + command + b"\0" + RUN


def quick(writing, lba, blocks):
    return bytes([2, 1 if writing else 0, lba, blocks]) + RUN


def primary():
    inquiry = [reads(cdb(0x12, 1, page, 0, 252)) for page in (0, 0x80, 0x83, 0xb0, 0xb1, 0xb2)]
    mode_list = bytes(4) + bytes([0x0a, 0x0a, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    return b"\x1e" + b"".join([
        without_data(cdb(0x00)), reads(cdb(0x12, 0, 0, 0, 96)), FACTS, *inquiry, FACTS, reads(cdb(0x03, 0, 0, 0, 252)),
        reads(cdb(0x1a, 0, 0x3f, 0, 252)), reads(cdb(0x5a, 0, 0x3f, 0xff, 0, 0, 0, 0, 252)),
        writes(cdb(0x15, 0x10, 0, 0, len(mode_list)), mode_list), reads(cdb(0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 252)), FACTS,
        reads(cdb(0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 8, 0), 2048), reads(cdb(0xa3, 0x0c, 0x83, 0x9e, 0, 0x10, 0, 0, 1, 0)),
        without_data(cdb(0x1b, 0, 0, 0, 1))])


def block():
    unmap = struct.pack(">HHIQII", 22, 16, 0, 4, 8, 0)
    return b"\x1e" + b"".join([
        reads(cdb(0x25), 8), reads(cdb(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), 32), quick(True, 1, 2), JOB, FINISH,
        quick(False, 1, 2), FINISH, writes(cdb(0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1), blocks=1, fill=3), FINISH,
        writes(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, len(unmap)), unmap), FINISH,
        writes(cdb(0x93, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 20), blocks=1), FINISH,
        writes(cdb(0x41, 0, 0, 0, 0, 2, 0, 0, 20), blocks=1, fill=7), FINISH,
        writes(cdb(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1), scattered=True, blocks=2), FINISH,
        without_data(cdb(0x35)), without_data(cdb(0x91)),
        writes(cdb(0x2f, 2, 0, 0, 0, 1, 0, 0, 1), blocks=1, fill=3), FINISH, writes(cdb(0x2f, 6, 0, 0, 0, 1, 0, 0, 4), blocks=1), FINISH,
        writes(cdb(0x8e, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1), blocks=1, fill=3), FINISH, FINISH,
        writes(cdb(0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2), blocks=2, fill=8), FINISH, FINISH,
        writes(cdb(0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1), blocks=1, fill=5), FINISH,
        reads(cdb(0x4d, 0, 0x40, 0, 0, 0, 0, 0, 252)), without_data(cdb(0x34, 0, 0, 0, 0, 1, 0, 0, 4)),
        reads(cdb(0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), 32), without_data(cdb(0x2f, 0, 0, 0, 0, 0, 0, 0, 4)), FINISH])


def aborts():
    return b"\x1e" + b"".join([
        quick(True, 1, 2), JOB, quick(False, 9, 2), quick(True, 2, 2), b"\3\0", b"\3\1", RUN, TICK, b"\4\0", RUN, FAIL, JOB,
        SECONDS, JOB, JOB, PEER, TICK, quick(True, 1, 1), RUN, JOB, FAIL, TICK, JOB, JOB, bytes([7, 8, 40]), quick(False, 50, 1)])


def copies():
    # EXTENDED COPY (LID1): a CSCD descriptor E4h with an EUI-64 of no meaning, a segment 02h of 4 blocks from LBA 0 to 16.
    cscd = bytes([0xE4, 0, 0, 0, 1, 2, 0, 8]) + bytes(20) + bytes([0, 0, 2, 0])
    segment = bytes([2, 0, 0, 0x18, 0, 0, 0, 0, 0, 0]) + struct.pack(">HQQ", 4, 0, 16)
    parameters = bytes([7, 0, 0, len(cscd), 0, 0, 0, 0]) + struct.pack(">II", len(segment), 0) + cscd + segment
    copy = cdb(0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, len(parameters))
    results = [reads(cdb(0x84, action, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0), 256) for action in (0, 3, 4)]
    return b"\x1e" + b"".join([
        COPY_READ, FINISH, COPY_WRITE, JOB, COPY_WRITE, FINISH, COPY_READ, COPY_WRITE, COPY_CANCEL, FINISH, FINISH,
        writes(copy, parameters), FINISH, FINISH, *results, writes(copy, parameters), b"\3\0", RUN, FINISH])


def device():
    fields = bytes([0x7f, 0, 0, 0, 0, 0, 0, 24]) + struct.pack(">HBBQIHHI", 0x0b, 0, 0, 3, 0, 0, 0, 1)
    long_cdb = fields[:16] + fields[16:]
    seeds("device", primary=primary(), block=block(), aborts=aborts(), copies=copies(), no_keep=b"\x06" + aborts()[1:],
          no_capabilities=b"\x00" + block()[1:],
          long_cdb=b"\x1e" + writes(long_cdb, blocks=1) + without_data(bytes([0x7f]) + bytes(6) + b"\xff" + bytes(255)))


if __name__ == "__main__":
    config()
    dev_config()
    netlink()
    configfs()
    ring()
    device()
