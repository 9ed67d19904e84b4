// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "common/quote.h"
#include "common/units.h"
#include "rbd_handler/preflight/check_parts.h"

namespace tcmurbd::preflight {
namespace {

// Bytes that one session's largest commands may need at once; no value: not known.
std::optional<uint64_t> bytes_wanted(const DeviceFacts& device) {
  for (const auto& value : {device.block_bytes, device.max_blocks, device.depth})
    if (!value || *value <= 0 || *value > UINT32_MAX) return std::nullopt;
  const auto bytes = static_cast<uint64_t>(*device.block_bytes);
  uint64_t all = 0;
  if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(*device.max_blocks), &all) ||
      __builtin_mul_overflow(all, static_cast<uint64_t>(*device.depth), &all))
    return UINT64_MAX;
  return all;
}

}  // namespace

Findings check_devices(const Facts& facts) {
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
    const auto wanted = bytes_wanted(device);
    if (!wanted || !device.data_area_mb || *device.data_area_mb < 0) continue;
    const uint64_t there = static_cast<uint64_t>(*device.data_area_mb) * kMiB;
    if (*wanted <= there) continue;
    all.push_back(warn(
        fmt::format("{}: {} commands of {} KiB need {} MiB, max_data_area_mb is {}: with fewer, "
                    "commands wait in the kernel",
                    device.name, *device.depth,
                    static_cast<uint64_t>(*device.max_blocks) *
                        static_cast<uint64_t>(*device.block_bytes) / kKiB,
                    *wanted / kMiB + (*wanted % kMiB != 0), *device.data_area_mb),
        "raise max_data_area_mb, or lower hw_max_sectors"));
  }
  if (all.empty()) all.push_back(ok("large enough for the queue depths of the targets"));
  return all;
}

}  // namespace tcmurbd::preflight
