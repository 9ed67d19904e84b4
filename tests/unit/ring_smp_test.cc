// SPDX-License-Identifier: Apache-2.0
// The ring between two processors: the kernel's side runs on one thread, the daemon's on another,
// without a lock between them, as in life. What one side reads must be what the other one wrote
// before it moved head or tail: TSan finds a missing acquire or release, and the patterns find what
// a processor reorders. RING_SEED and RING_COMMANDS repeat and prolong it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "rbd_handler/ring/ring.h"
#include "tests/support/fake_kernel.h"

namespace tcmurbd::ring {
namespace {

using testing::FakeCommand;
using testing::FakeKernel;
using testing::FakeResult;
using ::testing::IsEmpty;

constexpr uint8_t kRead = 0x88;   // READ(16)
constexpr uint8_t kWrite = 0x8a;  // WRITE(16)
constexpr uint8_t kCheckCondition = 0x02;
constexpr size_t kOpenMax = 48;

uint32_t number(const char* name, uint32_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : static_cast<uint32_t>(std::strtoul(value, nullptr, 10));
}

// The byte at `position` of the data of a command.
uint8_t pattern(uint64_t tag, uint64_t position) {
  return static_cast<uint8_t>(tag * 31 + position * 7 + position / 251);
}

bool fails(uint64_t tag) { return tag % 5 == 0; }

// What the daemon asks of the kernel by a system call.
class KeptBuffers {
 public:
  void free(uint16_t id) {
    const std::lock_guard lock(mutex_);
    ids_.push_back(id);
  }
  std::vector<uint16_t> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(ids_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<uint16_t> ids_;
};

class Kernel {
 public:
  Kernel(FakeKernel& kernel, KeptBuffers& frees, std::atomic<uint64_t>& doorbells, uint32_t seed)
      : kernel_(kernel), frees_(frees), doorbells_(doorbells), random_(seed) {}

  void run(uint32_t commands) {
    while (last_tag_ < commands || !open_.empty() || kernel_.kept() != 0 ||
           kernel_.on_ring() != 0) {
      if (::testing::Test::HasFailure()) break;
      if (last_tag_ < commands && open_.size() < kOpenMax && random_() % 2 == 0) {
        queue();
        disturb();
      } else {
        doorbell();
      }
    }
  }
  uint32_t answered() const { return answered_; }

 private:
  void queue() {
    const uint64_t tag = ++last_tag_;
    const uint32_t length = 512 * (1 + random_() % 24);
    FakeCommand command{.cdb = std::vector<uint8_t>(16), .scattered = random_() % 2 == 0};
    const bool write = random_() % 2 == 0;
    command.cdb[0] = write ? kWrite : kRead;
    std::memcpy(&command.cdb[2], &tag, sizeof(tag));
    if (write) {
      command.data_out.resize(length);
      for (uint32_t i = 0; i < length; ++i) command.data_out[i] = pattern(tag, i);
    } else {
      command.data_in_bytes = length;
    }
    open_[tag] = write ? 0 : length;
    EXPECT_EQ(kernel_.queue(std::move(command)), tag);
  }
  void disturb() {
    const uint32_t choice = random_() % 128;
    if (choice < 8) kernel_.abort(any_open());
    if (choice == 8) kernel_.lun_reset();
    if (choice > 8 && choice < 12) expire(any_open());
    take_results();
  }
  uint64_t any_open() {
    auto place = open_.begin();
    std::advance(place, random_() % open_.size());
    return place->first;
  }
  void expire(uint64_t tag) {
    if (kernel_.cmd_id(tag)) kernel_.expire(tag);
  }
  void doorbell() {
    const std::vector<uint16_t> frees = frees_.take();
    kernel_.doorbell();
    ++doorbells_;
    for (const uint16_t id : frees) EXPECT_TRUE(kernel_.free_kept_buf(id)) << id;
    EXPECT_EQ(kernel_.broken_reason(), "");
    take_results();
  }
  void take_results() {
    for (const auto& [tag, result] : kernel_.take_results()) {
      const auto command = open_.extract(tag);
      ASSERT_FALSE(command.empty()) << "a second result of " << tag;
      if (result.how == FakeResult::How::kAnswered) check(tag, command.mapped(), result);
    }
  }
  void check(uint64_t tag, uint32_t read_length, const FakeResult& result) {
    ++answered_;
    if (fails(tag)) {
      EXPECT_EQ(result.status, kCheckCondition);
      EXPECT_EQ(result.sense[0], pattern(tag, 0));
      EXPECT_EQ(result.sense[95], pattern(tag, 95));
      return;
    }
    EXPECT_EQ(result.status, 0);
    ASSERT_EQ(result.data_in.size(), read_length);
    for (uint32_t i = 0; i < read_length; ++i)
      ASSERT_EQ(result.data_in[i], pattern(tag, i)) << "read " << tag << ", byte " << i;
  }

