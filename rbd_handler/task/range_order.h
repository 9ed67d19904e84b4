// SPDX-License-Identifier: Apache-2.0
// librbd does not order overlapping ops, not even consecutive writes of one block on one handle: it
// posts each to a thread pool. Without this order, the older of two queued writes may be applied
// last. An op starts when no earlier overlapping op is left, if at least one of the two changes the
// image. Reads pass each other; all other overlapping ops run in order of arrival.
//
// A claim's life:
//   1. enter: it runs at once (true), or waits for earlier conflicting claims.
//   2. leave of the last of those: it is reported as ready.
//   3. leave: when the op has ended, or when it is dropped while waiting.
//
// Reactor thread. Allocates only while its high-water mark grows. A dense array is faster than a
// tree here: it has at most a few hundred claims, and most ops have no conflict.
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
  kNonBlockingRead,  // Waits for earlier ops like a read, but no op waits for it.
  kWrite,            // Any change of the image.
  kFlush,            // Waits for every earlier live write, whatever its range; no op waits for it.
};

class RangeOrder {
 public:
  // `owner` identifies the claim: one claim per owner, with any number of ranges, which do not
  // conflict with each other. True: it may run now; a flush that may run now leaves no claim.
  // REQUIRES: owner has no claim; ranges is empty for kFlush.
  bool enter(TaskId owner, std::span<const ByteRange> ranges, Access access);

  // Removes the claim, and appends to `ready` the owners that may run now, oldest first.
  // REQUIRES: owner has a claim.
  void leave(TaskId owner, std::vector<TaskId>& ready);

  // Marks the claim of a running change as held: it was answered before its end. Overlapping ops
  // still wait for it, but flushes do not: a write that was not acknowledged need not be durable.
  // Appends the flushes that may run now to `ready`.
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
    uint32_t blockers;  // Earlier conflicting claims, counted per pair of ranges.
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
