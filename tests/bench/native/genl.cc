// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/native/genl.h"

#include <linux/genetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "rbd_handler/kernel/netlink_layout.h"

namespace tcmurbd::bench {
namespace {

constexpr uint16_t kFamily = 0x1d;  // Any that is not the controller's.
constexpr uint32_t kGroup = 5;

class Message {
 public:
  Message(uint16_t type, uint16_t flags, const nlmsghdr& asked) {
    const nlmsghdr header{.nlmsg_len = 0,
                          .nlmsg_type = type,
                          .nlmsg_flags = flags,
                          .nlmsg_seq = asked.nlmsg_seq,
                          .nlmsg_pid = asked.nlmsg_pid};
    add(&header, sizeof header);
  }
  void add(const void* bytes, size_t count) {
    const auto* const from = static_cast<const uint8_t*>(bytes);
    bytes_.insert(bytes_.end(), from, from + count);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  void attribute(uint16_t type, const void* value, size_t count) {
    const nlattr header{.nla_len = static_cast<uint16_t>(sizeof(nlattr) + count), .nla_type = type};
    add(&header, sizeof header);
    add(value, count);
  }
  void number(uint16_t type, uint32_t value) { attribute(type, &value, sizeof value); }
  // An attribute that holds those that `fill` adds.
  template <typename Fn>
  void nest(uint16_t type, const Fn& fill) {
    const size_t at = bytes_.size();
    nlattr header{.nla_len = 0, .nla_type = type};
    add(&header, sizeof header);
    fill();
    header.nla_len = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &header, sizeof header);
  }
  void send(int fd) {
    const auto length = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &length, sizeof length);
    ::send(fd, bytes_.data(), bytes_.size(), MSG_NOSIGNAL);
  }

 private:
  std::vector<uint8_t> bytes_;
};

void acknowledge(int fd, const nlmsghdr& asked, int error) {
  Message message(NLMSG_ERROR, 0, asked);
  nlmsgerr body{};
  body.error = error;
  body.msg = asked;
  message.add(&body, sizeof body);
  message.send(fd);
}

void tell_family(int fd, const nlmsghdr& asked, uint16_t flags) {
  Message message(GENL_ID_CTRL, flags, asked);
  const genlmsghdr head{.cmd = CTRL_CMD_NEWFAMILY, .version = 2, .reserved = 0};
  message.add(&head, sizeof head);
  message.attribute(CTRL_ATTR_FAMILY_ID, &kFamily, sizeof kFamily);
  message.attribute(CTRL_ATTR_FAMILY_NAME, kernel::kFamilyName, sizeof kernel::kFamilyName);
  message.number(CTRL_ATTR_VERSION, kernel::kFamilyVersion);
  message.number(CTRL_ATTR_HDRSIZE, 0);
  message.number(CTRL_ATTR_MAXATTR, kernel::kAttrMax);
  message.nest(CTRL_ATTR_OPS, [&] {
    uint16_t index = 1;
    for (const uint32_t command : {kernel::kCmdSetFeatures, kernel::kCmdAddedDone,
                                   kernel::kCmdRemovedDone, kernel::kCmdReconfiguredDone}) {
      message.nest(index++, [&] {
        message.number(CTRL_ATTR_OP_ID, command);
        message.number(CTRL_ATTR_OP_FLAGS, GENL_ADMIN_PERM | GENL_CMD_CAP_DO | GENL_CMD_CAP_HASPOL);
      });
    }
  });
  message.nest(CTRL_ATTR_MCAST_GROUPS, [&] {
    message.nest(1, [&] {
      message.number(CTRL_ATTR_MCAST_GRP_ID, kGroup);
      message.attribute(CTRL_ATTR_MCAST_GRP_NAME, kernel::kGroupName, sizeof kernel::kGroupName);
    });
  });
  message.send(fd);
}

// The attribute of a request, empty if it has none.
std::string_view attribute(std::span<const uint8_t> message, uint16_t wanted) {
  size_t at = NLMSG_HDRLEN + GENL_HDRLEN;
  while (at + sizeof(nlattr) <= message.size()) {
    nlattr header{};
    std::memcpy(&header, message.data() + at, sizeof header);
    if (header.nla_len < sizeof header || at + header.nla_len > message.size()) return {};
    if ((header.nla_type & NLA_TYPE_MASK) == wanted)
      return {reinterpret_cast<const char*>(message.data() + at + sizeof header),
              header.nla_len - sizeof header};
    at += NLA_ALIGN(header.nla_len);
  }
  return {};
}

bool asks_for_ours(std::span<const uint8_t> message) {
  const std::string_view name = attribute(message, CTRL_ATTR_FAMILY_NAME);
  if (!name.empty()) return name.starts_with(kernel::kFamilyName);
  const std::string_view id = attribute(message, CTRL_ATTR_FAMILY_ID);
  return id.size() >= sizeof kFamily && std::memcmp(id.data(), &kFamily, sizeof kFamily) == 0;
}

void answer_one(int fd, const nlmsghdr& header, std::span<const uint8_t> message) {
  const bool controller = header.nlmsg_type == GENL_ID_CTRL;
  if (controller && (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
    tell_family(fd, header, NLM_F_MULTI);
    Message done(NLMSG_DONE, NLM_F_MULTI, header);
    const uint32_t none = 0;
    done.add(&none, sizeof none);
    return done.send(fd);
  }
  const bool known = controller ? asks_for_ours(message) : header.nlmsg_type == kFamily;
  if (controller && known) tell_family(fd, header, 0);
  if ((header.nlmsg_flags & NLM_F_ACK) != 0 || !known) acknowledge(fd, header, known ? 0 : -ENOENT);
}

}  // namespace

void answer_netlink(int fd, std::span<const uint8_t> received) {
  while (received.size() >= NLMSG_HDRLEN + GENL_HDRLEN) {
    nlmsghdr header{};
    std::memcpy(&header, received.data(), sizeof header);
    if (header.nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN || header.nlmsg_len > received.size()) return;
    answer_one(fd, header, received.first(header.nlmsg_len));
    const size_t used = NLMSG_ALIGN(header.nlmsg_len);
    if (used >= received.size()) return;
    received = received.subspan(used);
  }
}

}  // namespace tcmurbd::bench
