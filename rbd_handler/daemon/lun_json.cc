// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/lun_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/wall_text.h"

namespace tcmurbd {

using nlohmann::json;
using task::LadderEvent;

namespace {

// Names come from configfs: any bytes, not always UTF-8.
std::string print(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Negative: never.
json age(Duration duration) { return duration < Duration{} ? json() : json(seconds(duration)); }

json time_left(const std::optional<Duration>& left) { return left ? json(seconds(*left)) : json(); }

json text_or_null(const std::string& text) { return text.empty() ? json() : json(text); }

json labelled(const LunLabel& label) { return {{"name", label.name}, {"image", label.image}}; }

json ended_by(const std::optional<LadderEvent>& event) {
  if (!event) return {};
  switch (*event) {
    case LadderEvent::kAborted:
      return "abort";
    case LadderEvent::kDeadline:
      return "deadline";
    case LadderEvent::kGivenUp:
      return "fence";
    case LadderEvent::kEnded:
      break;
  }
  return {};
}

json range_json(const ByteRange& range) {
  if (range.length == 0) return {};
  return {{"offset", range.offset}, {"length", range.length}};
}

json op_json(const OpSnapshot& op, const OpPlace& place, uint32_t block_size) {
  json item{{"sequence", op.sequence},
            {"cmd_id", op.cmd_id},
            {"op", op.command},
            {"stage", op.stage},
            {"range", range_json(op.range)},
            {"lba", op.range.length == 0 ? json() : json(op.range.offset / block_size)},
            {"ranges", op.ops},
            {"instance", op.instance},
            {"ended_by", ended_by(op.ended_by)},
            {"outcome_unknown", op.outcome_unknown},
            {"age", age(op.queued)},
            {"in_librbd", age(op.submitted)},
            {"answered", age(op.answered)},
            {"deadline_in", time_left(op.deadline_in)},
            {"object", text_or_null(place.object)},
            {"pg", nullptr},
            {"acting", nullptr}};
  if (place.location) {
    item["pg"] = place.location->pg;
    item["acting"] = place.location->acting;
  }
  return item;
}

json lock_json(const DeviceSnapshot& device) {
  const lock::GateView& gate = device.gate;
  return {{"state", lock::name(gate.state)},
          {"since", age(gate.in_state)},
          {"refuses", gate.refuses},
          {"peers", gate.peers},
          {"waiting_changes", device.waiting_changes},
          {"detached_changes", device.detached_changes},
          {"fence_in", time_left(gate.fence_in)},
          {"retry_in", time_left(gate.retry_in)},
          {"busy_in", time_left(gate.busy_in)},
          {"fences", device.fences}};
}

json snapshot_json(const LunSnapshot& lun) {
  json item = labelled(lun.label);
  item["state"] = lun.state;
  item["client"] = text_or_null(lun.instance);
  item["ops"] = json::array();
  item["more"] = 0;
  if (!lun.device) return item;
  const DeviceSnapshot& device = *lun.device;
  item["block_size"] = device.block_size;
  item["instance"] = device.instance;
  item["more"] = device.more;
  item["lock"] = lock_json(device);
  for (size_t i = 0; i < device.ops.size(); ++i)
    item["ops"].push_back(op_json(device.ops[i], lun.places[i], device.block_size));
  return item;
}

json slow_op_json(const SlowOp& op, const LunSlow& lun) {
  json events = json::array();
  TimePoint before = op.queued;
  const auto add = [&](const char* name, TimePoint when) {
    if (when == TimePoint{}) return;
    events.push_back(
        {{"event", name},
         {"time",
          wall_text(lun.wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                   lun.slow.now - when))},
         {"duration", seconds(when - before)}});
    before = when;
  };
  add("queued", op.queued);
  add("waited", op.submitted);
  add("answered", op.answered);
  add("ended", op.ended);
  std::string what(op.command);
  if (op.range.length != 0)
    what += fmt::format(" offset={} length={}", op.range.offset, op.range.length);
  return {{"description", std::move(what)},
          {"initiated_at", events.front().at("time")},
          {"age", seconds(lun.slow.now - op.queued)},
          {"duration", seconds(op.ended - op.queued)},
          {"type_data",
           {{"flag_point", op.answered == op.ended ? "answered" : "detached, ended"},
            {"op", op.command},
            {"sequence", op.sequence},
            {"cmd_id", op.cmd_id},
            {"range", range_json(op.range)},
            {"ended_by", ended_by(op.ended_by)},
            {"result", op.error},
            {"scsi_status", op.scsi_status},
            {"events", std::move(events)}}}};
}

json fence_json(const ceph::FencedInstance& fence) {
  const auto until = std::chrono::system_clock::time_point(std::chrono::seconds(fence.until));
  return {{"address", fence.address},
          {"until", fence.until},
          {"until_text", wall_text(until)},
          {"cause", ceph::name(fence.cause)}};
}

template <typename Lun, typename Fn>
std::string list_of(const std::vector<Lun>& luns, const Fn& fn) {
  json devices = json::array();
  for (const Lun& lun : luns) devices.push_back(fn(lun));
  return print({{"devices", std::move(devices)}});
}

}  // namespace

std::string error_json(const std::string& text) { return print({{"error", text}}); }

std::string ops_json(const std::vector<LunSnapshot>& luns) { return list_of(luns, snapshot_json); }

std::string slow_json(const std::vector<LunSlow>& luns) {
  return list_of(luns, [](const LunSlow& lun) {
    json item = labelled(lun.label);
    item["num to keep"] = SlowLog::kMax;
    item["threshold to keep"] = seconds(lun.slow.slow_after);
    item["total"] = lun.slow.total;
    item["Ops"] = json::array();
    for (const SlowOp& op : lun.slow.ops) item["Ops"].push_back(slow_op_json(op, lun));
    return item;
  });
}

std::string fences_json(const std::vector<LunFences>& luns) {
  return list_of(luns, [](const LunFences& lun) {
    json item = labelled(lun.label);
    item["client"] = text_or_null(lun.instance);
    item["unfenced"] = text_or_null(lun.unfenced);
    item["fences"] = json::array();
    for (const auto& fence : lun.fences) item["fences"].push_back(fence_json(fence));
    return item;
  });
}

std::string explain_json(const LunSnapshot& lun, const std::string& text) {
  json item = snapshot_json(lun);
  item["text"] = text;
  return print(item);
}

std::string release_json(const LunLabel& label, std::optional<lock::PeerAnswer> answer) {
  using lock::PeerAnswer;
  json item = labelled(label);
  item["outcome"] = !answer                                 ? "no-answer"
                    : *answer == PeerAnswer::kReleased      ? "released"
                    : *answer == PeerAnswer::kNotOwner      ? "not-owner"
                    : *answer == PeerAnswer::kHoldsDetached ? "fencing"
                                                            : "hung";
  return print(item);
}

}  // namespace tcmurbd
