// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/copy_history.h"

#include <algorithm>
#include <ranges>

namespace tcmurbd::scsi {

void CopyHistory::begin(uint32_t owner, const CopyRequest& request) {
  if (request.usage == CopyListId::kNone) return;
  std::erase_if(entries_, [&](const Entry& e) { return e.ended && e.list_id == request.list_id; });
  entries_.push_back({.owner = owner, .list_id = request.list_id, .usage = request.usage});
}

void CopyHistory::progress(uint32_t owner, uint16_t segments, uint64_t bytes) {
  for (Entry& entry : entries_) {
    if (entry.ended || entry.owner != owner) continue;
    entry.segments = segments;
    entry.bytes = bytes;
  }
}

void CopyHistory::end(uint32_t owner, const Result& result) {
  const auto entry =
      std::ranges::find_if(entries_, [&](const Entry& e) { return !e.ended && e.owner == owner; });
  if (entry == entries_.end()) return;
  if (entry->usage == CopyListId::kDiscard) {
    entries_.erase(entry);
    return;
  }
  entry->ended = true;
  entry->result = result;
  const auto ended = [](const Entry& e) { return e.ended; };
  if (std::ranges::count_if(entries_, ended) > static_cast<ptrdiff_t>(kEndedMax))
    entries_.erase(std::ranges::find_if(entries_, ended));
}

const CopyHistory::Entry* CopyHistory::find(uint8_t list_id) const {
  const auto newest = std::ranges::find(entries_ | std::views::reverse, list_id, &Entry::list_id);
  return newest == entries_.rend() ? nullptr : &*newest;
}

void CopyHistory::drop(uint32_t owner) {
  std::erase_if(entries_, [&](const Entry& e) { return !e.ended && e.owner == owner; });
}

void CopyHistory::forget_ended() {
  std::erase_if(entries_, [](const Entry& e) { return e.ended; });
}

void CopyHistory::forget(uint8_t list_id) {
  std::erase_if(entries_, [&](const Entry& e) { return e.ended && e.list_id == list_id; });
}

}  // namespace tcmurbd::scsi
