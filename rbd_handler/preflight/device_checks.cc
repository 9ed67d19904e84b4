// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>

#include "common/quote.h"
#include "common/units.h"
#include "rbd_handler/preflight/check_parts.h"

namespace tcmurbd::preflight {
namespace {

// What one session's largest commands may need at once.
struct Demand {
  uint64_t commands = 0;
  uint64_t command_bytes = 0;
  uint64_t bytes() const {
    uint64_t all = 0;
    return __builtin_mul_overflow(commands, command_bytes, &all) ? UINT64_MAX : all;
  }
};

// 0: absent, or no number that makes sense.
uint64_t sane(const std::optional<int64_t>& value) {
  const int64_t number = value.value_or(0);
  return number > 0 && number <= UINT32_MAX ? static_cast<uint64_t>(number) : 0;
}

Demand demand_of(const DeviceFacts& device) {
  return {.commands = sane(device.depth),
          .command_bytes = sane(device.block_bytes) * sane(device.max_blocks)};
}

}  // namespace

Findings check_devices(const Facts& facts) {
  if (!facts.devices_error.empty())
    return {fail("the devices cannot be listed: " + facts.devices_error,
                 "the daemon does not start either; run this command as root")};
  Findings all;
  size_t ours = 0;
  for (const DeviceFacts& device : facts.devices) {
    if (device.subtype != "rbd") {
      all.push_back(warn(fmt::format("{} is a device of the handler {}, not of rbd", device.name,
                                     quoted(device.subtype)),
                         "tcmu-rbd does not serve it: keep its handler running, or stay with "
                         "tcmu-runner on this gateway"));
      continue;
    }
    ++ours;
    if (!device.spec_error.empty())
      all.push_back(fail(fmt::format("{}: {}", device.name, device.spec_error),
                         "remove the device and create it again: the daemon refuses it"));
  }
  if (all.empty()) all.push_back(ok(fmt::format("{} devices of the handler rbd", ours)));
  return all;
}

Findings check_reservations(const Facts& facts) {
  Findings all;
  for (const DeviceFacts& device : facts.devices) {
    if (device.reservation.empty() && device.registrations == 0) continue;
    const std::string found =
        device.reservation.empty()
            ? fmt::format("{}: {} registrations for persistent reservations", device.name,
                          device.registrations)
            : fmt::format("{}: reserved: {}", device.name, quoted(device.reservation));
    all.push_back(warn(found,
                       "a reservation is known to this gateway alone, with tcmu-rbd as with "
                       "tcmu-runner: let such hosts use one gateway"));
  }
  if (all.empty()) all.push_back(ok("no reservations"));
  return all;
}

Findings check_data_area(const Facts& facts) {
  Findings all;
  for (const DeviceFacts& device : facts.devices) {
    const Demand demand = demand_of(device);
    const uint64_t there_mb = sane(device.data_area_mb);
    if (there_mb == 0 || demand.bytes() <= there_mb * kMiB) continue;
    const uint64_t wanted_mb = demand.bytes() / kMiB + (demand.bytes() % kMiB != 0 ? 1 : 0);
    all.push_back(warn(
        fmt::format("{}: {} commands of {} KiB need {} MiB, max_data_area_mb is {}: with fewer, "
                    "commands wait in the kernel",
                    device.name, demand.commands, demand.command_bytes / kKiB, wanted_mb, there_mb),
        "raise max_data_area_mb, or lower hw_max_sectors"));
  }
  if (all.empty()) all.push_back(ok("large enough for the queue depths of the targets"));
  return all;
}

}  // namespace tcmurbd::preflight
