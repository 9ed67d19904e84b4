// SPDX-License-Identifier: Apache-2.0
// The channel over which the kernel announces TCMU devices and waits, uninterruptibly and for ever,
// for our answers. So: every event that read_events() hands out must be answered by one reply(),
// also when serving it failed.
//
// Thread: the control thread. No call waits for anything but the kernel's own acknowledgement.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "rbd_handler/kernel/netlink_event.h"

struct nl_sock;

namespace tcmurbd::kernel {

class NetlinkChannel {
 public:
  // Joins the group "config" of the family TCM-USER. Events from here on are not lost, unless
  // read_events says so; devices that were there before are found with scan_uio(). Needs
  // CAP_NET_ADMIN and the module.
  static std::expected<NetlinkChannel, std::string> open();

  // True: the kernel waits for a reply to each event of every device that is enabled from now on
  // (SET_FEATURES). Stays set after we are gone: the owner clears it on exit.
  std::expected<void, std::string> request_replies(bool wanted);

  // For the event loop: readable when there are events. Nonblocking.
  int fd() const;

  enum class Read : uint8_t {
    kDrained,
    // The kernel dropped events without telling their writers, who wait for our replies: release
    // them (release_netlink_waiters(): they get EINTR), then compare the devices with scan_uio().
    kOverrun,
  };
  // Hands out all events that are there, in order. Malformed messages, and those that don't come
  // from the kernel, are logged and left out. The error is the socket's: no events will come any
  // more. What `on_event` throws comes out of here.
  std::expected<Read, std::string> read_events(const std::function<void(const Event&)>& on_event);

  // Answers an event. `status`: 0, or a negative errno that the configfs writer gets. The kind must
  // be the event's own: the kernel hangs its waiter for good on another. Error: the kernel didn't
  // take it (nobody waits, or the device is gone); harmless, worth a log line.
  // REQUIRES: status <= 0.
  std::expected<void, std::string> reply(Event::Kind kind, uint32_t device_id, int status);

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  using Socket = std::unique_ptr<nl_sock, Close>;
  NetlinkChannel(Socket events, Socket commands, int family)
      : events_(std::move(events)), commands_(std::move(commands)), family_(family) {}

  Socket
      events_;  // The multicast group, nothing else: an acknowledgement never hides behind events.
  Socket commands_;  // Requests with their acknowledgements.
  int family_;
};

}  // namespace tcmurbd::kernel
