// SPDX-License-Identifier: Apache-2.0
// Parameter lists of EXTENDED COPY (LID1), as sent by hosts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {

inline Bytes big(uint64_t value, int bytes) {
  Bytes out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<uint8_t>(value >> shift));
  return out;
}

// The NAA name of a disk with the serial 8d6d3a3e-5c71-4f22-b9e0-0123456789ab.
inline const Bytes kNaaName = {0x60, 0x01, 0x40, 0x58, 0xd6, 0xd3, 0xa3, 0xe5,
                               0xc7, 0x14, 0xf2, 0x2b, 0x9e, 0x00, 0x12, 0x34};

// An identification descriptor: E4h, a binary NAA name of the logical unit, DISK BLOCK LENGTH.
inline Bytes cscd(const Bytes& naa = kNaaName, uint32_t block_bytes = 512) {
  return Bytes{0xe4, 0x00, 0x00, 0x00, 0x01, 0x03, 0x00, 0x10} + naa + Bytes(4) + Bytes{0x00} +
         big(block_bytes, 3);
}

struct Segment {
  uint16_t source = 0, destination = 0, blocks = 0;
  uint64_t from = 0, to = 0;
  uint8_t flags = 0;  // DC 02h, CAT 01h.
};

inline Bytes segment(const Segment& s) {
  return Bytes{0x02, s.flags, 0x00, 0x18} + big(s.source, 2) + big(s.destination, 2) + Bytes(2) +
         big(s.blocks, 2) + big(s.from, 8) + big(s.to, 8);
}

// `flags`: byte 1, LIST ID USAGE in bits 4-3.
inline Bytes copy_list(const std::vector<Bytes>& cscds, const std::vector<Bytes>& segments,
                       uint8_t list_id = 1, uint8_t flags = 0) {
  Bytes c, s;
  for (const Bytes& bytes : cscds) c = c + bytes;
  for (const Bytes& bytes : segments) s = s + bytes;
  return Bytes{list_id, flags} + big(c.size(), 2) + Bytes(4) + big(s.size(), 4) + Bytes(4) + c + s;
}

}  // namespace tcmurbd::scsi
