// SPDX-License-Identifier: Apache-2.0
// A long random life of a ring: all actions of the kernel, completions in every order, checked
// against the requests. The seed is printed; TCMU_RBD_SEED repeats a run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <random>

#include "rbd_handler/ring/ring.h"
#include "tests/support/fake_kernel.h"

namespace tcmurbd::ring {
namespace {

using tcmurbd::testing::FakeCommand;
using tcmurbd::testing::FakeKernel;
using tcmurbd::testing::FakeResult;

constexpr int kSteps = 100'000;

uint64_t seed() {
  const char* given = std::getenv("TCMU_RBD_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

class RandomLife {
 public:
  RandomLife(uint64_t seed_value, const FakeKernel::Options& options)
      : random_(seed_value), kernel_(options) {
    attach();
  }

  void run() {
    for (step_ = 0; step_ < kSteps && !::testing::Test::HasFatalFailure(); ++step_) step();
    // Including unknown entries, TMRs and kept buffers.
    for (int i = 0; i < 1000 && (!commands_.empty() || held() != 0); ++i) {
      take(100);
      while (!open_.empty()) complete_one();
      publish();
      while (!kept_.empty()) free_one();
    }
    EXPECT_TRUE(commands_.empty());
    EXPECT_EQ(held(), 0);
    EXPECT_TRUE(kernel_.violations().empty());
  }

 private:
  // The request, and the result that the initiator must get.
  struct Asked {
    FakeCommand request;
    bool expired = false;
    bool aborted = false;
    bool answered = false;
    uint8_t status = 0;
    std::vector<uint8_t> data_in;
  };
  struct Open {
    uint64_t tag;
    std::vector<iovec> iov;
  };

  size_t held() const { return kernel_.on_ring() + kernel_.waiting() + kernel_.kept(); }

  uint64_t below(uint64_t limit) { return random_() % limit; }

  void attach() {
    auto ring = Ring::attach(kernel_.map());
    ASSERT_TRUE(ring.has_value());
    ring_.emplace(std::move(*ring));
  }

  void step() {
    const uint64_t action = below(1000);
    if (action < 350) return queue();
    if (action < 600) return take(1 + below(4));
    if (action < 850) return complete_one();
    if (action < 930) return publish();
    if (action < 950) return free_one();
    if (action < 970) return abort_one();
    if (action < 975) return lun_reset();
    if (action < 985) return notify_any();
    if (action < 995) return unknown();
    if (action < 999) return expire_one();
    if (below(5) == 0) reset();
  }

  static std::vector<uint8_t> pattern(uint64_t tag, size_t bytes) {
    std::vector<uint8_t> data(bytes);
    // Never kStaleByte or kFreedByte (a5h, ddh): below 80h.
    for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<uint8_t>((tag * 31 + i) & 0x7f);
    return data;
  }

  void queue() {
    if (commands_.size() > 60) return;
    const uint64_t tag = last_tag_ + 1;
    FakeCommand request;
    request.scattered = below(2) == 0;
    if (below(3) == 0) request.data_out = pattern(tag, below(1500));
    if (request.data_out.empty()) request.data_in_bytes = static_cast<uint32_t>(below(1500));
    // A vendor's opcode takes the entry's 16 bytes; its tag is within.
    request.cdb.assign(below(2) == 0 ? 16 : 32, 0);
    request.cdb[0] = request.cdb.size() == 16 ? 0xc0 : 0x7f;
    if (request.cdb.size() == 32) request.cdb[7] = 24;
    std::memcpy(&request.cdb[8], &tag, sizeof(tag));
    last_tag_ = kernel_.queue(request);
    ASSERT_EQ(last_tag_, tag);
    commands_[tag].request = std::move(request);
  }

  void take(uint64_t count) {
    while (count-- > 0) {
      const bool has = ring_->has_entries();
      const Next found = ring_->next(command_, tmr_);
      ASSERT_EQ(ring_->broken_reason(), "") << "step " << step_;
      if (found == Next::kNone) return;
      ASSERT_TRUE(has);
      if (found == Next::kTmr) {
        check_tmr();
      } else {
        ASSERT_EQ(found, Next::kCommand) << "step " << step_;
        check_command();
      }
    }
  }

  void check_command() {
    uint64_t tag = 0;
    std::memcpy(&tag, &command_.cdb[8], sizeof(tag));
    ASSERT_TRUE(commands_.contains(tag)) << "step " << step_;
    ASSERT_EQ(tag, kernel_.cmd_id(tag) ? tag : 0);
    ASSERT_EQ(command_.cmd_id, *kernel_.cmd_id(tag));
    const FakeCommand& request = commands_[tag].request;
    ASSERT_TRUE(std::ranges::equal(command_.cdb_bytes(), request.cdb));
    ASSERT_EQ(command_.data_length, request.data_out.size() + request.data_in_bytes);
    ASSERT_EQ(iov_bytes(command_.iov), command_.data_length);
    std::vector<uint8_t> data(request.data_out.size());
    copy_from_iov(command_.iov, 0, data);
    ASSERT_EQ(data, request.data_out);
    ASSERT_TRUE(open_.emplace(command_.cmd_id, Open{tag, command_.iov}).second)
        << "id " << command_.cmd_id << " twice, step " << step_;
    ASSERT_GT(tag, newest_);  // Commands come in the order in which they were queued.
    newest_ = tag;
  }

  void check_tmr() {
    ASSERT_FALSE(tmrs_.empty());
    ASSERT_EQ(tmr_.type, tmrs_.front().first);
    ASSERT_EQ(tmr_.cmd_ids, tmrs_.front().second) << "step " << step_;
    tmrs_.pop_front();
  }

  void complete_one() {
    if (open_.empty()) return;
    auto it = std::next(open_.begin(), static_cast<ptrdiff_t>(below(open_.size())));
    const auto [id, open] = *it;
    open_.erase(it);
    Asked& asked = commands_.at(open.tag);
    const uint32_t bytes = asked.request.data_in_bytes;
    const std::vector<uint8_t> data = pattern(open.tag + 1, bytes);
    if (bytes != 0) copy_to_iov(open.iov, 0, data);
    Response response{.cmd_id = id};
    constexpr uint8_t kStatuses[] = {0x00, 0x00, 0x08, 0x28, 0x40};
    response.scsi_status = kStatuses[below(5)];
    if (bytes > 1 && below(2) == 0) response.read_length = 1 + static_cast<uint32_t>(below(bytes));
    response.keep_buffer = below(10) == 0;
    ring_->complete(response);
    asked.answered = true;
    asked.status = response.scsi_status;
    asked.data_in.assign(data.begin(),
                         data.begin() + (response.read_length ? response.read_length : bytes));
    if (response.keep_buffer) keeping_.push_back(id);
    completed_.push_back(open.tag);
    if (below(4) == 0) publish();
  }

  void publish() {
    const bool moved = ring_->publish();
    ASSERT_TRUE(moved || completed_.empty());
    ASSERT_EQ(ring_->broken_reason(), "");
    if (!moved && below(2) == 0) return;
    kernel_.doorbell();
    ASSERT_EQ(kernel_.broken_reason(), "") << "step " << step_;
    for (const uint64_t tag : completed_) check_result(tag);
    completed_.clear();
    kept_.insert(kept_.end(), keeping_.begin(), keeping_.end());
    keeping_.clear();
    ASSERT_TRUE(step_ % 64 != 0 || kernel_.violations().empty());
  }

  void check_result(uint64_t tag) {
    const Asked& asked = commands_.at(tag);
    const auto result = kernel_.take_result(tag);
    ASSERT_EQ(result.has_value(), !asked.expired);
    if (result && asked.aborted) {
      ASSERT_EQ(result->how, FakeResult::How::kAborted);
    } else if (result) {
      ASSERT_EQ(result->how, FakeResult::How::kAnswered);
      ASSERT_EQ(result->status, asked.status);
      ASSERT_EQ(result->data_in, asked.data_in) << "step " << step_;
    }
    commands_.erase(tag);
  }

  void free_one() {
    if (kept_.empty()) return;
    std::swap(kept_[below(kept_.size())], kept_.back());
    ASSERT_TRUE(kernel_.free_kept_buf(kept_.back()));
    kept_.pop_back();
  }

  // The kernel doesn't know yet that a command is completed while its doorbell is due, and lists
  // it.
  void abort_one() {
    if (commands_.empty()) return;
    const uint64_t tag = random_tag();
    Asked& asked = commands_.at(tag);
    const auto id = kernel_.cmd_id(tag);
    kernel_.abort(tag);
    const bool listed = id && !asked.aborted && !asked.expired;
    tmrs_.emplace_back(1, listed ? std::vector{*id} : std::vector<uint16_t>{});
    asked.aborted = asked.aborted || listed;
    if (!id) end_waiting(tag);
  }

  void lun_reset() {
    std::map<uint16_t, uint64_t> listed;
    std::vector<uint64_t> waiting;
    for (auto& [tag, asked] : commands_) {
      const auto id = kernel_.cmd_id(tag);
      if (!id) waiting.push_back(tag);
      if (!id || asked.aborted || asked.expired) continue;
      asked.aborted = true;
      listed[*id] = tag;
    }
    kernel_.lun_reset();
    std::vector<uint16_t> ids;
    for (const auto& entry : listed) ids.push_back(entry.first);
    tmrs_.emplace_back(5, std::move(ids));
    for (const uint64_t tag : waiting) end_waiting(tag);
  }

  void end_waiting(uint64_t tag) {
    const auto result = kernel_.take_result(tag);
    ASSERT_TRUE(result.has_value());
    ASSERT_EQ(result->how, FakeResult::How::kAborted);
    commands_.erase(tag);
  }

  void notify_any() {
    std::vector<uint16_t> ids(below(20));
    for (uint16_t& id : ids) id = static_cast<uint16_t>(random_());
    kernel_.notify(128, ids);
    tmrs_.emplace_back(128, std::move(ids));
  }

  void unknown() {
    kernel_.queue_unknown(3 + static_cast<uint32_t>(below(5)),
                          8 * (1 + static_cast<uint32_t>(below(20))));
  }

  void expire_one() {
    if (commands_.empty()) return;
    const uint64_t tag = random_tag();
    Asked& asked = commands_.at(tag);
    if (!kernel_.cmd_id(tag) || asked.expired) return;
    kernel_.expire(tag);
    asked.expired = true;
    ASSERT_EQ(kernel_.take_result(tag)->how, FakeResult::How::kExpired);
  }

  void reset() {
    kernel_.reset_ring();
    // Commands that waited for space are on the ring now or still wait; all others have ended.
    std::erase_if(commands_, [&](const auto& entry) {
      kernel_.take_result(entry.first);
      return !kernel_.cmd_id(entry.first) && !kernel_.waits(entry.first);
    });
    open_.clear();
    completed_.clear();
    keeping_.clear();
    kept_.clear();
    tmrs_.clear();
    attach();
  }

  uint64_t random_tag() {
    return std::next(commands_.begin(), static_cast<ptrdiff_t>(below(commands_.size())))->first;
  }

  std::mt19937_64 random_;
  FakeKernel kernel_;
  std::optional<Ring> ring_;
  CommandEntry command_;
  TmrEntry tmr_;
  int step_ = 0;
  uint64_t last_tag_ = 0;
  uint64_t newest_ = 0;                 // Highest tag read.
  std::map<uint64_t, Asked> commands_;  // Until their result was checked.
  std::map<uint16_t, Open> open_;       // Read, not completed.
  std::vector<uint64_t> completed_;     // Since the last doorbell.
  std::vector<uint16_t> keeping_;
  std::vector<uint16_t> kept_;
  std::deque<std::pair<uint8_t, std::vector<uint16_t>>> tmrs_;  // Not read yet.
};

class RingRandom : public ::testing::TestWithParam<uint32_t> {};

TEST_P(RingRandom, LongLife) {
  const uint64_t value = seed();
  SCOPED_TRACE("seed " + std::to_string(value));
  std::printf("seed %llu\n", static_cast<unsigned long long>(value));
  RandomLife(value, {.ring_bytes = GetParam(), .block_bytes = 256, .blocks = 96}).run();
}

// Sizes that are no multiple of an entry's: small ones wrap and fill at once, the large one holds
// all.
INSTANTIATE_TEST_SUITE_P(Sizes, RingRandom, ::testing::Values(584, 1000, 3968, 65408));

}  // namespace
}  // namespace tcmurbd::ring
