// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/lun_driver.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"

namespace tcmurbd::fuzz {
namespace {

constexpr int32_t kResults[] = {0,       0,       -EIO,   -ETIMEDOUT, -ESHUTDOWN, -EROFS,
                                -ERANGE, -ENOSPC, -EPERM, -ENOENT,    -EINVAL,    1};

scsi::TargetFacts facts() {
  scsi::TargetFacts facts;
  facts.unit_serial = "6a7e0c1f-4b6d";
  facts.groups.push_back({.id = 1,
                          .supported_states = 0xdf,
                          .relative_ports = {1, 2, 700},
                          .enabled_ports = {2},
                          .implicit_transition_seconds = 3});
  facts.groups.push_back({.id = 2, .access_state = 1, .relative_ports = {3}});
  return facts;
}

}  // namespace

LunDriver::LunDriver(ring::Ring ring, const DeviceSettings& settings, std::function<void()> kernel)
    : kernel_(std::move(kernel)),
      instances_(1, {.image = testing::FakeImage(kBlocks * kBlockBytes)}),
      device_(std::move(ring), instances_.back().image,
              scsi::DiskFacts{.block_size = kBlockBytes, .blocks = kBlocks, .object_bytes = 4096},
              settings) {
  instances_.back().image.lenient = true;
}

void LunDriver::event(Input& input) {
  switch (input.below(12)) {
    case 0:
    case 1:
      return ring();
    case 2:
    case 3:
      return finish_op(input);
    case 4:
      return end_job(input.below(4) != 0, input.flag());
    case 5:
      return fetch_facts();
    case 6:
      return pass_time(std::chrono::milliseconds(input.number<uint16_t>()));
    case 7:
      device_.on_peer_asks(++last_request_, now_);
      ++peers_waiting_;
      return after_event();
    case 8:
      device_.on_resized(input.below(kBlocks + 1) * uint64_t{kBlockBytes});
      return after_event();
    case 9:
      return pass_time(Device::kTick);
    case 10:
      copies_.begin_op(input, kBlocks, now_);
      return after_event();
    case 11:
      copies_.cancel(input, now_);
      return after_event();
    default:
      return;
  }
}

void LunDriver::ring() {
  // A bound: a wake-up takes so many entries, and no ring here holds more than a few times that.
  for (int turn = 0; device_.on_ring(now_) && turn < 16; ++turn) {
  }
  after_event();
}

void LunDriver::finish_op(Input& input) {
  std::vector<std::pair<Instance*, size_t>> pending;
  for (Instance& instance : instances_)
    for (size_t i = 0; i < instance.image.pending.size(); ++i) pending.emplace_back(&instance, i);
  if (pending.empty()) return;
  const auto [instance, index] = pending[input.below(static_cast<uint32_t>(pending.size()))];
  const int32_t result = instance->fenced ? -ESHUTDOWN : kResults[input.below(std::size(kResults))];
  OpDone done = instance->image.finish(index, std::min(result, 0));
  if (done.result == 0)
    done.result = std::max(result, 0);  // librbd returns the number of bytes read.
  device_.on_done(done, now_);
  after_event();
}

void LunDriver::end_job(bool good, bool lost) {
  switch (std::exchange(job_, lock::Action::kNone)) {
    case lock::Action::kNone:
      return;
    case lock::Action::kAcquire:
      device_.on_lock_event(good && lost ? lock::Outcome::kAcquiredFree
                            : good       ? lock::Outcome::kAcquired
                            : lost       ? lock::Outcome::kAcquireLost
                                         : lock::Outcome::kAcquireFailed,
                            now_);
      break;
    case lock::Action::kRelease:
      device_.on_lock_event(good ? lock::Outcome::kReleased : lock::Outcome::kReleaseFailed, now_);
      break;
    case lock::Action::kFence:
      instances_.back().fenced |= good;
      device_.on_lock_event(good ? lock::Outcome::kFenced : lock::Outcome::kFenceFailed, now_);
      break;
    case lock::Action::kReopen:
      if (good)
        reopen();
      else
        device_.on_lock_event(lock::Outcome::kReopenFailed, now_);
      break;
  }
  after_event();
}

void LunDriver::reopen() {
  // A lost instance was fenced by another gateway.
  instances_.back().fenced = true;
  Instance fresh{.image = testing::FakeImage(0)};
  fresh.image.content = instances_.back().image.content;
  fresh.image.lenient = true;
  instances_.push_back(std::move(fresh));
  device_.on_reopened(instances_.back().image, now_);
}

void LunDriver::fetch_facts() {
  if (!std::exchange(facts_wanted_, false)) return;
  device_.on_target_facts(facts(), now_);
  after_event();
}

void LunDriver::pass_time(Duration step) {
  now_ += step;
  device_.on_time(now_);
  after_event();
}

void LunDriver::after_event() {
  if (effects_.take_fetch(device_)) {
    CHECK(!facts_wanted_);
    facts_wanted_ = true;
  }
  copies_.run(now_);
  kernel_();
  if (const lock::Action job = effects_.take_action(device_); job != lock::Action::kNone) {
    CHECK(job_ == lock::Action::kNone || job_ == lock::Action::kRelease);  // That is superseded.
    job_ = job;
  }
  effects_.take<Report>(device_);
  const size_t replies = effects_.take<lock::PeerReply>(device_).size();
  CHECK(replies <= peers_waiting_);
  peers_waiting_ -= replies;
  for (const Instance& instance : instances_) CHECK(!instance.image.overlap_seen);
}

void LunDriver::settle() {
  constexpr uint8_t kGoodOp[] = {0, 0};
  // A failed fence or reopen is retried after seconds; the deadline is 15.
  ring();
  const auto settled = [this] { return device_.idle() && copies_.idle() && peers_waiting_ == 0; };
  for (int turn = 0; turn < 400 && !settled(); ++turn) {
    fetch_facts();
    end_job(true, false);
    for (Instance& instance : instances_) {
      while (!instance.image.pending.empty()) {
        Input input(kGoodOp);
        finish_op(input);
      }
    }
    for (uint32_t closed = 1; closed < device_.instance(); ++closed)
      device_.on_instance_closed(closed, now_);
    pass_time(std::chrono::milliseconds(250));
    ring();
  }
  CHECK(settled());
  CHECK(device_.detached() == 0);
  for (const Instance& instance : instances_) CHECK(instance.image.pending.empty());
}

}  // namespace tcmurbd::fuzz
