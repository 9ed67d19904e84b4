// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/trace/crash_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "common/crash_dump.h"
#include "rbd_handler/trace/trace_document.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

template <size_t size>
std::string text_of(const std::array<char, size>& field) {
  return {field.begin(), std::ranges::find(field, '\0')};
}

// Nanoseconds, the year 2116. What is calculated with them does not overflow.
constexpr int64_t kTimeMax = INT64_MAX / 2;

// Takes the next T off `bytes`. False: it is too short.
template <typename T>
bool take(std::string_view& bytes, T& value) {
  if (bytes.size() < sizeof(T)) return false;
  std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return true;
}

// Other threads went on while the file was written, so the last events may stand before the first.
std::vector<FlightEvent> events_of(const FlightLog& log, TimePoint end) {
  std::multimap<TimePoint, FlightEvent> by_time;
  for (const FlightEvent& event : log.list()) {
    if (event.time >= TimePoint{} && event.time <= end + std::chrono::seconds(1))
      by_time.emplace(event.time, event);
  }
  std::vector<FlightEvent> events;
  for (const auto& [time, event] : by_time) events.push_back(event);
  return events;
}

}  // namespace

bool is_crash_file(std::string_view bytes) {
  return bytes.starts_with(
      std::string_view(CrashHeader::kMagic.data(), CrashHeader::kMagic.size()));
}

std::expected<CrashTrace, std::string> read_crash(std::string_view bytes) {
  const std::unexpected cut("the crash file is incomplete");
  CrashHeader header{};
  if (!is_crash_file(bytes)) return std::unexpected("it is no crash file of tcmu-rbd");
  if (!take(bytes, header)) return cut;
  if (header.wall_ns < 0 || header.wall_ns > kTimeMax || header.boot_ns < 0 ||
      header.boot_ns > kTimeMax)
    return std::unexpected("the crash file is damaged");
  const std::chrono::system_clock::time_point wall{std::chrono::nanoseconds(header.wall_ns)};
  const TimePoint now{std::chrono::nanoseconds(header.boot_ns)};
  CrashTrace crash{
      .program = text_of(header.program), .reason = text_of(header.reason), .wall = wall};
  const auto log = std::make_unique<FlightLog>();
  for (uint32_t i = 0; i < header.regions; ++i) {
    CrashRegionHeader region{};
    if (!take(bytes, region)) return cut;
    if (region.bytes != sizeof(FlightLog))
      return std::unexpected(fmt::format(
          "the crash file is of {}, which this tcmu-rbdctl cannot read", crash.program));
    if (!take(bytes, *log)) return cut;
    const FlightRecord record{.events = events_of(*log, now), .total = log->total, .now = now};
    LunTrace& lun = crash.luns.emplace_back();
    lun.label = {text_of(region.name), text_of(region.image)};
    lun.stories = tell_stories(record);
    lun.kept = record.events.size();
    lun.events = log->total;
    lun.now = now;
    lun.wall = wall;
  }
  return crash;
}

std::string crash_json(const CrashTrace& crash) {
  json document = trace_document(crash.luns);
  document["crash"] = {
      {"time", wall_text(crash.wall)}, {"program", crash.program}, {"reason", crash.reason}};
  return print_document(document);
}

}  // namespace tcmurbd
