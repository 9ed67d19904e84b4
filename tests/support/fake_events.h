// SPDX-License-Identifier: Apache-2.0
// The kernel's events and the daemon's replies, for a daemon that runs on a thread of its own. The
// test sends and waits; the channel is what the daemon has.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "rbd_handler/kernel/netlink.h"

namespace tcmurbd::testing {

class FakeEvents : public std::enable_shared_from_this<FakeEvents> {
 public:
  using Read = std::expected<kernel::EventChannel::Read, std::string>;

  FakeEvents();

  // The daemon's end. Holds this.
  std::unique_ptr<kernel::EventChannel> channel();

  void send(kernel::DeviceEvent event);
  // The next read_events() calls `read` instead; it may throw.
  void fail(std::function<Read()> read);
  // The reply to the event of this device id, once it came, within half a minute. Replies are
  // taken.
  std::optional<int> reply_to(uint32_t device_id);
  // Whether the kernel waits for replies; no value: unknown.
  std::optional<bool> wants_replies() const;
  // Replies that nobody asked for or that came twice.
  size_t left_over() const;

 private:
  friend class FakeChannel;
  void wake() const;
  Read read(const std::function<void(const kernel::DeviceEvent&)>& on_event);

  UniqueFd event_;
  mutable std::mutex mutex_;  // Of all below.
  std::condition_variable replied_;
  std::deque<kernel::DeviceEvent> events_;
  std::function<Read()> failure_;
  std::multimap<uint32_t, int> replies_;  // By device id.
  std::optional<bool> wants_replies_;
};

}  // namespace tcmurbd::testing
