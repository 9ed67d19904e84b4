// SPDX-License-Identifier: Apache-2.0
// What one LUN does at one moment, or did, for tcmu-rbdctl. Plain values; made on the control
// thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rbd_handler/ceph/fence_book.h"
#include "rbd_handler/ceph/object_place.h"
#include "rbd_handler/device/device_snapshot.h"
#include "rbd_handler/device/slow_log.h"
#include "rbd_handler/trace/lun_trace.h"

namespace tcmurbd {

// Where the first byte of an op is, or the object map that it waits for.
struct OpPlace {
  std::string object{};                            // Empty: the op has no range.
  std::optional<ceph::ObjectLocation> location{};  // No value: not asked for, or no answer.
};

struct LunSnapshot {
  LunLabel label;
  std::string_view state{};                // name(Lun::State).
  std::string refusal{};                   // Why it does not serve yet.
  std::vector<std::string> warnings{};     // As in the status.
  std::string instance{};                  // The address of the client instance that serves.
  std::string unfenced{};                  // LunImage::unfenced().
  std::optional<DeviceSnapshot> device{};  // If it serves.
  std::vector<OpPlace> places{};           // One for each of device->ops.
};

struct LunSlow {
  LunLabel label;
  SlowReport slow{};
  std::chrono::system_clock::time_point wall{};  // The wall clock at slow.now.
};

struct LunFences {
  LunLabel label;
  std::string instance{};  // As above, as is the next.
  std::string unfenced{};
  std::vector<ceph::FencedInstance> fences{};
};

}  // namespace tcmurbd
