// SPDX-License-Identifier: Apache-2.0
// The fuzz targets: each takes any bytes and aborts if an invariant is violated. Run by libFuzzer
// (-DTCMU_RBD_FUZZ=ON, clang), and over the stored corpus by a unit test of every build.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tcmurbd::fuzz {

using Bytes = std::span<const uint8_t>;

// A kernel that writes arbitrary data anywhere in the shared memory, at any time.
void ring(Bytes input);
// Initiators: any CDBs with any data, task management; with random behaviour of image and lock.
void device(Bytes input);
// The YAML file.
void config(Bytes input);
// A device's dev_config.
void dev_config(Bytes input);
// Messages of the family TCM-USER.
void netlink(Bytes input);
// Files of configfs and sysfs.
void configfs(Bytes input);

struct Target {
  std::string_view name;
  void (*run)(Bytes input);
};
inline constexpr std::array kTargets{Target{"ring", ring},       Target{"device", device},
                                     Target{"config", config},   Target{"dev_config", dev_config},
                                     Target{"netlink", netlink}, Target{"configfs", configfs}};

}  // namespace tcmurbd::fuzz
