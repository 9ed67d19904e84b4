// SPDX-License-Identifier: Apache-2.0
// The path of a command does not allocate in the steady state, and a batch costs one doorbell.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <new>
#include <vector>

#include "rbd_handler/device/device.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/taken_effects.h"

namespace {

bool counting = false;  // One thread: the device's own.
size_t allocations = 0;

}  // namespace

// The array forms end here too; the aligned ones are not used by anything that counts. All that the
// deletes below may get must come from here: a sanitizer has an operator new of its own for each
// form that is not replaced.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  allocations += counting ? 1 : 0;
  return std::malloc(bytes);
}
void* operator new(size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tcmurbd {
namespace {

using testing::FakeCommand;
using testing::FakeKernel;

constexpr uint64_t kBlocks = 1 << 20;
constexpr uint32_t kDepth = 32;

// Keeps only the tokens of its ops.
class NumbImage final : public Image {
 public:
  void submit(const ImageOp&, OpToken token) override { tokens_[count_++] = token; }
  void give_up(OpToken) override {}
  OpDone finish() { return {.token = tokens_[--count_]}; }
  uint32_t pending() const { return count_; }

 private:
  std::array<OpToken, kImageOpsMax> tokens_{};
  uint32_t count_ = 0;
};

class Load {
 public:
  Load()
      : device_(ring::Ring::attach(kernel_.map()).value(), image_,
                scsi::DiskFacts{.block_size = 512, .blocks = kBlocks}) {}

  // `kDepth` commands of every common kind at once, newest completed first. True: it took one
  // doorbell.
  bool round() {
    for (uint32_t i = 0; i < kDepth; ++i) kernel_.queue(command(i));
    counting = true;
    device_.on_ring(now_);
    take_lock();
    while (image_.pending() != 0) device_.on_done(image_.finish(), now_);
    const bool doorbell = device_.publish();
    const bool another = device_.publish();
    counting = false;
    if (doorbell) kernel_.doorbell();
    EXPECT_FALSE(another);
    EXPECT_EQ(device_.tasks(), 0U);
    now_ += std::chrono::milliseconds(1);
    return doorbell;
  }

 private:
  // Each at a place of its own, so that none waits for another.
  FakeCommand command(uint32_t index) {
    const uint8_t high = static_cast<uint8_t>(index);
    switch (index % 4) {
      case 0:
        return {.cdb = {0x28, 0, 0, high, 0, 0, 0, 0, 8, 0}, .data_in_bytes = 4096};
      case 1:
        return {.cdb = {0x2a, 0, 0, high, 0, 0, 0, 0, 8, 0},
                .data_out = std::vector<uint8_t>(4096, 1)};
      case 2:
        return {.cdb = {0x88, 0, 0, 0, 0, 0, 0, high, 0, 0, 0, 0, 0, 16, 0, 0},
                .data_in_bytes = 8192};
      default:
        return {.cdb = {0, 0, 0, 0, 0, 0}};
    }
  }
  void take_lock() {
    while (effects_.take_action(device_) == lock::Action::kAcquire)
      device_.on_lock_event(lock::Outcome::kAcquired, now_);
  }

  FakeKernel kernel_;
  NumbImage image_;
  TimePoint now_{std::chrono::hours(1)};
  Device device_;
  testing::TakenEffects effects_;
};

TEST(DeviceAllocation, NoneInTheSteadyState) {
  Load load;
  load.round();
  EXPECT_GT(allocations, 0U) << "nothing was counted";
  for (int i = 0; i < 8; ++i) load.round();
  allocations = 0;
  for (int i = 0; i < 1000; ++i) load.round();
  EXPECT_EQ(allocations, 0U);
}

TEST(DeviceAllocation, OneDoorbellForABatch) {
  Load load;
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(load.round());
}

}  // namespace
}  // namespace tcmurbd