  FakeKernel& kernel_;
  KeptBuffers& frees_;
  std::atomic<uint64_t>& doorbells_;
  std::mt19937 random_;
  uint64_t last_tag_ = 0;
  std::map<uint64_t, uint32_t> open_;  // The length of its read, by tag.
  uint32_t answered_ = 0;
};

class Daemon {
 public:
  Daemon(Ring ring, KeptBuffers& frees, const std::atomic<uint64_t>& doorbells, uint32_t seed)
      : ring_(std::move(ring)), frees_(frees), doorbells_(doorbells), random_(seed) {}

  void run(const std::atomic<bool>& stop) {
    while (!stop) {
      take();
      while (!open_.empty() && random_() % 4 != 0) complete();
      if (random_() % 2 == 0) ring_.publish();
      free_kept();
    }
  }
  size_t tmrs() const { return tmrs_; }
  size_t kept() const { return kept_ever_; }

 private:
  struct Open {
    uint16_t id = 0;
    uint64_t tag = 0;
    bool read = false;
    std::vector<iovec> iov;
    uint64_t doorbells = 0;  // When it was completed with KEEP_BUF.
  };

  void take() {
    for (;;) {
      const Next next = ring_.next(command_, tmr_);
      if (next == Next::kTmr) {
        ++tmrs_;
        continue;
      }
      if (next == Next::kNone) break;
      ASSERT_EQ(next, Next::kCommand) << ring_.broken_reason();
      Open open{.id = command_.cmd_id, .read = command_.cdb[0] == kRead, .iov = command_.iov};
      std::memcpy(&open.tag, &command_.cdb[2], sizeof(open.tag));
      if (!open.read) check_data(open);
      open_.push_back(std::move(open));
    }
  }
  static void check_data(const Open& open) {
    uint64_t position = 0;
    for (const iovec& part : open.iov) {
      const auto* bytes = static_cast<const uint8_t*>(part.iov_base);
      for (size_t i = 0; i < part.iov_len; ++i, ++position)
        ASSERT_EQ(bytes[i], pattern(open.tag, position)) << "write " << open.tag;
    }
  }
  static void fill(const Open& open) {
    uint64_t position = 0;
    for (const iovec& part : open.iov) {
      auto* bytes = static_cast<uint8_t*>(part.iov_base);
      for (size_t i = 0; i < part.iov_len; ++i) bytes[i] = pattern(open.tag, position++);
    }
  }
  void complete() {
    std::swap(open_[random_() % open_.size()], open_.back());
    Open open = std::move(open_.back());
    open_.pop_back();
    if (open.read) fill(open);
    std::array<uint8_t, 96> sense{};
    for (size_t i = 0; i < sense.size(); ++i) sense[i] = pattern(open.tag, i);
    Response response{.cmd_id = open.id, .keep_buffer = open.read && random_() % 8 == 0};
    if (fails(open.tag)) {
      response.scsi_status = kCheckCondition;
      response.sense = sense;
    }
    ring_.complete(response);
    if (!response.keep_buffer) return;
    ++kept_ever_;
    ring_.publish();
    open.doorbells = doorbells_;
    kept_.push_back(std::move(open));
  }
  // The kernel has taken the completion, and leaves the buffer alone: an op may still write to it.
  void free_kept() {
    std::erase_if(kept_, [this](const Open& open) {
      if (doorbells_ < open.doorbells + 2) return false;
      fill(open);
      frees_.free(open.id);
      return true;
    });
  }

  Ring ring_;
  KeptBuffers& frees_;
  const std::atomic<uint64_t>& doorbells_;
  std::mt19937 random_;
  CommandEntry command_;
  TmrEntry tmr_;
  std::vector<Open> open_;
  std::vector<Open> kept_;
  size_t tmrs_ = 0;
  size_t kept_ever_ = 0;
};

TEST(RingSmp, EachSideSeesWhatTheOtherOneWrote) {
  const uint32_t seed = number("RING_SEED", std::random_device{}());
  const uint32_t commands = number("RING_COMMANDS", 8000);
  SCOPED_TRACE("RING_SEED=" + std::to_string(seed));
  FakeKernel fake({.ring_bytes = 8192 - 128, .block_bytes = 1024, .blocks = 384});
  auto ring = Ring::attach(fake.map());
  ASSERT_TRUE(ring) << ring.error();
  KeptBuffers frees;
  std::atomic<uint64_t> doorbells{0};
  std::atomic<bool> stop{false};
  Kernel kernel(fake, frees, doorbells, seed);
  Daemon daemon(std::move(*ring), frees, doorbells, seed + 1);
  std::thread thread([&] { daemon.run(stop); });
  kernel.run(commands);
  stop = true;
  thread.join();
  EXPECT_THAT(fake.violations(), IsEmpty());
  EXPECT_GT(kernel.answered(), commands / 2);
  EXPECT_GT(daemon.tmrs(), 0U);
  EXPECT_GT(daemon.kept(), 0U);
}

}  // namespace
}  // namespace tcmurbd::ring
