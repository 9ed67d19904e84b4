// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/status_json.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

namespace tcmurbd {
namespace {

nlohmann::json counters_json(const DeviceCounters& counters) {
  const CounterWords words = words_of(counters);
  nlohmann::json all;
  for (const DeviceCounter& counter : kDeviceCounters) {
    for (size_t i = 0; i < counter.size(); ++i) {
      std::string name(counter.name);
      if (!counter.values.empty()) name.append("_").append(counter.values[i]);
      all[name] = words[counter.first + i];
    }
  }
  return all;
}

// Of operations that there were.
nlohmann::json histograms_json(const LatencyByOperation& histograms) {
  nlohmann::json all = nlohmann::json::object();
  for (size_t i = 0; i < histograms.size(); ++i) {
    const uint64_t count = histograms[i].count();
    if (count == 0) continue;
    all[std::string(scsi::kOperationNames[i])] = {
        {"count", count}, {"sum_ns", histograms[i].sum_ns()}, {"buckets", histograms[i].buckets()}};
  }
  return all;
}

std::vector<uint64_t> bounds_us() {
  std::vector<uint64_t> bounds;
  bounds.reserve(kLatencyBoundsNs.size());
  for (const uint64_t bound : kLatencyBoundsNs) bounds.push_back(bound / 1000);
  return bounds;
}

}  // namespace

std::string status_json(const std::vector<Lun::Status>& devices) {
  nlohmann::json list = nlohmann::json::array();
  for (const Lun::Status& device : devices) {
    nlohmann::json item{
        {"name", device.name}, {"image", device.image}, {"state", name(device.state)}};
    if (!device.warnings.empty()) item["warnings"] = device.warnings;
    if (device.counters) {
      item["bytes"] = device.bytes;
      item["commands_open"] = device.commands_open;
      item["detached"] = device.detached;
      item["lock"] = lock::name(device.lock);
      item["in_flight"] = device.load.in_flight;
      item["hung"] = device.load.hung;
      item["oldest"] =
          device.load.oldest < Duration{}
              ? nlohmann::json()
              : nlohmann::json(std::chrono::duration<double>(device.load.oldest).count());
      item["writes"] = name(device.load.writes);
      item["full"] = device.load.full;
      item["primary"] = device.load.primary;
      item["counters"] = counters_json(*device.counters);
      item["latency"] = {{"command", histograms_json(device.latency->command)},
                         {"image", histograms_json(device.latency->image)}};
    }
    list.push_back(std::move(item));
  }
  const nlohmann::json status{{"version", TCMU_RBD_VERSION},
                              {"pid", getpid()},
                              {"latency_bounds_us", bounds_us()},
                              {"devices", std::move(list)}};
  // Names come from configfs: any bytes, not always UTF-8.
  return status.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tcmurbd
