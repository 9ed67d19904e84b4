// SPDX-License-Identifier: Apache-2.0
// The kernel's name of a TCMU device: tcm-user/HBA/DEVICE/DEV_CONFIG. It is in
// /sys/class/uio/uioN/name and in every netlink event (tcmu_update_uio_info in
// linux/drivers/target/target_core_user.c). Pure, any thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace tcmurbd::kernel {

struct DeviceName {
  std::string hba;         // "user_0": the directory in configfs, not the bare number.
  std::string device;      // The directory in it.
  std::string dev_config;  // With the subtype: "rbd/pool/image;id=x". May be empty.

  // The part of dev_config before the first '/': the handler of the device.
  std::string_view subtype() const;
  // True for exactly "rbd"; "rbd2/x", or "rbd" without '/', are not devices of this handler.
  bool is_rbd() const;
  bool operator==(const DeviceName&) const = default;
};

// Splits a name, with or without a trailing newline. Names whose HBA or device could lead out of
// the configfs directory ("..", '/'), and names with control characters, are refused.
std::expected<DeviceName, std::string> parse_device_name(std::string_view name);

}  // namespace tcmurbd::kernel
