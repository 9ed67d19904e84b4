// SPDX-License-Identifier: Apache-2.0
// The kernel's generic netlink events about TCMU devices, family TCM-USER (tcmu_netlink_event_* in
// linux/drivers/target/target_core_user.c). Pure, any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <variant>

namespace tcmurbd::kernel {

// The change of a RECONFIG event. The kernel stores the value only if the reply says 0.
struct NewDevConfig {
  std::string dev_config;
  bool operator==(const NewDevConfig&) const = default;
};
struct NewDevSize {
  uint64_t bytes = 0;
  bool operator==(const NewDevSize&) const = default;
};
struct NewWriteCache {
  bool enabled = false;
  bool operator==(const NewWriteCache&) const = default;
};

struct DeviceEvent {
  enum class Kind : uint8_t {
    kAdded,         // Not enabled in configfs yet: actions fail until the reply.
    kRemoved,       // UIO still works; unmap and close before the reply.
    kReconfigured,  // `change` has exactly one changed attribute.
  };
  Kind kind = Kind::kAdded;
  uint32_t minor = 0;      // The N of /dev/uioN.
  uint32_t device_id = 0;  // For the reply; not the minor.
  std::string device;      // As in /sys/class/uio/uioN/name: see parse_device_name().
  std::variant<std::monostate, NewDevConfig, NewDevSize, NewWriteCache> change;
};

// Decodes one netlink message, from its nlmsghdr on. Any bytes are accepted; anything but a
// complete event of a known kind is an error.
std::expected<DeviceEvent, std::string> decode_event(std::span<const uint8_t> message);

}  // namespace tcmurbd::kernel
