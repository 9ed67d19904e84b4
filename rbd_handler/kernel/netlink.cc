// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/netlink.h"

#include <fmt/format.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>

#include "common/check.h"
#include "common/log.h"
#include "rbd_handler/kernel/netlink_layout.h"
#include "rbd_handler/messages/daemon.h"

namespace tcmurbd::kernel {
namespace {

// An event that does not fit is dropped, and its writer waits until it is released. At the start of
// a gateway some hundred devices are announced at once; each message is below 1 KiB and is charged
// with about 2 KiB: room for a thousand.
constexpr int kReceiveBytes = 2 * 1024 * 1024;

struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

std::unexpected<std::string> failed(std::string_view what, int nl_error) {
  return std::unexpected(fmt::format("netlink: {}: {}", what, nl_geterror(nl_error)));
}

Log& netlink_log() {
  static Log log("netlink");
  return log;
}

// The result of one message, passed through libnl's callback.
struct Reader {
  const std::function<void(const DeviceEvent&)>& on_event;
  int family;
  // Thrown by on_event; must not propagate through libnl's C frames.
  std::exception_ptr thrown;
};

void take_message(const Reader& reader, nl_msg* message) {
  const nlmsghdr* header = nlmsg_hdr(message);
  // Only the kernel's own messages: their sender is port 0.
  if (nlmsg_get_src(message)->nl_pid != 0 || header->nlmsg_type != reader.family) {
    netlink_log().write<messages::kNetlinkForeign>(header->nlmsg_type,
                                                   nlmsg_get_src(message)->nl_pid);
    return;
  }
  const auto event = decode_event({reinterpret_cast<const uint8_t*>(header), header->nlmsg_len});
  if (event) {
    reader.on_event(*event);
  } else {
    netlink_log().write<messages::kNetlinkEvent>(event.error());
  }
}

int on_message(nl_msg* message, void* argument) {
  auto& reader = *static_cast<Reader*>(argument);
  try {
    take_message(reader, message);
  } catch (...) {
    reader.thrown = std::current_exception();
    return NL_STOP;
  }
  return NL_OK;
}

uint8_t done_command(DeviceEvent::Kind kind) {
  switch (kind) {
    case DeviceEvent::Kind::kAdded:
      return kCmdAddedDone;
    case DeviceEvent::Kind::kRemoved:
      return kCmdRemovedDone;
    case DeviceEvent::Kind::kReconfigured:
      break;
  }
  return kCmdReconfiguredDone;
}

// Empty on lack of memory.
Message make_request(int family, uint8_t command) {
  Message message(nlmsg_alloc());
  if (message == nullptr || genlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, 0,
                                        command, kFamilyVersion) == nullptr) {
    return {};
  }
  return message;
}

// Waits for the acknowledgement, which the kernel queues before its send returns.
int send(nl_sock* socket, Message message) {
  return nl_send_sync(socket, message.release());  // Frees it in every case.
}

}  // namespace

void NetlinkChannel::Close::operator()(nl_sock* socket) const { nl_socket_free(socket); }

std::expected<NetlinkChannel, std::string> NetlinkChannel::open() {
  Socket events(nl_socket_alloc());
  Socket commands(nl_socket_alloc());
  if (events == nullptr || commands == nullptr) return failed("sockets", -NLE_NOMEM);
  if (const int error = genl_connect(commands.get()); error < 0) return failed("connect", error);
  if (const int error = genl_connect(events.get()); error < 0) return failed("connect", error);

  const int family = genl_ctrl_resolve(commands.get(), kFamilyName);
  if (family < 0) {
    return std::unexpected(fmt::format("netlink: no family {} ({}): modprobe target_core_user",
                                       kFamilyName, nl_geterror(family)));
  }
  const int group = genl_ctrl_resolve_grp(commands.get(), kFamilyName, kGroupName);
  if (group < 0) return failed("no group config", group);

  const int fd = nl_socket_get_fd(events.get());
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof(kReceiveBytes)) != 0) {
    netlink_log().write<messages::kNetlinkBuffer>(std::generic_category().message(errno));
  }
  // Events are not replies to requests, so they have no valid sequence numbers.
  nl_socket_disable_seq_check(events.get());
  if (const int error = nl_socket_set_nonblocking(events.get()); error < 0) {
    return failed("nonblocking", error);
  }
  if (const int error = nl_socket_add_membership(events.get(), group); error < 0) {
    return failed("joining the group config (CAP_NET_ADMIN?)", error);
  }
  return NetlinkChannel(std::move(events), std::move(commands), family);
}

std::expected<void, std::string> NetlinkChannel::request_replies(bool wanted) {
  Message message = make_request(family_, kCmdSetFeatures);
  if (message == nullptr || nla_put_u8(message.get(), kAttrKernelReply, wanted ? 1 : 0) < 0) {
    return failed("set features", -NLE_NOMEM);
  }
  if (const int error = send(commands_.get(), std::move(message)); error < 0) {
    return failed("set features", error);
  }
  return {};
}

int NetlinkChannel::fd() const { return nl_socket_get_fd(events_.get()); }

std::expected<NetlinkChannel::Read, std::string> NetlinkChannel::read_events(
    const std::function<void(const DeviceEvent&)>& on_event) {
  Reader reader{on_event, family_, nullptr};
  nl_socket_modify_cb(events_.get(), NL_CB_VALID, NL_CB_CUSTOM, on_message, &reader);
  Read result = Read::kDrained;
  // Each libnl call receives one datagram. Only errno distinguishes an empty socket from an
  // overrun: libnl has one code for "no memory" of both sides.
  while (true) {
    errno = 0;
    const int error = nl_recvmsgs_default(events_.get());
    if (reader.thrown) std::rethrow_exception(reader.thrown);
    if (error >= 0) continue;
    if (error == -NLE_AGAIN) return result;
    if (error == -NLE_NOMEM && errno == ENOBUFS) {
      result = Read::kOverrun;
      continue;
    }
    if (error == -NLE_MSG_TRUNC || error == -NLE_MSG_TOOSHORT) {
      netlink_log().write<messages::kNetlinkMessage>(nl_geterror(error));
      continue;
    }
    return failed("receive", error);
  }
}

std::expected<void, std::string> NetlinkChannel::reply(DeviceEvent::Kind kind, uint32_t device_id,
                                                       int status) {
  CHECK(status <= 0);
  Message message = make_request(family_, done_command(kind));
  if (message == nullptr || nla_put_s32(message.get(), kAttrStatus, status) < 0 ||
      nla_put_u32(message.get(), kAttrDeviceId, device_id) < 0) {
    return failed("reply", -NLE_NOMEM);
  }
  if (const int error = send(commands_.get(), std::move(message)); error < 0) {
    return failed(fmt::format("reply for device {}", device_id), error);
  }
  return {};
}

}  // namespace tcmurbd::kernel
