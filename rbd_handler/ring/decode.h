// SPDX-License-Identifier: Apache-2.0
// One entry of the ring, from bytes to values. Nothing here moves the ring on.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "rbd_handler/ring/ring.h"
#include "rbd_handler/ring/shared_memory.h"

namespace tcmurbd::ring {

// Where an entry lies in the map; within it and aligned, which the Ring has checked.
struct EntryPlace {
  uint64_t offset = 0;
  uint32_t length = 0;
  uint64_t end() const { return offset + length; }
};

// Fills in all but cmd_id. False: CDB or iovecs lie outside of where they must, or the command is
// of a kind that nothing here serves: bidirectional, or with protection information in iovecs of
// its own. Then CDB and iov are empty. The CDB must lie in the entry, behind the iovecs; the data
// from `data_offset` to the end of the map, in pieces that are no larger than that area together.
// Empty pieces are left out.
// REQUIRES: place.length >= kCommandEntryBytesMin.
bool decode_command(const SharedMemory& memory, EntryPlace place, uint64_t data_offset,
                    CommandEntry& command);

// The error is a reason to stop following the ring: an entry whose count doesn't fit its own size
// was not written by the code that we know, and ids left out silently would leave initiators
// waiting for their aborts.
std::expected<void, std::string> decode_tmr(const SharedMemory& memory, EntryPlace place,
                                            TmrEntry& tmr);

}  // namespace tcmurbd::ring
