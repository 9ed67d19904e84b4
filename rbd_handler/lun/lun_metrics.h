// SPDX-License-Identifier: Apache-2.0
// What the metrics tell of one LUN. Plain values; made on the control thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "rbd_handler/device/device_gauges.h"
#include "rbd_handler/lun/hung_places.h"

namespace tcmurbd {

struct LunMetrics {
  std::string name;  // "user_0/disk1", as in the status.
  std::string pool;
  std::string name_space;
  std::string image;         // With "@snapshot", if it is one.
  std::string_view state{};  // "opening", "serving", ...
  // Null: its reactor has not answered, or it does not serve.
  std::shared_ptr<const DeviceGauges> device{};
  HungByOsd hung{};
};

}  // namespace tcmurbd
