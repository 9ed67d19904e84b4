// SPDX-License-Identifier: Apache-2.0
// The counters of a LUN and the list of their names, from which the JSON of `status`, the metrics
// and their documentation are made: a counter that is not in the list does not compile. Plain
// values; the reactor counts, an edge prints.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rbd_handler/lock/fence_cause.h"
#include "rbd_handler/scsi/operation.h"

namespace tcmurbd {

// How a command was answered.
enum class AnswerKind : uint8_t { kGood, kCheckCondition, kBusy, kTaskAborted, kOther };
inline constexpr std::array<std::string_view, 5> kAnswerNames{"good", "check_condition", "busy",
                                                              "task_aborted", "other"};

// Task management functions of the kernel.
enum class TmrKind : uint8_t { kAbortTask, kLunReset, kPreemptAndAbort, kOther };
inline constexpr std::array<std::string_view, 4> kTmrNames{"abort_task", "lun_reset",
                                                           "preempt_and_abort", "other"};

// How far a command had come when a task management function ended it.
enum class AbortStage : uint8_t { kWaiting, kReadInLibrbd, kChangeInLibrbd, kCopying };
inline constexpr std::array<std::string_view, 4> kAbortStageNames{"waiting", "read_in_librbd",
                                                                  "change_in_librbd", "copying"};

// The sense keys that commands end with here.
enum class SenseKind : uint8_t {
  kNotReady,
  kMediumError,
  kHardwareError,
  kIllegalRequest,
  kUnitAttention,
  kDataProtect,
  kCopyAborted,
  kMiscompared,
  kOther,
};
inline constexpr std::array<std::string_view, 9> kSenseNames{
    "not_ready",       "medium_error",   "hardware_error",
    "illegal_request", "unit_attention", "data_protect",
    "copy_aborted",    "miscompare",     "other"};

// Since the LUN was opened by this process; they only grow. Reads and writes of an EXTENDED COPY
// are also counted as reads and writes of the LUN that does them.
struct DeviceCounters {
  uint64_t commands = 0;
  std::array<uint64_t, scsi::kOperations> commands_by_operation{};
  uint64_t reads = 0;
  uint64_t read_bytes = 0;
  uint64_t writes = 0;
  uint64_t write_bytes = 0;
  uint64_t zeroings = 0;
  uint64_t zeroed_bytes = 0;
  uint64_t read_errors = 0;
  uint64_t write_errors = 0;
  std::array<uint64_t, kAnswerNames.size()> answers{};
  uint64_t check_conditions = 0;
  std::array<uint64_t, kSenseNames.size()> check_conditions_by_key{};
  uint64_t busy = 0;
  uint64_t image_errors = 0;
  uint64_t range_waits = 0;
  uint64_t lock_waits = 0;
  uint64_t rate_waits = 0;
  uint64_t room_waits = 0;
  uint64_t facts_waits = 0;
  uint64_t task_managements = 0;
  std::array<uint64_t, kTmrNames.size()> task_managements_by_type{};
  uint64_t aborts = 0;
  std::array<uint64_t, kAbortStageNames.size()> aborts_by_stage{};
  uint64_t lun_resets = 0;
  uint64_t deadlines = 0;
  uint64_t detaches = 0;
  uint64_t stale = 0;
  uint64_t fences = 0;
  std::array<uint64_t, lock::kFenceCauseNames.size()> fences_by_cause{};
  uint64_t fence_failures = 0;
  uint64_t lock_acquired = 0;
  uint64_t lock_released = 0;
  uint64_t lock_lost = 0;
  uint64_t away = 0;
  uint64_t copies = 0;
  uint64_t copied_bytes = 0;
  uint64_t bad_entries = 0;
  uint64_t ring_resets = 0;
};

// All counters as one array, by DeviceCounter::first.
using CounterWords = std::array<uint64_t, sizeof(DeviceCounters) / sizeof(uint64_t)>;
constexpr CounterWords words_of(const DeviceCounters& counters) {
  return std::bit_cast<CounterWords>(counters);
}

struct DeviceCounter {
  // In the JSON; an array has NAME_VALUE for each value of its label.
  std::string_view name;
  std::string_view help;
  size_t first;  // The index of its first word.
  // The metric, without "tcmu_rbd_" and "_total". Empty: it is a sum over the label of another one.
  std::string_view metric{};
  std::string_view label{};
  std::string_view value{};                    // Of the label, for a single number.
  std::span<const std::string_view> values{};  // Of the label, for an array.

