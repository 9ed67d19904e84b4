// SPDX-License-Identifier: Apache-2.0
// Decodes one entry of the ring. Does not advance the ring.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "rbd_handler/ring/ring.h"
#include "rbd_handler/ring/shared_memory.h"

namespace tcmurbd::ring {

// The position of an entry in the map. The Ring has checked its bounds and alignment.
struct EntryPlace {
  uint64_t offset = 0;
  uint32_t length = 0;
  uint64_t end() const { return offset + length; }
};

// Fills in all but cmd_id. False: CDB or iovecs are out of bounds, or the command is of an
// unsupported kind: bidirectional, or with protection information in separate iovecs. Then CDB and
// iov are empty. The CDB must be in the entry after the iovecs; the data must be between
// `data_offset` and the end of the map, and its total length must not exceed that area. Empty
// iovecs are skipped.
// REQUIRES: place.length >= kCommandEntryBytesMin.
bool decode_command(const SharedMemory& memory, EntryPlace place, uint64_t data_offset,
                    CommandEntry& command);

// An error means that the ring is corrupt: a count that exceeds the entry's size was not written by
// a known kernel, and with ids missing, initiators would wait for their aborts forever.
std::expected<void, std::string> decode_tmr(const SharedMemory& memory, EntryPlace place,
                                            TmrEntry& tmr);

}  // namespace tcmurbd::ring
