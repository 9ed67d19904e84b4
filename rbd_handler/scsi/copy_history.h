// SPDX-License-Identifier: Apache-2.0
// What RECEIVE COPY RESULTS can tell of the copies of one LUN: those that run, and the last few
// that ended. By list identifier alone: the kernel tells a handler nothing of initiators, so two
// hosts that use the same identifier see whichever copy began last. Kept by the Device; reactor
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "rbd_handler/scsi/copy.h"

namespace tcmurbd::scsi {

class CopyHistory {
 public:
  // Ended copies that are remembered; HELD DATA of other kinds there is none.
  static constexpr size_t kEndedMax = 32;

  struct Entry {
    uint32_t owner = 0;  // Of the caller's choice, unique among those that run.
    uint8_t list_id = 0;
    CopyListId usage = CopyListId::kKeep;
    bool ended = false;
    Result result{};
    uint16_t segments = 0;  // That were processed whole.
    uint64_t bytes = 0;     // Written.
  };

  void begin(uint32_t owner, const CopyRequest& request);
  void progress(uint32_t owner, uint16_t segments, uint64_t bytes);
  void end(uint32_t owner, const Result& result);
  // It failed before any of its segments was processed: that is told by its status alone.
  void drop(uint32_t owner);
  // The newest with this identifier; nullptr: none. Valid until the next call.
  const Entry* find(uint8_t list_id) const;
  // It was told: SPC-4 lets what has ended be asked for once.
  void forget(uint8_t list_id);
  // All that have ended: a logical unit reset discards them.
  void forget_ended();

 private:
  std::vector<Entry> entries_;  // Oldest first.
};

}  // namespace tcmurbd::scsi
