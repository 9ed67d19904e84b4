// SPDX-License-Identifier: Apache-2.0
// The copies of one LUN for RECEIVE COPY RESULTS: the running ones and the last few that ended.
// Identified only by list identifier: TCMU does not identify initiators, so two hosts with the same
// list identifier see the copy that started last. Owned by the Device; reactor thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "rbd_handler/scsi/copy.h"

namespace tcmurbd::scsi {

class CopyHistory {
 public:
  // Maximum number of ended copies. There is no other HELD DATA.
  static constexpr size_t kEndedMax = 32;

  struct Entry {
    uint32_t owner = 0;  // Chosen by the caller, unique among the running copies.
    uint8_t list_id = 0;
    CopyListId usage = CopyListId::kKeep;
    bool ended = false;
    Result result{};
    uint16_t segments = 0;  // Segments that were processed completely.
    uint64_t bytes = 0;     // Written.
  };

  void begin(uint32_t owner, const CopyRequest& request);
  void progress(uint32_t owner, uint16_t segments, uint64_t bytes);
  void end(uint32_t owner, const Result& result);
  // It failed before any segment was processed: its status reports that.
  void drop(uint32_t owner);
  // The newest with this identifier; nullptr: none. Valid until the next call.
  const Entry* find(uint8_t list_id) const;
  // It was reported: SPC-4 lets an ended copy be queried once.
  void forget(uint8_t list_id);
  // All that have ended: a logical unit reset discards them.
  void forget_ended();

 private:
  std::vector<Entry> entries_;  // Oldest first.
};

}  // namespace tcmurbd::scsi
