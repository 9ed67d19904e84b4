// SPDX-License-Identifier: Apache-2.0
// The environment of a Device except for the kernel, controlled by a fuzzer's input: the image's
// ops end in any order, late, with any result; the lock's jobs succeed or fail; peers request the
// lock; time passes.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "rbd_handler/device/device.h"
#include "tests/fuzz/copy_driver.h"
#include "tests/fuzz/input.h"
#include "tests/support/fake_image.h"
#include "tests/support/taken_effects.h"

namespace tcmurbd::fuzz {

class LunDriver {
 public:
  static constexpr uint32_t kBlockBytes = 512;
  static constexpr uint64_t kBlocks = 96;  // At most; see resize.

  // `kernel` is called after each event: publishes the device's completions.
  LunDriver(ring::Ring ring, const DeviceSettings& settings, std::function<void()> kernel);

  Device& device() { return device_; }
  // Ids of kept buffers to free.
  std::vector<FreeKeptBuffer> freed() { return effects_.take<FreeKeptBuffer>(device_); }
  TimePoint now() const { return now_; }
  const testing::FakeImage& image() const { return instances_.back().image; }

  // One event, selected by the input.
  void event(Input& input);
  void ring();
  // Lets everything succeed until the device is idle; aborts if it never is.
  void settle();

 private:
  // A client instance. Ops of one that was given up are refused: its fence is in the map.
  struct Instance {
    testing::FakeImage image;
    bool fenced = false;
  };

  void finish_op(Input& input);
  void end_job(bool good, bool lost);
  void reopen();
  void fetch_facts();
  void pass_time(Duration step);
  void after_event();

  std::function<void()> kernel_;
  std::deque<Instance> instances_;
  lock::Action job_ = lock::Action::kNone;
  TimePoint now_{std::chrono::hours(1)};
  bool facts_wanted_ = false;
  uint64_t last_request_ = 0;
  size_t peers_waiting_ = 0;
  Device device_;
  testing::TakenEffects effects_;
  CopyDriver copies_{device_, effects_};
};

}  // namespace tcmurbd::fuzz
