// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_events.h"

#include <sys/eventfd.h>

#include <chrono>
#include <utility>

#include "common/check.h"

namespace tcmurbd::testing {

using kernel::DeviceEvent;

class FakeChannel final : public kernel::EventChannel {
 public:
  explicit FakeChannel(std::shared_ptr<FakeEvents> events) : events_(std::move(events)) {}

  std::expected<void, std::string> request_replies(bool wanted) override {
    const std::lock_guard lock(events_->mutex_);
    events_->wants_replies_ = wanted;
    return {};
  }
  int fd() const override { return events_->event_.get(); }
  std::expected<Read, std::string> read_events(
      const std::function<void(const DeviceEvent&)>& on_event) override {
    return events_->read(on_event);
  }
  std::expected<void, std::string> reply(DeviceEvent::Kind, uint32_t device_id,
                                         int status) override {
    const std::lock_guard lock(events_->mutex_);
    events_->replies_.emplace(device_id, status);
    events_->replied_.notify_all();
    return {};
  }

 private:
  const std::shared_ptr<FakeEvents> events_;
};

FakeEvents::FakeEvents() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(event_.valid());
}

std::unique_ptr<kernel::EventChannel> FakeEvents::channel() {
  return std::make_unique<FakeChannel>(shared_from_this());
}

void FakeEvents::wake() const { CHECK(::eventfd_write(event_.get(), 1) == 0); }

void FakeEvents::send(DeviceEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  wake();
}

void FakeEvents::fail(std::function<Read()> read) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(read);
  wake();
}

FakeEvents::Read FakeEvents::read(const std::function<void(const DeviceEvent&)>& on_event) {
  eventfd_t count = 0;
  std::ignore = ::eventfd_read(event_.get(), &count);
  std::unique_lock lock(mutex_);
  const auto events = std::exchange(events_, {});
  const auto failure = std::exchange(failure_, nullptr);
  lock.unlock();  // They are answered from within.
  for (const DeviceEvent& event : events) on_event(event);
  return failure ? failure() : Read(kernel::EventChannel::Read::kDrained);
}

std::optional<int> FakeEvents::reply_to(uint32_t device_id) {
  std::unique_lock lock(mutex_);
  const bool came = replied_.wait_for(lock, std::chrono::seconds(30),
                                      [&] { return replies_.contains(device_id); });
  if (!came) return std::nullopt;
  return replies_.extract(replies_.find(device_id)).mapped();
}

std::optional<bool> FakeEvents::wants_replies() const {
  const std::lock_guard lock(mutex_);
  return wants_replies_;
}

size_t FakeEvents::left_over() const {
  const std::lock_guard lock(mutex_);
  return replies_.size();
}

}  // namespace tcmurbd::testing