  constexpr size_t size() const { return values.empty() ? 1 : values.size(); }
};

// The help of metrics that several counters belong to.
struct SharedMetric {
  std::string_view name;
  std::string_view help;
};
inline constexpr std::array kSharedMetrics{
    SharedMetric{"medium_errors", "Commands that ended with MEDIUM ERROR."},
    SharedMetric{"waits",
                 "Commands that waited: for an overlapping command (range), for the exclusive lock "
                 "or a new client instance (lock), for a free slot among the image ops (room), for "
                 "the image's QoS limits (rate), or for configfs (facts)."},
    SharedMetric{"lock_transitions", "Changes of the exclusive lock's ownership."},
};

// The index of a member's first word.
consteval size_t word_of(uint64_t DeviceCounters::* member) {
  DeviceCounters marked;
  marked.*member = 1;
  const CounterWords words = words_of(marked);
  return static_cast<size_t>(std::find(words.begin(), words.end(), 1) - words.begin());
}
template <size_t kSize>
consteval size_t word_of(std::array<uint64_t, kSize> DeviceCounters::* member) {
  DeviceCounters marked;
  (marked.*member)[0] = 1;
  const CounterWords words = words_of(marked);
  return static_cast<size_t>(std::find(words.begin(), words.end(), 1) - words.begin());
}

inline constexpr std::array kDeviceCounters{
    DeviceCounter{"commands", "Commands taken from the ring.", word_of(&DeviceCounters::commands),
                  ""},
    DeviceCounter{"commands", "Commands taken from the ring, by operation.",
                  word_of(&DeviceCounters::commands_by_operation), "commands", "operation", "",
                  scsi::kOperationNames},
    DeviceCounter{"reads", "Read commands submitted to the image.", word_of(&DeviceCounters::reads),
                  "reads"},
    DeviceCounter{"read_bytes", "Bytes of the read commands submitted to the image.",
                  word_of(&DeviceCounters::read_bytes), "read_bytes"},
    DeviceCounter{"writes", "Commands submitted to the image that change it.",
                  word_of(&DeviceCounters::writes), "writes"},
    DeviceCounter{"write_bytes", "Bytes of the commands that change the image.",
                  word_of(&DeviceCounters::write_bytes), "written_bytes"},
    DeviceCounter{"zeroings", "Commands, of those that change the image, that only zero or unmap.",
                  word_of(&DeviceCounters::zeroings), "zeroings"},
    DeviceCounter{"zeroed_bytes", "Bytes that were zeroed or unmapped.",
                  word_of(&DeviceCounters::zeroed_bytes), "zeroed_bytes"},
    DeviceCounter{"read_errors", "Read commands that ended with MEDIUM ERROR.",
                  word_of(&DeviceCounters::read_errors), "medium_errors", "kind", "read"},
    DeviceCounter{"write_errors", "Commands that change the image and ended with MEDIUM ERROR.",
                  word_of(&DeviceCounters::write_errors), "medium_errors", "kind", "write"},
    DeviceCounter{"answers", "Answered commands, by SCSI status.",
                  word_of(&DeviceCounters::answers), "answers", "status", "", kAnswerNames},
    DeviceCounter{"check_conditions", "Commands answered with CHECK CONDITION.",
                  word_of(&DeviceCounters::check_conditions), ""},
    DeviceCounter{"check_conditions", "Commands answered with CHECK CONDITION, by sense key.",
                  word_of(&DeviceCounters::check_conditions_by_key), "check_conditions",
                  "sense_key", "", kSenseNames},
    DeviceCounter{"busy", "Commands answered with BUSY.", word_of(&DeviceCounters::busy), ""},
    DeviceCounter{"image_errors", "Image ops that librbd ended with an error.",
                  word_of(&DeviceCounters::image_errors), "image_errors"},
    DeviceCounter{"range_waits", "Commands that waited for an overlapping command.",
                  word_of(&DeviceCounters::range_waits), "waits", "reason", "range"},
    DeviceCounter{"lock_waits",
                  "Commands that waited for the exclusive lock or for a new client instance.",
                  word_of(&DeviceCounters::lock_waits), "waits", "reason", "lock"},
    DeviceCounter{"rate_waits", "Commands that waited for the image's QoS limits.",
                  word_of(&DeviceCounters::rate_waits), "waits", "reason", "rate"},
    DeviceCounter{"room_waits", "Commands that waited for a free slot among the image ops.",
                  word_of(&DeviceCounters::room_waits), "waits", "reason", "room"},
    DeviceCounter{"facts_waits", "Commands that waited for configfs.",
                  word_of(&DeviceCounters::facts_waits), "waits", "reason", "facts"},
    DeviceCounter{"task_managements", "Task management notifications of the kernel.",
                  word_of(&DeviceCounters::task_managements), ""},
    DeviceCounter{"task_managements", "Task management notifications of the kernel, by type.",
                  word_of(&DeviceCounters::task_managements_by_type), "task_managements", "type",
                  "", kTmrNames},
    DeviceCounter{"aborts", "Commands that a task management function ended.",
                  word_of(&DeviceCounters::aborts), ""},
    DeviceCounter{"aborts",
                  "Commands that a task management function ended, by how far they had come.",
                  word_of(&DeviceCounters::aborts_by_stage), "aborted_commands", "stage", "",
                  kAbortStageNames},
    DeviceCounter{"lun_resets", "LUN RESET notifications.", word_of(&DeviceCounters::lun_resets),
                  ""},
    DeviceCounter{"deadlines", "Commands answered because their deadline passed.",
                  word_of(&DeviceCounters::deadlines), "deadlines"},
    DeviceCounter{"detaches", "Commands answered while their op was in librbd.",
                  word_of(&DeviceCounters::detaches), "detached"},
    DeviceCounter{"stale",
                  "Changes answered BUSY because the kernel or a host may have given them up.",
                  word_of(&DeviceCounters::stale), "stale_changes"},
    DeviceCounter{"fences", "Client instances that were fenced and replaced.",
                  word_of(&DeviceCounters::fences), ""},
    DeviceCounter{"fences", "Client instances that were fenced and replaced, by cause.",
                  word_of(&DeviceCounters::fences_by_cause), "fences", "cause", "",
                  lock::kFenceCauseNames},
    DeviceCounter{"fence_failures", "Fences that failed.", word_of(&DeviceCounters::fence_failures),
                  "fence_failures"},
    DeviceCounter{"lock_acquired", "Times that the exclusive lock was acquired.",
                  word_of(&DeviceCounters::lock_acquired), "lock_transitions", "event", "acquired"},
    DeviceCounter{"lock_released", "Times that the exclusive lock was released.",
                  word_of(&DeviceCounters::lock_released), "lock_transitions", "event", "released"},
    DeviceCounter{"lock_lost", "Times that another client took the lock, or fenced this gateway.",
                  word_of(&DeviceCounters::lock_lost), "lock_transitions", "event", "lost"},
    DeviceCounter{"away", "Times that this gateway was stopped, frozen or disconnected.",
                  word_of(&DeviceCounters::away), "away"},
    DeviceCounter{"copies", "EXTENDED COPY commands started.", word_of(&DeviceCounters::copies),
                  "copies"},
    DeviceCounter{"copied_bytes",
                  "Bytes written by EXTENDED COPY commands of this LUN, on any LUN.",
                  word_of(&DeviceCounters::copied_bytes), "copied_bytes"},
    DeviceCounter{"bad_entries", "Ring entries with offsets or lengths outside of the map.",
                  word_of(&DeviceCounters::bad_entries), "bad_entries"},
    DeviceCounter{"ring_resets", "Rings that were invalid or were reset by another process.",
                  word_of(&DeviceCounters::ring_resets), "ring_resets"},
};

// Each word belongs to one counter.
consteval bool every_counter_is_listed() {
  CounterWords seen{};
  for (const DeviceCounter& counter : kDeviceCounters)
    for (size_t i = 0; i < counter.size(); ++i)
      if (seen.at(counter.first + i)++ != 0) return false;
  return std::find(seen.begin(), seen.end(), 0) == seen.end();
}
static_assert(every_counter_is_listed());

// What several counters belong to has a help of its own.
consteval bool every_shared_metric_is_listed() {
  const auto is_shared = [](std::string_view name) {
    return std::any_of(kSharedMetrics.begin(), kSharedMetrics.end(),
                       [name](const SharedMetric& metric) { return metric.name == name; });
  };
  return std::all_of(kDeviceCounters.begin(), kDeviceCounters.end(), [&](const DeviceCounter& c) {
    return c.value.empty() || is_shared(c.metric);
  });
}
static_assert(every_shared_metric_is_listed());

}  // namespace tcmurbd
