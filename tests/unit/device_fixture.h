// SPDX-License-Identifier: Apache-2.0
// A Device between a fake kernel and a fake image, with helpers for both sides.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>
#include <vector>

#include "rbd_handler/device/device.h"
#include "tests/support/fake_image.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/taken_effects.h"

namespace tcmurbd::testing {

using Bytes = std::vector<uint8_t>;

// Expected sense, fixed format, as literal bytes: key, code, qualifier.
struct Expected {
  uint8_t status = 0;
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
};

class DeviceFixture {
 public:
  explicit DeviceFixture(uint64_t blocks = 2048, FakeKernel::Options options = {},
                         const DeviceSettings& settings = {.name = "user_0/disk1"})
      : kernel(options),
        image(blocks * 512),
        device(ring::Ring::attach(kernel.map()).value(), image,
               scsi::DiskFacts{.block_size = 512, .blocks = blocks}, settings) {}

  // Lets the device read the ring, and the kernel take completions.
  void run() {
    while (device.on_ring(now)) {
    }
    ring();
  }
  void ring() {
    take_jobs();
    if (device.publish()) kernel.doorbell();
    for (const auto& [id] : effects.take<FreeKeptBuffer>(device))
      EXPECT_TRUE(kernel.free_kept_buf(id)) << id;
    std::ranges::copy(effects.take<Report>(device), std::back_inserter(reports));
    std::ranges::copy(effects.take<lock::PeerReply>(device), std::back_inserter(replies));
  }
  // Time advances in steps like those of a reactor.
  void wait(Duration duration) {
    for (const TimePoint end = now + duration; now < end;) {
      now += Device::kTick;
      device.on_time(now);
      ring();
    }
  }
  // Ends an image op and lets device and kernel continue.
  void finish(size_t index, int32_t result = 0) {
    device.on_done(image.finish(index, result), now);
    ring();
  }
  // The lock's actions succeed at once, unless the test runs them.
  void take_jobs() {
    for (;;) {
      const lock::Action taken = effects.take_action(device);
      if (taken == lock::Action::kNone) return;
      if (!play_jobs || taken == lock::Action::kFence || taken == lock::Action::kReopen) {
        EXPECT_EQ(action, lock::Action::kNone) << "two actions at a time";
        action = taken;
        return;
      }
      device.on_lock_event(
          taken == lock::Action::kAcquire ? lock::Outcome::kAcquired : lock::Outcome::kReleased,
          now);
    }
  }
  // The action that the test has to run.
  lock::Action take_action() { return std::exchange(action, lock::Action::kNone); }
  void finish_all() {
    while (!image.pending.empty()) finish(0);
  }
  // Queues a command and lets the device read it.
  uint64_t send(FakeCommand command) {
    const uint64_t tag = kernel.queue(std::move(command));
    run();
    return tag;
  }
  uint64_t write(uint32_t lba, Bytes data) {
    const auto blocks = static_cast<uint16_t>(data.size() / 512);
    return send({.cdb = cdb10(0x2a, lba, blocks), .data_out = std::move(data)});
  }
  uint64_t read(uint32_t lba, uint16_t blocks) {
    return send({.cdb = cdb10(0x28, lba, blocks), .data_in_bytes = blocks * 512u});
  }
  static Bytes cdb10(uint8_t opcode, uint32_t lba, uint16_t blocks) {
    return {opcode,
            0,
            static_cast<uint8_t>(lba >> 24),
            static_cast<uint8_t>(lba >> 16),
            static_cast<uint8_t>(lba >> 8),
            static_cast<uint8_t>(lba),
            0,
            static_cast<uint8_t>(blocks >> 8),
            static_cast<uint8_t>(blocks),
            0};
  }
  bool outstanding(uint64_t tag) { return kernel.cmd_id(tag).has_value(); }
  void expect(uint64_t tag, Expected expected) {
    const auto result = kernel.take_result(tag);
    ASSERT_TRUE(result) << "not answered";
    EXPECT_EQ(result->status, expected.status);
    EXPECT_EQ(result->sense[2] & 0x0f, expected.key);
    EXPECT_EQ(result->sense[12], expected.asc);
    EXPECT_EQ(result->sense[13], expected.ascq);
  }
  Bytes data_of(uint64_t tag) {
    const auto result = kernel.take_result(tag);
    EXPECT_TRUE(result && result->status == 0);
    return result ? result->data_in : Bytes{};
  }

  TimePoint now{std::chrono::hours(1)};
  bool play_jobs = true;  // Acquire and release succeed at once.
  lock::Action action = lock::Action::kNone;
  TakenEffects effects;
  std::vector<Report> reports;
  std::vector<lock::PeerReply> replies;
  FakeKernel kernel;
  FakeImage image;
  Device device;
};

}  // namespace tcmurbd::testing
