// SPDX-License-Identifier: Apache-2.0
// librbd does not order overlapping ops, not even back-to-back writes of one block on one handle:
// it posts each to a pool of threads. Without the order kept here the older of two queued writes
// can be what stays. An op runs when no op that came before it and overlaps it is still there,
// where at least one of the two changes the image. Reads pass each other; everything else that
// touches the same blocks goes first come, first served.
//
// A claim's life:
//   1. enter: it runs at once (true), or waits for the earlier claims that it conflicts with.
//   2. leave of the last of these: it is reported as ready.
//   3. leave: when the op really ended, or when it is given up while it waits.
//
// Reactor thread. Allocates only while its high-water mark grows. A scan of a dense array beats a
// tree here: at most a few hundred claims are in it, and most ops conflict with none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/units.h"
#include "rbd_handler/task/task_id.h"

namespace tcmurbd::task {

enum class Access : uint8_t {
  kRead,
  kGlance,  // As a read waits for what is before it; but nothing waits for it.
  kWrite,   // Anything that changes the image.
  kFlush,   // Waits for every live write before it, whatever its range; nothing waits for it.
};

class RangeOrder {
 public:
  // `owner` names the claim; one claim (of any number of ranges, which don't conflict with each
  // other) each. True: it may run now; a flush that may run now leaves no claim behind.
  // REQUIRES: owner has no claim; ranges is empty for kFlush.
  bool enter(TaskId owner, std::span<const ByteRange> ranges, Access access);

  // Removes the claim and appends to `ready` the owners that may run now, oldest first.
  // REQUIRES: owner has a claim.
  void leave(TaskId owner, std::vector<TaskId>& ready);

  // The claim of a change that runs is held from now on: it was answered without its end being
  // known. Nothing else changes for who overlaps it, but flushes wait for it no longer, and those
  // that may run now are appended to `ready`: what was never acknowledged need not be durable.
  // REQUIRES: owner has a kWrite claim, and is not waiting.
  void hold(TaskId owner, std::vector<TaskId>& ready);

  bool empty() const { return claims_.empty() && waiting_.empty(); }
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Claim {
    ByteRange range;
    uint64_t sequence;
    TaskId owner;
    Access access;
    bool held;

    bool writes() const { return access == Access::kWrite; }
  };
  struct Waiter {
    uint64_t sequence;
    TaskId owner;
    uint32_t blockers;  // Earlier claims (counted per pair of ranges) that conflict with it.
    Access access;
  };
  uint32_t blockers_of(uint64_t sequence, const ByteRange& range, Access access) const;
  uint32_t conflicts(const Waiter& waiter, const Claim& gone) const;
  void collect_ready(std::vector<TaskId>& ready);

  uint64_t next_sequence_ = 1;
  std::vector<Claim> claims_;    // One per range, any order.
  std::vector<Waiter> waiting_;  // Oldest first.
  std::vector<Claim> leaving_;   // Scratch of leave().
};

}  // namespace tcmurbd::task
