// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/netlink_event.h"

#include <fmt/format.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "rbd_handler/kernel/netlink_layout.h"

namespace tcmurbd::kernel {
namespace {

using Bytes = std::span<const uint8_t>;

// The payloads, by attribute type. An absent one has no data pointer; an empty one has.
using Attributes = std::array<std::optional<Bytes>, kAttrMax + 1>;

template <typename T>
T load(Bytes bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

constexpr size_t aligned(size_t length) {
  return (length + NLA_ALIGNTO - 1) & ~size_t{NLA_ALIGNTO - 1};
}

std::optional<Attributes> split(Bytes rest) {
  Attributes found;
  while (!rest.empty()) {
    if (rest.size() < sizeof(nlattr)) return std::nullopt;
    const auto header = load<nlattr>(rest);
    if (header.nla_len < sizeof(nlattr) || header.nla_len > rest.size()) return std::nullopt;
    const int type = header.nla_type & NLA_TYPE_MASK;
    if (type <= kAttrMax)
      found[type] = rest.subspan(sizeof(nlattr), header.nla_len - sizeof(nlattr));
    rest = rest.subspan(std::min(aligned(header.nla_len), rest.size()));
  }
  return found;
}

template <typename T>
std::optional<T> number(const Attributes& attributes, int type) {
  const auto& bytes = attributes[type];
  if (!bytes || bytes->size() != sizeof(T)) return std::nullopt;
  return load<T>(*bytes);
}

// Up to the terminating zero, which must be there; newlines at the end are the writer's, not the
// value's.
std::optional<std::string> text(const Attributes& attributes, int type) {
  const auto& bytes = attributes[type];
  if (!bytes) return std::nullopt;
  const void* end = bytes->empty() ? nullptr : std::memchr(bytes->data(), 0, bytes->size());
  if (end == nullptr) return std::nullopt;
  std::string_view value(reinterpret_cast<const char*>(bytes->data()));
  while (value.ends_with('\n')) value.remove_suffix(1);
  return std::string(value);
}

// Exactly one of the three, as the kernel sends it.
bool decode_change(const Attributes& attributes, DeviceEvent& event) {
  int found = 0;
  if (auto dev_config = text(attributes, kAttrDevConfig)) {
    event.change = NewDevConfig{std::move(*dev_config)};
    ++found;
  }
  if (const auto bytes = number<uint64_t>(attributes, kAttrDevSize)) {
    event.change = NewDevSize{*bytes};
    ++found;
  }
  if (const auto enabled = number<uint8_t>(attributes, kAttrWriteCache)) {
    event.change = NewWriteCache{*enabled != 0};
    ++found;
  }
  return found == 1;
}

std::unexpected<std::string> malformed(std::string why) { return std::unexpected(std::move(why)); }

}  // namespace

std::expected<DeviceEvent, std::string> decode_event(Bytes message) {
  if (message.size() < NLMSG_HDRLEN + GENL_HDRLEN) {
    return malformed(fmt::format("a message of {} bytes", message.size()));
  }
  const auto header = load<nlmsghdr>(message);
  if (header.nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN || header.nlmsg_len > message.size()) {
    return malformed(
        fmt::format("a message of {} bytes claims {}", message.size(), header.nlmsg_len));
  }
  const Bytes whole = message.first(header.nlmsg_len);
  const auto command = load<genlmsghdr>(whole.subspan(NLMSG_HDRLEN)).cmd;
  const auto attributes = split(whole.subspan(NLMSG_HDRLEN + GENL_HDRLEN));
  if (!attributes) return malformed("attributes of a wrong length");

  DeviceEvent event;
  switch (command) {
    case kCmdAdded:
      event.kind = DeviceEvent::Kind::kAdded;
      break;
    case kCmdRemoved:
      event.kind = DeviceEvent::Kind::kRemoved;
      break;
    case kCmdReconfigured:
      event.kind = DeviceEvent::Kind::kReconfigured;
      break;
    default:
      return malformed(fmt::format("unknown event {}", command));
  }
  const auto device = text(*attributes, kAttrDevice);
  const auto minor = number<uint32_t>(*attributes, kAttrMinor);
  const auto device_id = number<uint32_t>(*attributes, kAttrDeviceId);
  if (!device || !minor || !device_id) return malformed("name, minor or device id is missing");
  event.device = *device;
  event.minor = *minor;
  event.device_id = *device_id;
  if (event.kind == DeviceEvent::Kind::kReconfigured && !decode_change(*attributes, event)) {
    return malformed("a reconfiguration must change exactly one attribute");
  }
  return event;
}

}  // namespace tcmurbd::kernel
