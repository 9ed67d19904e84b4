// SPDX-License-Identifier: Apache-2.0
// The channel over which the kernel announces TCMU devices. The kernel waits uninterruptibly and
// without a timeout for the replies. So every event returned by read_events() must be answered with
// one reply(), also if serving it failed.
//
// Thread: the control thread. Calls wait only for the kernel's acknowledgement.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "rbd_handler/kernel/netlink_event.h"

struct nl_sock;

namespace tcmurbd::kernel {

// The port between the daemon and the kernel's events. Tests implement it with a fake.
class EventChannel {
 public:
  virtual ~EventChannel() = default;

  // True: the kernel waits for a reply to each event of every device that is enabled from now on
  // (SET_FEATURES). Stays set after this process ends: the owner clears it on exit.
  virtual std::expected<void, std::string> request_replies(bool wanted) = 0;

  // For the event loop: readable when there are events. Nonblocking.
  virtual int fd() const = 0;

  enum class Read : uint8_t {
    kDrained,
    // The kernel dropped events whose writers wait for replies: fail them all
    // (release_netlink_waiters(): they get EINTR), then rescan the devices with scan_uio().
    kOverrun,
  };
  // Passes all pending events to `on_event`, in order. Malformed messages, and messages that are
  // not from the kernel, are logged and skipped. An error is one of the socket: no more events will
  // come. Exceptions of `on_event` are passed on.
  virtual std::expected<Read, std::string> read_events(
      const std::function<void(const DeviceEvent&)>& on_event) = 0;

  // Answers an event. `status`: 0, or a negative errno that the configfs writer gets. The kind must
  // be the event's own: with another kind, the kernel's waiter hangs forever. Error: the kernel
  // rejected it (no waiter, or the device was removed); harmless, but logged.
  // REQUIRES: status <= 0.
  virtual std::expected<void, std::string> reply(DeviceEvent::Kind kind, uint32_t device_id,
                                                 int status) = 0;
};

class NetlinkChannel final : public EventChannel {
 public:
  // Joins the group "config" of the family TCM-USER. From then on no event is lost unless
  // read_events reports it; find older devices with scan_uio(). Needs CAP_NET_ADMIN and the module.
  static std::expected<NetlinkChannel, std::string> open();

  std::expected<void, std::string> request_replies(bool wanted) override;
  int fd() const override;
  std::expected<Read, std::string> read_events(
      const std::function<void(const DeviceEvent&)>& on_event) override;
  std::expected<void, std::string> reply(DeviceEvent::Kind kind, uint32_t device_id,
                                         int status) override;

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  using Socket = std::unique_ptr<nl_sock, Close>;
  NetlinkChannel(Socket events, Socket commands, int family)
      : events_(std::move(events)), commands_(std::move(commands)), family_(family) {}

  Socket events_;    // Only the multicast group: acknowledgements never queue behind events.
  Socket commands_;  // Requests with their acknowledgements.
  int family_;
};

}  // namespace tcmurbd::kernel
