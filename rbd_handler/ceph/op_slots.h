// SPDX-License-Identifier: Apache-2.0
// The records of the ops that librbd has, one per op in flight, so that starting an op allocates
// nothing of ours. What a librbd callback gets as its argument is the address of one of these.
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
  // The op's data in one piece, when it does not lie so or must outlive submit(), and behind it
  // a piece of what is read, if that is not for the caller. Rare, hence allocated.
  std::unique_ptr<uint8_t[]> bounce;
  iovec own_iov{};  // What op.data is then, but for a read: the data in `bounce`.
  // Where the first difference is: from the data's begin if we found it. librbd writes it before
  // the callback, and only its place within the block can be trusted, see finish().
  uint64_t mismatch = 0;
  size_t part = 0;    // Of parts_of(op): the one that librbd has.
  uint64_t read = 0;  // How much of the range was read and looked at.
  // Set by the reactor; looked at by whichever thread is about to begin the next step.
  std::atomic<bool> given_up{false};

  OpSlot* next_free = nullptr;  // OpSlots' own.
};

// A free list. One thread takes; any thread puts back.
class OpSlots {
 public:
  explicit OpSlots(RbdImage* image);

  // Nullptr: all are in use. Only ever called by one thread at a time: with a single taker the head
  // that it read cannot leave the list and come back in between, which is what makes the plain
  // compare-and-swap sound.
  OpSlot* take();
  void put_back(OpSlot& slot);

  // Marks the op with this token, if there is one. Same thread as take(). A free slot may be marked
  // for the op that it had; whoever takes it takes the mark off.
  void give_up(OpToken token);

 private:
  std::array<OpSlot, kImageOpsMax> slots_;
  std::atomic<OpSlot*> free_{nullptr};
};

}  // namespace tcmurbd::ceph
