// SPDX-License-Identifier: Apache-2.0
// The records of the ops in librbd, one per op in flight, so that starting an op does not allocate.
// The argument of a librbd callback is the address of a record.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "rbd_handler/image.h"

namespace tcmurbd::ceph {

class RbdImage;

struct OpSlot {
  RbdImage* image = nullptr;
  ImageOp op;
  OpToken token = 0;
  // A contiguous copy of the op's data, if it is not contiguous or must outlive submit(), followed
  // by a piece of read data that is not for the caller. Rare, therefore allocated.
  std::unique_ptr<uint8_t[]> bounce;
  iovec own_iov{};  // The value of op.data then, except for a read: the data in `bounce`.
  // The offset of the first difference: from the begin of the data if found by this program. librbd
  // writes it before the callback, and only the offset within the block is reliable, see finish().
  uint64_t mismatch = 0;
  size_t part = 0;    // The index in parts_of(op) of the current part.
  uint64_t read = 0;  // How much of the range was read and processed.
  // Set by the reactor; read by the thread that is about to start the next step.
  std::atomic<bool> given_up{false};

  OpSlot* next_free = nullptr;  // OpSlots' own.
};

// A free list. One thread takes; any thread returns.
class OpSlots {
 public:
  explicit OpSlots(RbdImage* image);

  // Nullptr: all are in use. Only called by one thread at a time: with a single taker, the head
  // cannot leave the list and return in between (no ABA problem), so a plain compare-and-swap is
  // sufficient.
  OpSlot* take();
  void put_back(OpSlot& slot);

  // Marks the op with this token, if there is one. Same thread as take(). A free slot may keep the
  // mark of its previous op; take() clears it.
  void give_up(OpToken token);

 private:
  std::array<OpSlot, kImageOpsMax> slots_;
  std::atomic<OpSlot*> free_{nullptr};
};

}  // namespace tcmurbd::ceph
