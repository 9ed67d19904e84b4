// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/status_json.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

namespace tcmurbd {
namespace {

const char* state_name(Lun::State state) {
  switch (state) {
    case Lun::State::kOpening:
      return "opening";
    case Lun::State::kServing:
      return "serving";
    case Lun::State::kDraining:
      return "draining";
    case Lun::State::kClosing:
      return "closing";
    case Lun::State::kClosed:
      return "closed";
  }
  return "";
}

nlohmann::json counters_json(const DeviceCounters& counters) {
  nlohmann::json all;
  for (const DeviceCounter& counter : kDeviceCounters)
    all[std::string(counter.name)] = counters.*counter.value;
  return all;
}

}  // namespace

std::string status_json(const std::vector<Lun::Status>& devices) {
  nlohmann::json list = nlohmann::json::array();
  for (const Lun::Status& device : devices) {
    nlohmann::json item{
        {"name", device.name}, {"image", device.image}, {"state", state_name(device.state)}};
    if (!device.warnings.empty()) item["warnings"] = device.warnings;
    if (device.counters) {
      item["bytes"] = device.bytes;
      item["commands_open"] = device.commands_open;
      item["detached"] = device.detached;
      item["lock"] = lock::name(device.lock);
      item["counters"] = counters_json(*device.counters);
    }
    list.push_back(std::move(item));
  }
  const nlohmann::json status{
      {"version", TCMU_RBD_VERSION}, {"pid", getpid()}, {"devices", std::move(list)}};
  // Names come from configfs: any bytes, not always UTF-8.
  return status.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tcmurbd
