// SPDX-License-Identifier: Apache-2.0
// The records of the ops in librbd, one per op in flight, so that starting an op does not allocate.
// The argument of a librbd callback is the address of a record.
#pragma once

#include <array>
#include <atomic>
#include <boost/lockfree/stack.hpp>
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
};

// The free records. Any thread; no call blocks or allocates, except for put_back(), which frees a
// bounce buffer.
class OpSlots {
 public:
  explicit OpSlots(RbdImage* image);

  // Nullptr: all are in use.
  OpSlot* take();
  void put_back(OpSlot& slot);

  // Marks the op with this token, if there is one. A free slot may keep the mark of its previous
  // op; the next op clears it. The thread that sets tokens, which is the one that calls take().
  void give_up(OpToken token);

 private:
  std::array<OpSlot, kImageOpsMax> slots_;
  boost::lockfree::stack<OpSlot*, boost::lockfree::capacity<kImageOpsMax>> free_;
};

}  // namespace tcmurbd::ceph
