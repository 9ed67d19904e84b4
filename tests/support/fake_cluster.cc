// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_cluster.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/check.h"

namespace tcmurbd::testing {
namespace {

uint32_t id_at(IovSpan data, uint64_t offset) {
  std::array<uint8_t, sizeof(uint32_t)> bytes{};
  copy_from_iov(data, offset, bytes);
  uint32_t id = 0;
  std::memcpy(&id, bytes.data(), bytes.size());
  return id;
}

}  // namespace

void FakeInstance::submit(const ImageOp& op, OpToken token) {
  CHECK(pending_.size() < kImageOpsMax);
  const bool changes = changes_image(op.kind);
  for (const auto* list : {&pending_, &gave_up_}) {
    for (const Op& other : *list) {
      if (other.token == token && list == &pending_)
        continue;  // Of one command. A read may be detached.
      if (!changes || !changes_image(other.op.kind)) continue;
      cluster_.overlap_seen |= other.op.range.overlaps(op.range);
    }
  }
  Op entry{op, token, 0, 0, changes && cluster_.lock_owner != this};
  // A lost lock, or one with an unknown release, is detected by the refusal; a change without ever
  // having the lock is a defect.
  cluster_.unlocked_change |= entry.refused && !blocklisted() && !released_;
  if (changes || op.kind == OpKind::kCompare) {
    const bool both = op.kind == OpKind::kCompareAndWrite;
    entry.expected = id_at(op.data, 0);
    entry.id = both ? id_at(op.data, op.range.length) : entry.expected;
    entry.op.data = {};
  } else if (op.kind == OpKind::kRead) {
    CHECK(iov_bytes(op.data) == op.range.length);
  }
  entry.when_listed = blocklisted();
  entry.cut = op.range.end() > uint64_t{cluster_.blocks()} * kBlockBytes;
  // librbd refuses it itself, unless it does not know yet that the lock was lost.
  if (blocklisted() && !released_) entry.refused = false;
  pending_.push_back(entry);
}

void FakeInstance::give_up(OpToken token) {
  for (Op& op : pending_) op.given_up |= op.token == token && op.found.empty();
}

bool FakeInstance::may_cancel(size_t index) const { return pending_[index].given_up; }

bool FakeInstance::write(const Op& op) {
  bool all = true;
  for (uint32_t i = 0; i < op.blocks(); ++i)
    all &= cluster_.write(op.first() + i, op.id, standing_);
  return all;
}

bool FakeInstance::read(const Op& op, std::vector<uint32_t>& ids) {
  ids.resize(op.blocks());
  for (uint32_t i = 0; i < op.blocks(); ++i)
    if (!cluster_.read(op.first() + i, ids[i], standing_)) return false;
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
  const Op& op = pending_[index];
  if (!op.refused && !op.cut && cluster_.primary) first_part(pending_[index]);
}

int32_t FakeInstance::execute(Op& op) {
  if (op.cut) return -ERANGE;
  if (!cluster_.primary && changes_image(op.op.kind)) return kNotPrimary;
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
    case OpKind::kCompareAndWrite:
      return compare_and_write(op);
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

// One step: a block of 512 bytes is compared and written by one op of RADOS.
int32_t FakeInstance::compare_and_write(const Op& op) {
  std::vector<uint32_t> ids;
  if (!read(op, ids)) return -ESHUTDOWN;
  if (std::ranges::any_of(ids, [&](uint32_t id) { return id != op.expected; })) return kMiscompare;
  return write(op) ? 0 : -ESHUTDOWN;
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

FakeInstance::Op FakeInstance::take(size_t index) {
  Op op = std::move(pending_[index]);
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(index));
  return op;
}

OpDone FakeInstance::finish(size_t index, bool may_lie) {
  Op op = take(index);
  if (op.refused) return {.token = op.token, .result = -EROFS};
  const int32_t result = execute(op);
  return {.token = op.token, .result = may_lie && blocklisted() ? -ESHUTDOWN : result};
}

OpDone FakeInstance::fail(size_t index, int32_t error, bool partly) {
  const Op op = take(index);
  if (op.refused) return {.token = op.token, .result = -EROFS};
  const bool plain = changes_image(op.op.kind) && op.op.kind != OpKind::kCompareAndWrite &&
                     op.op.kind != OpKind::kOrWrite;
  if (partly && plain && op.first() < cluster_.blocks())
    cluster_.write(op.first(), op.id, standing_);
  return {.token = op.token, .result = error};
}

OpDone FakeInstance::time_out(size_t index) {
  const Op op = take(index);
  if (changes_image(op.op.kind) && !op.refused) gave_up_.push_back(op);
  return {.token = op.token, .result = -ETIMEDOUT};
}

void FakeInstance::late(size_t index) {
  execute(gave_up_[index]);
  gave_up_.erase(gave_up_.begin() + static_cast<ptrdiff_t>(index));
}

void FakeInstance::die() {
  dead_ = true;
  for (const Op& op : pending_) {
    if (changes_image(op.op.kind) && !op.refused) gave_up_.push_back(op);
  }
  pending_.clear();
}

void FakeInstance::close() {
  CHECK(pending_.empty());
  gave_up_.clear();
}

bool FakeInstance::changes_pending() const {
  const auto changes = [](const Op& op) { return changes_image(op.op.kind) && !op.refused; };
  return !gave_up_.empty() || std::ranges::any_of(pending_, changes);
}

bool FakeInstance::changed_when_listed() const {
  const auto late = [](const Op& op) { return op.when_listed && changes_image(op.op.kind); };
  return std::ranges::any_of(pending_, late) || std::ranges::any_of(gave_up_, late);
}

bool FakeInstance::may_change(uint32_t block) const {
  const ByteRange range{uint64_t{block} * kBlockBytes, kBlockBytes};
  const auto changes = [&](const Op& op) {
    return changes_image(op.op.kind) && !op.refused && op.op.range.overlaps(range);
  };
  return std::ranges::any_of(pending_, changes) || std::ranges::any_of(gave_up_, changes);
}

void FakeInstance::cut(uint32_t blocks) {
  for (auto* list : {&pending_, &gave_up_}) {
    for (Op& op : *list) op.cut |= op.first() + op.blocks() > blocks;
  }
}

void FakeInstance::take_lock() {
  cluster_.lock_owner = this;
  ++cluster_.lock_changes;
  released_ = false;
}

void FakeInstance::release() {
  CHECK(cluster_.lock_owner == this);
  cluster_.lock_owner = nullptr;
  released_ = true;
}

void FakeInstance::take_newest_map() { standing_.epoch = cluster_.epoch(); }

FakeInstance& FakeCluster::open() { return instances_.emplace_back(*this, epoch_); }

void FakeCluster::blocklist(FakeInstance& instance) {
  if (!instance.blocklisted() || instance.removed()) instance.blocklist(++epoch_);
}

void FakeCluster::remove_entry(FakeInstance& instance) {
  CHECK(instance.blocklisted());
  instance.remove_entry(++epoch_);
}

void FakeCluster::spread_map() { std::ranges::fill(groups_, epoch_); }

void FakeCluster::resize(uint32_t blocks) {
  CHECK(blocks <= content_.size());
  for (uint32_t block = std::min(blocks, blocks_); block < content_.size(); ++block)
    content_[block] = 0;
  for (FakeInstance& instance : instances_) instance.cut(blocks);
  blocks_ = blocks;
}

bool FakeCluster::reach(uint32_t block, const FakeStanding& standing) {
  uint64_t& group = groups_[block / per_group_];
  group = std::max(group, standing.epoch);
  const bool listed = standing.blocklisted_at != 0 && group >= standing.blocklisted_at;
  return !listed || (standing.removed_at != 0 && group >= standing.removed_at);
}

bool FakeCluster::write(uint32_t block, uint32_t id, const FakeStanding& standing) {
  if (!reach(block, standing)) return false;
  content_[block] = id;
  return true;
}

bool FakeCluster::read(uint32_t block, uint32_t& id, const FakeStanding& standing) {
  if (!reach(block, standing)) return false;
  id = content_[block];
  return true;
}

}  // namespace tcmurbd::testing
