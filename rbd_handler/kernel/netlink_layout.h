// SPDX-License-Identifier: Apache-2.0
// Numbers of the generic netlink family TCM-USER, as linux/target_core_user.h has them;
// layout_check.cc compares. Defined again because that header and the C library both define struct
// iovec.
#pragma once

#include <cstdint>

namespace tcmurbd::kernel {

inline constexpr char kFamilyName[] = "TCM-USER";
inline constexpr char kGroupName[] = "config";
inline constexpr uint8_t kFamilyVersion = 2;

// Commands. The first three are events of the kernel, the others are sent by the daemon.
inline constexpr uint8_t kCmdAdded = 1;
inline constexpr uint8_t kCmdRemoved = 2;
inline constexpr uint8_t kCmdReconfigured = 3;
inline constexpr uint8_t kCmdAddedDone = 4;
inline constexpr uint8_t kCmdRemovedDone = 5;
inline constexpr uint8_t kCmdReconfiguredDone = 6;
inline constexpr uint8_t kCmdSetFeatures = 7;

// Attributes.
inline constexpr int kAttrDevice = 1;
inline constexpr int kAttrMinor = 2;
inline constexpr int kAttrDevConfig = 4;
inline constexpr int kAttrDevSize = 5;
inline constexpr int kAttrWriteCache = 6;
inline constexpr int kAttrStatus = 7;
inline constexpr int kAttrDeviceId = 8;
inline constexpr int kAttrKernelReply = 9;
inline constexpr int kAttrMax = 9;

}  // namespace tcmurbd::kernel
