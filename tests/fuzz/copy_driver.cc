// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/copy_driver.h"

#include "common/check.h"

namespace tcmurbd::fuzz {
namespace {

constexpr uint64_t kBlock = 512;

}  // namespace

void CopyDriver::begin_op(Input& input, uint64_t blocks, TimePoint now) {
  constexpr OpKind kKinds[] = {OpKind::kRead, OpKind::kWrite, OpKind::kWriteZeroes};
  const uint64_t id = 1 + input.below(kOthers);
  const OpKind kind = kKinds[input.below(3)];
  const uint64_t first = input.below(static_cast<uint32_t>(blocks));
  const ByteRange range{first * kBlock, kBlock * (1 + input.below(8))};
  auto memory = std::make_shared<std::vector<uint8_t>>(range.length, input.byte() % 0xa0);
  copy::Op op{.token = ++last_token_, .kind = kind, .range = range, .data = {}, .memory = memory};
  if (kind != OpKind::kWriteZeroes) op.data = *memory;
  give(id, op, now);
}

void CopyDriver::cancel(Input& input, TimePoint now) {
  device_.on_copy_cancelled(1 + input.below(kOthers), now);
}

void CopyDriver::give(uint64_t id, const copy::Op& op, TimePoint now) {
  ops_.emplace(id, op.token);
  copy::Op issued = op;
  issued.issued = now;
  device_.on_copy_op(id, issued, now);
}

void CopyDriver::start(const CopyStart& start, TimePoint now) {
  const std::vector<scsi::ServedDisk> disks(start.request.cscds.size(),
                                            {.number = 0, .facts = device_.disk()});
  const auto extents = scsi::plan_copy(start.request, disks);
  if (!extents) {
    device_.on_copy_ended(start.task, scsi::Result::check(extents.error()), now);
    return;
  }
  device_.on_copy_begun(start.task, std::chrono::seconds(30), now);
  Own& own = own_[start.task];
  own = {.id = ++last_id_, .job = std::make_unique<copy::CopyPipeline>(*extents, nullptr)};
  std::vector<ByteRange> writes;
  for (const scsi::CopyExtent& extent : *extents) writes.push_back({extent.to, extent.length});
  device_.on_copy_joins(own.id, std::move(writes));
}

void CopyDriver::run(TimePoint now) {
  for (const CopyOpDone& op : effects_.take<CopyOpDone>(device_)) {
    const auto found = ops_.find({op.copy, op.token});
    CHECK(found != ops_.end());
    ops_.erase(found);
    for (auto& [task, own] : own_)
      if (own.id == op.copy) own.job->on_done(op.token, op.result);
  }
  for (const CopyStart& fresh : effects_.take<CopyStart>(device_)) start(fresh, now);
  for (const auto& [task] : effects_.take<CopyCancel>(device_)) {
    if (!own_.contains(task)) continue;  // Ended at its start, a moment ago.
    own_[task].cancelled = true;
    device_.on_copy_cancelled(own_[task].id, now);
  }
  drive(now);
}

void CopyDriver::drive(TimePoint now) {
  for (auto it = own_.begin(); it != own_.end();) {
    auto& [task, own] = *it;
    std::vector<copy::Op> ops;
    if (!own.cancelled) own.job->take_ops(ops);
    for (const copy::Op& op : ops) give(own.id, op, now);
    const bool finished = !own.cancelled && own.job->finished();
    if (!finished && !(own.cancelled && ops_of(own.id) == 0)) {
      ++it;
      continue;
    }
    const scsi::Result result = finished ? own.job->result() : own.job->result_if_cut_off();
    if (finished) device_.on_copy_cancelled(own.id, now);
    device_.on_copy_progress(task, own.job->segments_done(), own.job->bytes_done());
    device_.on_copy_ended(task, result, now);
    it = own_.erase(it);
  }
}

size_t CopyDriver::ops_of(uint64_t id) const {
  return static_cast<size_t>(
      std::ranges::count_if(ops_, [id](const auto& op) { return op.first == id; }));
}

}  // namespace tcmurbd::fuzz
