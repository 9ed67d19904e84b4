// SPDX-License-Identifier: Apache-2.0
// The answers to initiators, and their checks.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/lun_sim.h"

namespace tcmurbd::testing {
namespace {

bool overlap(const BlockRun& a, const BlockRun& b) {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

}  // namespace

void LunSim::check_look(const std::optional<std::string>& wrong) const {
  if (wrong) ADD_FAILURE() << *wrong << "; now " << clock_;
}

void LunSim::collect() {
  for (auto& [tag, result] : kernel_.take_results()) {
    if (given_up_.erase(tag) != 0) continue;
    const auto found = open_.find(tag);
    ASSERT_NE(found, open_.end()) << "command " << tag << " has ended twice";
    const Pending command = std::move(found->second);
    open_.erase(found);
    answered(tag, command, result);
  }
}

void LunSim::collect_of_copies() {
  for (const CopyOpDone& done : effects_.take<CopyOpDone>(*device_)) {
    const auto found = copies_.find(done.copy);
    ASSERT_NE(found, copies_.end()) << "reported twice";
    const Pending& command = found->second;
    EXPECT_EQ(done.token, command.runs.front().first);
    if (command.id != 0 && !command.of_long_copy) model_.answer(command.id, clock_);
    using enum scsi::ScsiStatus;
    const bool may_fail = command.of_long_copy || life_.knows(Fault::kErrors) ||
                          life_.knows(Fault::kFull) || life_.knows(Fault::kResize) ||
                          life_.knows(Fault::kDemoted);
    EXPECT_TRUE(done.result.status == kGood || done.result.status == kBusy ||
                done.result.status == kTaskAborted ||
                (may_fail && done.result.status == kCheckCondition));
    if (command.of_long_copy) {
      long_copy_->waits = false;
      long_copy_->written += command.runs.front().count;
      const bool good_so_far = done.result.status == kGood;
      if (!good_so_far || long_copy_->written == long_copy_->whole.count) {
        device_->on_copy_cancelled(long_copy_->copy, now_);
        end_long_copy(good_so_far);
      }
    } else if (done.result.status == kGood) {
      good(command, *command.memory);
    }
    copies_.erase(found);
  }
}

void LunSim::answered(uint64_t tag, const Pending& command, const FakeResult& result) {
  if (command.id != 0) model_.answer(command.id, clock_);
  using enum FakeResult::How;
  const bool may_reset = life_.knows(Fault::kResetRing) || life_.knows(Fault::kCrash);
  EXPECT_TRUE(result.how != kReset || may_reset);
  counts_.expired += result.how == kExpired;
  if (result.how != kAnswered) return;
  check_sense(command, result);
  if (result.status != 0x00) return;
  check_order(tag, command);
  if (command.status) return check_status(command, result.data_in);
  for (const BlockRun& run : command.runs) {
    EXPECT_LE(run.first + run.count, command.size_max) << "GOOD beyond the image's end";
  }
  const bool reads = command.id == 0 && !command.shown && !command.runs.empty();
  if (reads) {
    ASSERT_EQ(result.data_in.size(), command.newest.size() * kBlockBytes);
  }
  good(command, result.data_in);
}

void LunSim::check_sense(const Pending& command, const FakeResult& result) const {
  if (result.status == 0x00 || result.status == 0x08) return;
  EXPECT_EQ(int{result.status}, 0x02);
  const int code = result.sense[2] << 16 | result.sense[12] << 8 | result.sense[13];
  const bool miscompare = code >> 16 == 0x0e && command.shown;
  const bool error = code >> 16 == 0x03 && life_.knows(Fault::kErrors);
  const bool full = code == 0x072707 && life_.knows(Fault::kFull);
  const bool resized = (code == 0x052100 || code == 0x062a09) && life_.knows(Fault::kResize);
  const bool demoted = code == 0x072700 && life_.knows(Fault::kDemoted);
  EXPECT_TRUE(miscompare || error || full || resized || demoted) << "sense " << std::hex << code;
}

// Overlapping commands are served in order of arrival, and a flush is GOOD only if no earlier write
// can still be lost.
void LunSim::check_order(uint64_t tag, const Pending& command) const {
  // How far that one reached depends on the device's size then.
  if (command.status && life_.knows(Fault::kResize)) return;
  for (const auto& [earlier, other] : open_) {
    if (earlier > tag) return;
    if (command.runs.empty()) {
      EXPECT_EQ(other.id, 0u) << "SYNCHRONIZE CACHE is GOOD before write " << other.id
                              << ", queued before it, was answered; now " << clock_;
      continue;
    }
    if (command.id == 0 && other.id == 0) continue;
    if (other.status) continue;  // Its result may be older than a later change.
    for (const BlockRun& run : command.runs) {
      for (const BlockRun& before : other.runs) {
        EXPECT_FALSE(overlap(run, before))
            << "command " << tag << " of block " << run.first << " has passed an overlapping one, "
            << earlier << "; now " << clock_;
      }
    }
  }
}

void LunSim::good(const Pending& command, const std::vector<uint8_t>& data_in) {
  size_t at = 0;
  for (const BlockRun& run : command.runs) {
    if (command.id != 0) model_.acknowledge(command.id, run);
    for (uint32_t i = 0; i < run.count && at < command.newest.size(); ++i, ++at) {
      uint32_t seen = 0;
      if (command.shown) {
        seen = *command.shown;
      } else {
        std::memcpy(&seen, &data_in[at * kBlockBytes], sizeof seen);
      }
      check_look(model_.look(run.first + i, seen, command.newest[at]));
    }
  }
}

// A block that is reported as deallocated reads as zeroes.
void LunSim::check_status(const Pending& command, const std::vector<uint8_t>& data) const {
  const uint32_t first = command.runs.front().first;
  uint32_t block = first;
  for (size_t at = 8; at < data.size(); at += 16) {
    ASSERT_EQ(uint32_t{data[at + 7]}, block) << "a descriptor does not follow the one before";
    for (uint32_t i = 0; i < data[at + 11]; ++i, ++block) {
      ASSERT_LT(block, kBlocks);
      if (data[at + 12] == 1) check_look(model_.look(block, 0, command.newest[block - first]));
    }
  }
  EXPECT_TRUE(block == kBlocks || life_.knows(Fault::kResize)) << block;
}

// An abort is answered at once, in any state of the cluster.
void LunSim::check_aborted() {
  if (device_->broken_reason().empty() && kernel_.waiting_tmrs() == 0) {
    for (const uint64_t tag : aborted_)
      EXPECT_FALSE(open_.contains(tag)) << "command " << tag << " was aborted and is still open";
  }
  aborted_.clear();
}

// And every command in time, if the daemon was running.
void LunSim::check_overdue() {
  if (!device_->broken_reason().empty()) return;
  Duration limit = life_.kernel_deadline - device_->away_limit();
  // To wait for the image's own limits is no fault.
  if (life_.deadline != Duration{} && !life_.knows(Fault::kLimits))
    limit = std::min(limit, life_.deadline);
  limit += 3 * Device::kTick;
  for (const auto& [tag, command] : open_) {
    const TimePoint since = std::max(command.since, awake_since_);
    if (now_ - since <= limit) continue;
    EXPECT_TRUE(kernel_.waits(tag)) << "command " << tag << " is open beyond its deadline";
  }
}

}  // namespace tcmurbd::testing
