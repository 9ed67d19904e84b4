// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_cluster.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/check.h"

namespace tcmurbd::testing {

void FakeInstance::submit(const ImageOp& op, OpToken token) {
  CHECK(pending_.size() < kImageOpsMax);
  const bool changes = changes_image(op.kind);
  for (const auto* list : {&pending_, &gave_up_}) {
    for (const Op& other : *list) {
      if (other.token == token && list == &pending_) continue;  // Of one command.
      // A read may be one that nobody waits for any more.
      if (!changes || !changes_image(other.op.kind)) continue;
      cluster_.overlap_seen |= other.op.range.overlaps(op.range);
    }
  }
  Op entry{op, token, 0, changes && cluster_.lock_owner != this};
  // A lock that was broken is found out by the refusal; one that was never there is a defect.
  cluster_.unlocked_change |= entry.refused && !blocklisted();
  if (changes || op.kind == OpKind::kCompare) {
    std::array<uint8_t, sizeof(uint32_t)> first{};
    copy_from_iov(op.data, 0, first);
    std::memcpy(&entry.id, first.data(), first.size());
    entry.op.data = {};
  } else if (op.kind == OpKind::kRead) {
    CHECK(iov_bytes(op.data) == op.range.length);
  }
  // librbd refuses it itself, unless it has not heard yet that the lock is gone.
  if (blocklisted()) entry.refused = false;
  pending_.push_back(entry);
}

bool FakeInstance::write(const Op& op) {
  bool all = true;
  for (uint32_t i = 0; i < op.blocks(); ++i)
    all &= cluster_.write(op.first() + i, op.id, epoch_, blocklisted_at_);
  return all;
}

bool FakeInstance::read(const Op& op, std::vector<uint32_t>& ids) {
  ids.resize(op.blocks());
  for (uint32_t i = 0; i < op.blocks(); ++i)
    if (!cluster_.read(op.first() + i, ids[i], epoch_, blocklisted_at_)) return false;
  return true;
}

bool FakeInstance::first_part_left(size_t index) const {
  const Op& op = pending_[index];
  const bool two = op.op.kind == OpKind::kOrWrite || op.op.kind == OpKind::kWriteAndRead ||
                   op.op.kind == OpKind::kWriteAndCompare;
  return two && !op.refused && op.found.empty();
}

void FakeInstance::first_part(Op& op) {
  if (!op.found.empty()) return;
  if (op.op.kind == OpKind::kOrWrite) {
    op.failed = !read(op, op.found);
  } else if (op.op.kind == OpKind::kWriteAndRead || op.op.kind == OpKind::kWriteAndCompare) {
    op.failed = !write(op);
    op.found.assign(op.blocks(), op.id);
  }
}

void FakeInstance::do_first_part(size_t index) {
  if (!pending_[index].refused) first_part(pending_[index]);
}

int32_t FakeInstance::execute(Op& op) {
  first_part(op);
  if (op.failed) return -ESHUTDOWN;
  std::vector<uint32_t> ids;
  switch (op.op.kind) {
    case OpKind::kOrWrite: {
      if (cluster_.lock_owner != this && !blocklisted()) return -EROFS;
      const auto now = cluster_.content().begin() + op.first();
      const bool changed = !std::ranges::equal(op.found, std::span(now, op.blocks()));
      if (!write(op)) return -ESHUTDOWN;
      cluster_.torn |= changed;
      return 0;
    }
    case OpKind::kWriteAndRead:
    case OpKind::kWriteAndCompare:
      if (!read(op, ids)) return -ESHUTDOWN;
      cluster_.torn |= ids != op.found;
      return op.op.kind == OpKind::kWriteAndCompare && ids != op.found ? kMiscompare : 0;
    case OpKind::kCompare:
      if (!read(op, ids)) return -ESHUTDOWN;
      return ids == std::vector(ids.size(), op.id) ? 0 : kMiscompare;
    case OpKind::kRead:
    case OpKind::kBlockStatus:
      if (!read(op, ids)) return -ESHUTDOWN;
      give_back(op, ids);
      return 0;
    default:
      return write(op) ? 0 : -ESHUTDOWN;
  }
}

void FakeInstance::give_back(const Op& op, const std::vector<uint32_t>& ids) {
  if (op.op.kind == OpKind::kBlockStatus) op.op.mapped->clear();
  for (uint32_t i = 0; i < ids.size(); ++i) {
    if (op.op.kind == OpKind::kBlockStatus) {
      if (ids[i] != 0)
        op.op.mapped->push_back({uint64_t{op.first() + i} * kBlockBytes, kBlockBytes});
      continue;
    }
    std::array<uint8_t, kBlockBytes> block{};
    std::memcpy(block.data(), &ids[i], sizeof ids[i]);
    copy_to_iov(op.op.data, uint64_t{i} * kBlockBytes, block);
  }
}

OpDone FakeInstance::finish(size_t index, bool may_lie) {
  Op op = pending_[index];
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(index));
  if (op.refused) return {.token = op.token, .result = -EROFS};
  const int32_t result = execute(op);
  return {.token = op.token, .result = may_lie && blocklisted() ? -ESHUTDOWN : result};
}

OpDone FakeInstance::time_out(size_t index) {
  const Op op = pending_[index];
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(index));
  if (changes_image(op.op.kind) && !op.refused) gave_up_.push_back(op);
  return {.token = op.token, .result = -ETIMEDOUT};
}

void FakeInstance::late(size_t index) {
  execute(gave_up_[index]);
  gave_up_.erase(gave_up_.begin() + static_cast<ptrdiff_t>(index));
}

bool FakeInstance::changes_pending() const {
  const auto changes = [](const Op& op) { return changes_image(op.op.kind) && !op.refused; };
  return !gave_up_.empty() || std::ranges::any_of(pending_, changes);
}

bool FakeInstance::touches(uint32_t block) const {
  const ByteRange range{uint64_t{block} * kBlockBytes, kBlockBytes};
  return std::ranges::any_of(pending_, [&](const Op& op) { return op.op.range.overlaps(range); });
}

void FakeInstance::take_newest_map() { epoch_ = cluster_.epoch(); }

FakeInstance& FakeCluster::open() { return instances_.emplace_back(*this, epoch_); }

void FakeCluster::blocklist(FakeInstance& instance) {
  if (!instance.blocklisted()) instance.blocklist(++epoch_);
}

bool FakeCluster::reach(uint32_t block, uint64_t epoch, uint64_t blocklisted_at) {
  uint64_t& group = groups_[block / per_group_];
  if (blocklisted_at != 0 && group >= blocklisted_at) return false;
  group = std::max(group, epoch);
  return true;
}

bool FakeCluster::write(uint32_t block, uint32_t id, uint64_t epoch, uint64_t blocklisted_at) {
  if (!reach(block, epoch, blocklisted_at)) return false;
  content_[block] = id;
  return true;
}

bool FakeCluster::read(uint32_t block, uint32_t& id, uint64_t epoch, uint64_t blocklisted_at) {
  if (!reach(block, epoch, blocklisted_at)) return false;
  id = content_[block];
  return true;
}

}  // namespace tcmurbd::testing
