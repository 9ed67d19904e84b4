// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ring/decode.h"

#include <fmt/format.h>

#include <algorithm>

#include "rbd_handler/ring/cdb_length.h"
#include "rbd_handler/ring/layout.h"

namespace tcmurbd::ring {
namespace {

static_assert(sizeof(iovec) == sizeof(IoVector), "pointers of 64 bits, as in the ring");

bool decode_cdb(const SharedMemory& memory, EntryPlace place, uint64_t iovs_end,
                CommandEntry& command) {
  const auto offset = memory.load<uint64_t>(place.offset + offsetof(CommandRequest, cdb_offset));
  if (offset < iovs_end || offset >= place.end()) return false;
  // The length depends on the CDB's own bytes: use the copy.
  const auto available = std::min<uint64_t>(place.end() - offset, kCdbBytesMax);
  for (uint64_t i = 0; i < available; ++i) command.cdb[i] = memory.load<uint8_t>(offset + i);
  command.cdb_length = static_cast<uint16_t>(cdb_length({command.cdb.data(), available}));
  return command.cdb_length != 0;
}

bool decode_iov(const SharedMemory& memory, uint64_t iovs, uint64_t count, uint64_t data_offset,
                CommandEntry& command) {
  const uint64_t data_bytes = memory.size() - data_offset;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = iovs + i * sizeof(IoVector);
    const auto offset = memory.load<uint64_t>(at + offsetof(IoVector, offset));
    const auto length = memory.load<uint64_t>(at + offsetof(IoVector, length));
    if (offset < data_offset || offset > memory.size() || length > memory.size() - offset) {
      return false;
    }
    if (length > data_bytes - command.data_length) return false;
    if (length == 0) continue;
    command.iov.push_back({memory.pointer(offset, length), length});
    command.data_length += length;
  }
  return true;
}

bool decode_parts(const SharedMemory& memory, EntryPlace place, uint64_t data_offset,
                  CommandEntry& command) {
  const auto load_count = [&](size_t member) -> uint64_t {
    return memory.load<uint32_t>(place.offset + member);
  };
  const uint64_t count = load_count(offsetof(CommandRequest, iov_count));
  if (load_count(offsetof(CommandRequest, iov_bidi_count)) != 0) return false;
  if (load_count(offsetof(CommandRequest, iov_dif_count)) != 0) return false;
  const uint64_t iovs = place.offset + sizeof(CommandRequest);
  // A count of 32 bits times 16 can't overflow 64.
  const uint64_t iovs_end = iovs + count * sizeof(IoVector);
  return iovs_end <= place.end() && decode_cdb(memory, place, iovs_end, command) &&
         decode_iov(memory, iovs, count, data_offset, command);
}

}  // namespace

bool decode_command(const SharedMemory& memory, EntryPlace place, uint64_t data_offset,
                    CommandEntry& command) {
  command.iov.clear();
  command.data_length = 0;
  if (decode_parts(memory, place, data_offset, command)) return true;
  command.cdb_length = 0;
  command.iov.clear();
  command.data_length = 0;
  return false;
}

std::expected<void, std::string> decode_tmr(const SharedMemory& memory, EntryPlace place,
                                            TmrEntry& tmr) {
  tmr.cmd_ids.clear();
  if (place.length < sizeof(TmrHeader)) {
    return std::unexpected(fmt::format("a TMR entry of {} bytes", place.length));
  }
  tmr.type = memory.load<uint8_t>(place.offset + offsetof(TmrHeader, type));
  const uint64_t count = memory.load<uint32_t>(place.offset + offsetof(TmrHeader, cmd_count));
  if (count > (place.length - sizeof(TmrHeader)) / sizeof(uint16_t)) {
    return std::unexpected(
        fmt::format("a TMR entry of {} bytes claims {} commands", place.length, count));
  }
  for (uint64_t i = 0; i < count; ++i) {
    tmr.cmd_ids.push_back(
        memory.load<uint16_t>(place.offset + sizeof(TmrHeader) + i * sizeof(uint16_t)));
  }
  return {};
}

}  // namespace tcmurbd::ring
