// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/task/range_order.h"

#include <algorithm>

#include "common/check.h"

namespace tcmurbd::task {

uint32_t RangeOrder::blockers_of(uint64_t sequence, const ByteRange& range, Access access) const {
  uint32_t count = 0;
  for (const Claim& claim : claims_) {
    if (claim.sequence >= sequence || claim.access == Access::kNonBlockingRead) continue;
    if (access == Access::kFlush) {
      count += claim.writes() && !claim.held;
    } else if (claim.writes() || access == Access::kWrite) {
      count += claim.range.overlaps(range);
    }
  }
  return count;
}

uint32_t RangeOrder::conflicts(const Waiter& waiter, const Claim& gone) const {
  if (gone.sequence >= waiter.sequence || gone.access == Access::kNonBlockingRead) return 0;
  if (waiter.access == Access::kFlush) return gone.writes() && !gone.held;
  if (!gone.writes() && waiter.access != Access::kWrite) return 0;
  uint32_t count = 0;
  for (const Claim& claim : claims_) {
    if (claim.owner == waiter.owner) count += claim.range.overlaps(gone.range);
  }
  return count;
}

bool RangeOrder::enter(TaskId owner, std::span<const ByteRange> ranges, Access access) {
  CHECK((access == Access::kFlush) == ranges.empty());
  const uint64_t sequence = next_sequence_++;
  uint32_t blockers = 0;
  if (access == Access::kFlush) blockers = blockers_of(sequence, {}, access);
  for (const ByteRange& range : ranges) {
    blockers += blockers_of(sequence, range, access);
    claims_.push_back({range, sequence, owner, access, false});
  }
  if (blockers != 0) waiting_.push_back({sequence, owner, blockers, access});
  return blockers == 0;
}

void RangeOrder::leave(TaskId owner, std::vector<TaskId>& ready) {
  leaving_.clear();
  for (size_t i = 0; i < claims_.size();) {
    if (claims_[i].owner == owner) {
      leaving_.push_back(claims_[i]);
      claims_[i] = claims_.back();
      claims_.pop_back();
    } else {
      ++i;
    }
  }
  if (waiting_.empty()) return;
  // Dropped while waiting: the conflicts of its claims are subtracted below.
  std::erase_if(waiting_, [&](const Waiter& waiter) { return waiter.owner == owner; });
  for (Waiter& waiter : waiting_) {
    for (const Claim& gone : leaving_) {
      const uint32_t freed = conflicts(waiter, gone);
      CHECK(freed <= waiter.blockers);
      waiter.blockers -= freed;
    }
  }
  collect_ready(ready);
}

void RangeOrder::hold(TaskId owner, std::vector<TaskId>& ready) {
  for (Claim& claim : claims_) {
    if (claim.owner != owner) continue;
    CHECK(claim.writes() && !claim.held);
    for (Waiter& waiter : waiting_) {
      if (waiter.access != Access::kFlush) continue;
      const uint32_t freed = conflicts(waiter, claim);
      CHECK(freed <= waiter.blockers);
      waiter.blockers -= freed;
    }
    claim.held = true;
  }
  collect_ready(ready);
}

void RangeOrder::collect_ready(std::vector<TaskId>& ready) {
  const size_t before = ready.size();
  for (const Waiter& waiter : waiting_) {
    if (waiter.blockers == 0) ready.push_back(waiter.owner);
  }
  if (ready.size() == before) return;
  std::erase_if(waiting_, [](const Waiter& waiter) { return waiter.blockers == 0; });
}

}  // namespace tcmurbd::task
