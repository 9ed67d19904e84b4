#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sg3_utils, an independent implementation, on a served disk: its queries succeed without complaints, and its changes are effective."""

import re

from lib import testing

MIB = 1 << 20
SIZE = 64 * MIB
BLOCKS = SIZE // 512
# What the tools say of a command that was refused or an answer that is not as the standard has it.
COMPLAINT = re.compile(r"(?i)illegal|unsupported|not supported on|truncat|failed|sense key: [^n]|invalid|unexpected|too short|miscompare")
ILLEGAL_REQUEST, INVALID_OPCODE, MISCOMPARE, OUT_OF_RANGE = 5, 9, 14, 22  # exit statuses, sg3_utils(8)
# Tools of commands that a disk may have or not: operation code (and service action), the tool. {block}: 512 bytes that LBA 0 holds.
OPTIONAL = [
    ("0x2f", "sg_verify --lba=0 --count=64"), ("0x2f", "sg_verify --lba=0 --count=1 --ndo=512 --in={block}"),
    ("0x8f", "sg_verify --16 --lba=0 --count=64"), ("0x8f", "sg_verify --16 --lba=0 --count=1 --ndo=512 --in={block}"),
    ("0x2e", "sg_write_verify --lba=0 --num=1 --ilen=512 --in={block}"),
    ("0x8e", "sg_write_verify --16 --lba=0 --num=1 --ilen=512 --in={block}"),
    ("0x1e", "sg_prevent --allow"), ("0x1d", "sg_senddiag -t"), ("0x3c", "sg_read_buffer --mode=desc"),
    ("0xa3,0x0d", "sg_opcodes -t"), ("0xa3,0x0f", "sg_timestamp"), ("0x84,0x03", "sg_copy_results --params"),
    ("0x48,0x03", "sg_sanitize --crypto --quick"), ("0x48,0x02", "sg_sanitize --block --quick"),
    ("0x48,0x01", "sg_sanitize --overwrite --zero --quick"),
]


