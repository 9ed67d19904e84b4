# SPDX-License-Identifier: Apache-2.0
"""The CDBs that the lab's tests send."""


def _block_command(opcode, lba, blocks):
    return bytes([opcode, 0]) + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(2)


def read16(lba, blocks):
    return _block_command(0x88, lba, blocks)


def write16(lba, blocks):
    return _block_command(0x8A, lba, blocks)


def test_unit_ready():
    return bytes(6)


def inquiry(page=None, length=252):
    """Standard data, or a vital product data page."""
    return bytes([0x12, page is not None, page or 0]) + length.to_bytes(2, "big") + bytes(1)


def read_capacity10():
    return bytes([0x25]) + bytes(9)


def read_capacity16(length=32):
    return bytes([0x9E, 0x10]) + bytes(8) + length.to_bytes(4, "big") + bytes(2)


def mode_sense10(page=0x3F, length=252):
    return bytes([0x5A, 0, page, 0, 0, 0, 0]) + length.to_bytes(2, "big") + bytes(1)


def report_luns(length=4096):
    return bytes([0xA0]) + bytes(5) + length.to_bytes(4, "big") + bytes(2)


def synchronize_cache10():
    return bytes([0x35]) + bytes(9)


def write_same16(lba, blocks, unmap=False):
    command = bytearray(_block_command(0x93, lba, blocks))
    command[1] = 0x08 if unmap else 0
    return bytes(command)


def unmap():
    """For one descriptor; see unmap_parameters."""
    return bytes([0x42]) + bytes(6) + (24).to_bytes(2, "big") + bytes(1)


def unmap_parameters(lba, blocks):
    return (22).to_bytes(2, "big") + (16).to_bytes(2, "big") + bytes(4) + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(4)


def compare_and_write(lba, blocks=1):
    return bytes([0x89, 0]) + lba.to_bytes(8, "big") + bytes(3) + bytes([blocks]) + bytes(2)


def get_lba_status(lba, length=4096):
    return bytes([0x9E, 0x12]) + lba.to_bytes(8, "big") + length.to_bytes(4, "big") + bytes(2)


def _checked(opcode, lba, blocks, bytchk):
    command = bytearray(_block_command(opcode, lba, blocks))
    command[1] = bytchk << 1
    return bytes(command)


def verify16(lba, blocks, bytchk=1):
    return _checked(0x8F, lba, blocks, bytchk)


def write_and_verify16(lba, blocks, bytchk=1):
    return _checked(0x8E, lba, blocks, bytchk)


def orwrite16(lba, blocks):
    return _block_command(0x8B, lba, blocks)


def write_atomic16(lba, blocks):
    return bytes([0x9C, 0]) + lba.to_bytes(8, "big") + bytes(2) + blocks.to_bytes(2, "big") + bytes(2)


def extended_copy(parameters):
    """LID1; `parameters`: see copy_parameters."""
    return bytes([0x83]) + bytes(9) + len(parameters).to_bytes(4, "big") + bytes(2)


def copy_parameters(names, segments, list_id=1, block_size=512):
    """`names`: NAA designators, 16 bytes each; `segments`: (source, destination, blocks, from LBA, to LBA)."""
    targets = b"".join(bytes([0xE4, 0, 0, 0, 1, 3, 0, len(name)]) + name.ljust(20, b"\0") + block_size.to_bytes(4, "big")
                       for name in names)
    copies = b"".join(bytes([2, 0, 0, 0x18]) + source.to_bytes(2, "big") + target.to_bytes(2, "big") + bytes(2) +
                      blocks.to_bytes(2, "big") + begin.to_bytes(8, "big") + end.to_bytes(8, "big")
                      for source, target, blocks, begin, end in segments)
    return (bytes([list_id, 0]) + len(targets).to_bytes(2, "big") + bytes(4) + len(copies).to_bytes(4, "big") + bytes(4) +
            targets + copies)


def receive_copy_results(service_action, list_id=0, length=1024):
    return bytes([0x84, service_action, list_id]) + bytes(7) + length.to_bytes(4, "big") + bytes(2)
