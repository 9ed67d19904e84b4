// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/device/flight_story.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

#include "rbd_handler/device/device_report.h"
#include "rbd_handler/device/outbox.h"
#include "rbd_handler/device/report_line.h"
#include "rbd_handler/lock/lock_state.h"
#include "rbd_handler/scsi/opcode_table.h"
#include "rbd_handler/scsi/sense.h"
#include "rbd_handler/task/task_moves.h"

namespace tcmurbd {

namespace {

std::string name_of(const FlightEvent& taken) {
  const FlightCdb cdb = cdb_of(taken);
  const size_t length = std::min<size_t>(taken.detail, cdb.size());
  return std::string(length == 0 ? kPieceOfCopy : scsi::command_name({cdb.data(), length}));
}

std::string answer_text(const FlightEvent& event) {
  switch (static_cast<scsi::ScsiStatus>(event.detail)) {
    case scsi::ScsiStatus::kGood:
      return "answered GOOD";
    case scsi::ScsiStatus::kCheckCondition:
      return fmt::format("answered CHECK CONDITION {:X}/{:02X}/{:02X}", event.a >> 16U,
                         event.a >> 8U & 0xffU, event.a & 0xffU);
    case scsi::ScsiStatus::kBusy:
      return "answered BUSY";
    case scsi::ScsiStatus::kReservationConflict:
      return "answered RESERVATION CONFLICT";
    case scsi::ScsiStatus::kTaskSetFull:
      return "answered TASK SET FULL";
    case scsi::ScsiStatus::kTaskAborted:
      return "answered TASK ABORTED";
  }
  return fmt::format("answered with status {:02X}h", event.detail);
}

std::string ended_text(const FlightEvent& event) {
  const auto error = static_cast<int64_t>(event.b);
  return error == 0 ? "image op ended" : fmt::format("image op ended with {}", error);
}

std::string place_text(const FlightEvent& event) {
  if (event.detail == 0) return "hung, on no OSD";
  std::string text = fmt::format("hung, on osd.{}", event.b & UINT32_MAX);
  if (event.detail > 1) text += fmt::format(", osd.{}", event.b >> 32U);
  if (event.detail > 2) text += fmt::format(" and {} more", event.detail - 2);
  return text;
}

// Empty: it is no step for people.
std::string step_text(const FlightEvent& event) {
  switch (event.kind) {
    case FlightKind::kState:
      if (event.detail >= task::kTaskStates) return {};
      return std::string(stage_name(static_cast<task::TaskState>(event.detail)));
    case FlightKind::kAnswered:
      return answer_text(event);
    case FlightKind::kEnded:
      return ended_text(event);
    case FlightKind::kAborted:
      return fmt::format("aborted by {}", task_management_name(event.detail));
    case FlightKind::kDeadline:
      return "deadline";
    case FlightKind::kTaskManagement:
      return fmt::format("{} of {} commands", task_management_name(event.detail), event.a);
    case FlightKind::kLock:
      return fmt::format("lock: {}", lock::name(static_cast<lock::State>(event.detail)));
    case FlightKind::kAway:
      return fmt::format("away: {}", describe(static_cast<AwayCause>(event.detail)));
    case FlightKind::kPlace:
      return place_text(event);
    case FlightKind::kTaken:
    case FlightKind::kPlanned:
      break;
  }
  return {};
}

class Teller {
 public:
  void add(const FlightEvent& event) {
    if (event.kind == FlightKind::kPlace) return add_place(event);
    if (event.command == 0) {
      stories_.push_back({.begin = event.time, .steps = {{Duration{}, step_text(event)}}});
      return;
    }
    FlightStory& story = story_of(event);
    if (event.kind == FlightKind::kTaken) story.name = name_of(event);
    if (event.kind == FlightKind::kPlanned) story.range = {event.a, event.b};
    in_image(event);
    if (std::string text = step_text(event); !text.empty())
      story.steps.push_back({event.time - story.begin, std::move(text)});
  }
  std::vector<FlightStory> take() { return std::move(stories_); }

 private:
  FlightStory& story_of(const FlightEvent& event) {
    const auto [found, fresh] = by_command_.try_emplace(event.command, stories_.size());
    if (fresh)
      stories_.push_back({.command = event.command, .cmd_id = event.cmd_id, .begin = event.time});
    return stories_[found->second];
  }

  void in_image(const FlightEvent& event) {
    if (event.kind == FlightKind::kState &&
        event.detail == std::to_underlying(task::TaskState::kInImage))
      in_image_.insert(event.command);
    if (event.kind == FlightKind::kEnded) in_image_.erase(event.command);
  }

  void add_place(const FlightEvent& event) {
    bool found = false;
    for (const uint32_t command : in_image_) {
      FlightStory& story = stories_[by_command_.at(command)];
      if (story.range.length == 0 || story.range.offset != event.a) continue;
      story.steps.push_back({event.time - story.begin, place_text(event)});
      found = true;
    }
    if (found) return;
    stories_.push_back(
        {.begin = event.time,
         .range = {event.a, 0},
         .steps = {{Duration{}, fmt::format("offset {}: {}", event.a, place_text(event))}}});
  }

  std::vector<FlightStory> stories_;
  std::map<uint32_t, size_t> by_command_;
  std::set<uint32_t> in_image_;
};

}  // namespace

std::vector<FlightStory> tell_stories(const FlightRecord& record) {
  Teller teller;
  for (const FlightEvent& event : record.events) teller.add(event);
  return teller.take();
}

}  // namespace tcmurbd
