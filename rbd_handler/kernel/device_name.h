// SPDX-License-Identifier: Apache-2.0
// The name that the kernel gives to a TCMU device: tcm-user/HBA/DEVICE/DEV_CONFIG. It stands in
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

  // What stands before the first '/' of dev_config: names the handler that shall serve the device.
  std::string_view subtype() const;
  // True for exactly "rbd"; "rbd2/x" or "rbd" alone with no '/' belong to somebody else or to
  // nobody.
  bool is_rbd() const;
  bool operator==(const DeviceName&) const = default;
};

// Splits a name, with or without a trailing newline. Errors say what is wrong with it. A name whose
// HBA or device could lead out of its configfs directory ("..", '/') is refused, and one with
// control characters.
std::expected<DeviceName, std::string> parse_device_name(std::string_view name);

}  // namespace tcmurbd::kernel