class Sg3Test(testing.LabTestCase):
    def setUp(self):
        super().setUp()
        self.device_ = self.device(SIZE)
        target = self.loop(self.device_)
        self.disk, self.sg = target.disk(), target.generic()

    # --- a small language ---

    def tool(self, words, expected="^"):
        """Runs a tool; it ends well, complains of nothing and says what is expected (a regular expression)."""
        status, output = self.gateway.run(f"{words} {self.sg} 2>&1", check=False)
        self.assertEqual(status, 0, f"{words}\n{output}")
        self.assertEqual([line for line in output.splitlines() if COMPLAINT.search(line)], [], f"{words}\n{output}")
        self.assertRegex(output, expected, words)
        return output

    def refused(self, words, *statuses):
        status, output = self.gateway.run(f"{words} {self.sg} 2>&1", check=False)
        self.assertIn(status, statuses, f"{words}\n{output}")

    def put(self, name, data):
        """A file in the gateway, for a tool to send."""
        with open(f"{self.gateway.directory}/{name}", "wb") as file:
            file.write(data)
        return f"{self.gateway.shared}/{name}"

    def write(self, lba, data):
        self.gateway.run(f"dd if={self.put('data', data)} of={self.disk} bs=512 seek={lba} oflag=direct status=none")

    def assert_blocks(self, lba, expected):
        """As the cluster has them, and as the disk reads."""
        self.assertEqual(self.cluster.read(self.device_.name, lba * 512, len(expected)), expected)
        script = f"dd if={self.disk} bs=512 skip={lba} count={len(expected) // 512} iflag=direct status=none"
        self.gateway.run(f"{script} | cmp - {self.put('expected', expected)}")

    # --- identity and capabilities of the disk ---

    def test_identity_and_pages(self):
        self.tool("sg_inq", "LIO-ORG")
        # The words of 1.46 (Debian 12), or of 1.48 (Debian 13), whose sg_inq shows no serial number.
        self.tool("sg_vpd -p sn", f"(Unit|Product) serial number: {self.device_.serial}")
        pages = self.tool("sg_vpd -a")
        naa = "6001405" + self.device_.serial.replace("-", "")[:25]
        for expected in (f"0x{naa}", r"Maximum compare and write length: (1 blocks|0x1)\n",
                         r"(Unmap command supported \(LBPU\): 1|\n +LBPU=1)\n", r"(read zeros \(LBPRZ\): 1|LBPRZ=0x1)\n",
                         r"Provisioning type: (2 \(thin provisioned\)|thin provisioned)\n", "Non-rotating medium"):
            self.assertRegex(pages, expected)
        for words in ("sg_modes -a", "sg_modes -a -6"):
            self.tool(words, "(?s)Caching, page_control: current.*Control, page_control: current")
        self.tool("sg_logs -a", r"(?s)Supported log pages.*Read error counter( page|s \[re\])")
        self.tool("sg_readcap", f"Number of logical blocks={BLOCKS}")
        self.tool("sg_readcap -l", f"(?s)lbpme=1, lbprz=1.*Number of logical blocks={BLOCKS}.*length=512 bytes")
        self.tool("sg_rtpg -d", r"\(active/optimized\)")
        self.tool("sg_luns", "1 lun entry")
        self.tool("sg_persist -k", "NO registered")
        self.tool("sg_turs -n 20", "20 Test Unit Ready commands with 0 errors")
        self.tool("sg_requests", "Sense key: No Sense")
        self.tool("sg_start --start")
        self.tool("sg_sync")
        self.refused("sg_start --stop", ILLEGAL_REQUEST)

    def test_operation_codes(self):
        """The list is the truth: what it names is served, what it does not name is refused as unknown."""
        listed = self.tool("sg_opcodes")
        for name in ("Compare and write", "Unmap", r"Write same\(16\)", r"Get LBA status\(16\)", r"Read capacity\(16\)"):
            self.assertRegex(listed, name)
        self.tool("sg_opcodes -R", "recommended|Recommended")
        self.tool("sg_opcodes -o 0x93", "(?s)Command is supported.*Usage data: 93 ff")
        self.tool("sg_opcodes -o 0x9e,0x10", "(?s)Command is supported.*Usage data: 9e 10")
        self.assertNotRegex(listed, "(?i)sanitize|format|microcode")
        block = self.put("block", self.random.randbytes(512))
        self.gateway.run(f"dd if={block} of={self.disk} bs=512 oflag=direct status=none")
        for code, words in OPTIONAL:
            served = "Command is supported" in self.tool(f"sg_opcodes -o {code}", "Command is (NOT )?supported")
            words = words.format(block=block)
            # An operation code that is known, but not with this service action: invalid field in CDB.
            self.tool(words) if served else self.refused(words, INVALID_OPCODE, ILLEGAL_REQUEST)

    # --- what changes it ---

    def test_zeroing_and_patterns(self):
        old, pattern = self.random.randbytes(64 * 512), self.random.randbytes(512)
        block = self.put("pattern", pattern)
        self.write(0, old)
        self.tool("sg_unmap --force --lba=2 --num=3")
        expected = old[:2 * 512] + bytes(3 * 512) + old[5 * 512:]
        self.assert_blocks(0, expected)
        same = "sg_write_same --xferlen=512 --num=4 --in="
        for lba, words, blocks in (
                (8, same + block, pattern * 4), (16, f"{same}{block} --10", pattern * 4), (24, same + "/dev/zero", bytes(4 * 512)),
                (32, f"{same}/dev/zero --unmap", bytes(4 * 512)), (40, f"{same}/dev/zero --10 --unmap", bytes(4 * 512)),
                (48, "sg_write_same --ndob --num=4", bytes(4 * 512)), (56, "sg_write_same --ndob --unmap --num=4", bytes(4 * 512))):
            self.tool(f"{words} --lba={lba}")
            expected = expected[:lba * 512] + blocks + expected[(lba + 4) * 512:]
        self.assert_blocks(0, expected)
        # None of them may reach past the end.
        self.refused(f"{same}{block} --lba={BLOCKS - 3}", OUT_OF_RANGE)

    def test_compare_and_write(self):
        old, new = self.random.randbytes(512), self.random.randbytes(512)
        self.write(7, old)
        pair = self.put("pair", old + new)
        words = f"sg_compare_and_write --in={pair} --lba=7 --num=1 --xferlen=1024"
        self.tool(words)
        self.assert_blocks(7, new)
        self.refused(words, MISCOMPARE)
        self.assert_blocks(7, new)

    def test_extended_copy(self):
        """The list of operation codes, INQUIRY's 3PC and VPD 8F agree; a copy that is served copies, one that is not is refused."""
        data = self.random.randbytes(64 * 512)
        self.write(0, data)
        served = "Command is supported" in self.tool("sg_opcodes -o 0x83,0x00", "Command is (NOT )?supported")
        self.assertEqual("3PC=1" in self.tool("sg_inq"), served)
        self.assertEqual("Third party copy" in self.tool("sg_vpd -a"), served)
        status, output = self.gateway.run(f"sg_xcopy if={self.sg} of={self.sg} bs=512 count=64 seek=1000 2>&1", check=False)
        self.assertEqual(status == 0, served, output)
        self.assert_blocks(1000, data if served else bytes(len(data)))

    def test_lba_status(self):
        """What was never written is deallocated, what was written is mapped, what was unmapped is deallocated again."""
        objects = 4 * MIB // 512
        self.write(objects, bytes([1]) * 4096)
        self.tool("sg_get_lba_status --lba=0", rf"LBA: 0x0+ +blocks: +{objects} +deallocated")
        self.tool(f"sg_get_lba_status --lba={objects}", rf"LBA: 0x0*{objects:x} +blocks: +\d+ +mapped")
        self.tool(f"sg_unmap --force --lba={objects} --num={objects}")
        self.tool(f"sg_get_lba_status --lba={objects}", rf"LBA: 0x0*{objects:x} +blocks: +\d+ +deallocated")


if __name__ == "__main__":
    testing.main()
