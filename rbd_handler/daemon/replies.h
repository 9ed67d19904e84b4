// SPDX-License-Identifier: Apache-2.0
// The kernel's events that have no reply yet. A configfs writer sleeps uninterruptibly until its
// event is answered, so a process that ends answers all of them. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "rbd_handler/kernel/netlink_event.h"

namespace tcmurbd {

class Replies {
 public:
  using Send = std::function<void(const kernel::DeviceEvent& event, int status)>;
  // Sends the reply, once; later calls have no effect.
  using Reply = std::function<void(int status)>;

  explicit Replies(Send send) : send_(std::move(send)) {}

  // It must not outlive this.
  Reply expect(const kernel::DeviceEvent& event) {
    const uint64_t number = ++last_;
    waiting_.emplace(number, event);
    return [this, number](int status) {
      if (const auto node = waiting_.extract(number)) send_(node.mapped(), status);
    };
  }

  void answer_all(int status) {
    for (const auto& [number, event] : std::exchange(waiting_, {})) send_(event, status);
  }

  bool empty() const { return waiting_.empty(); }

 private:
  const Send send_;
  uint64_t last_ = 0;
  std::map<uint64_t, kernel::DeviceEvent> waiting_;
};

}  // namespace tcmurbd
