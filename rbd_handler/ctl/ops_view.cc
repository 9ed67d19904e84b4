// SPDX-License-Identifier: Apache-2.0
// What LUNs do or did, command by command; their fences, and what came of a request.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/table.h"
#include "rbd_handler/ctl/units.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

constexpr size_t kTextWidth = 100;

std::string string_or_dash(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string age(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? "-" : human_seconds(found->get<double>());
}

std::string length_of(const json& op) {
  const json range = op.value("range", json());
  return range.is_object() ? human_bytes(range.at("length").get<uint64_t>()) : "-";
}

// "osd.2, osd.0".
std::string osds(const json& op) {
  const auto acting = op.find("acting");
  if (acting == op.end() || acting->is_null()) return "-";
  std::string all;
  for (const json& osd : *acting)
    all += fmt::format("{}osd.{}", all.empty() ? "" : ",", osd.dump());
  return all.empty() ? "none" : all;
}

// With what ended it before its op has.
std::string stage(const json& op) {
  const std::string by = string_or_dash(op, "ended_by");
  const std::string stage = op.at("stage");
  return by == "-" ? stage : fmt::format("{} ({})", stage, by);
}

std::string cause_text(const std::string& cause) {
  if (cause == "hung-ops") return "an instance of this gateway, whose ops hung";
  if (cause == "predecessor") return "left behind by a dead daemon of this gateway";
  if (cause == "lock-broken") return "a gateway that did not release the lock";
  if (cause == "silent") return "a gateway that did not respond";
  return "fenced by another gateway or an earlier daemon";
}

}  // namespace

std::string ops_text(const json& answer) {
  Table table({{"LUN"},
               {"OPERATION"},
               {"LBA", Align::kRight},
               {"LENGTH", Align::kRight},
               {"AGE", Align::kRight},
               {"STAGE"},
               {"IN LIBRBD", Align::kRight},
               {"OBJECT"},
               {"PG"},
               {"OSDS"}});
  std::string more;
  for (const json& device : answer.at("devices")) {
    const std::string name = device.at("name");
    for (const json& op : device.at("ops"))
      table.add({name, op.at("op"), string_or_dash(op, "lba"), length_of(op), age(op, "age"),
                 stage(op), age(op, "in_librbd"), string_or_dash(op, "object"),
                 string_or_dash(op, "pg"), osds(op)});
    if (const auto left = device.value("more", uint64_t{0}); left != 0)
      more += printable(fmt::format("{}: {} more", name, left)) + '\n';
  }
  return table.empty() ? "no open commands\n" : table.text() + more;
}

std::string slow_text(const json& answer) {
  Table table({{"LUN"},
               {"BEGAN"},
               {"OPERATION"},
               {"WAITED", Align::kRight},
               {"IN LIBRBD", Align::kRight},
               {"DETACHED", Align::kRight},
               {"TOTAL", Align::kRight},
               {"ENDED BY"},
               {"RESULT", Align::kRight}});
  for (const json& device : answer.at("devices")) {
    for (const json& op : device.at("Ops")) {
      const json& data = op.at("type_data");
      std::optional<double> waited;
      std::optional<double> answered;
      std::optional<double> ended;
      for (const json& event : data.at("events")) {
        const std::string name = event.at("event");
        const double duration = event.at("duration");
        if (name == "waited") waited = duration;
        if (name == "answered") answered = duration;
        if (name == "ended") ended = duration;
      }
      if (!waited) waited = std::exchange(answered, std::nullopt);  // It never came to librbd.
      if (ended.value_or(0) == 0) ended.reset();                    // With its answer.
      table.add({device.at("name"), op.at("initiated_at"), op.at("description"),
                 or_dash(waited, human_seconds), or_dash(answered, human_seconds),
                 or_dash(ended, human_seconds), human_seconds(op.at("duration").get<double>()),
                 string_or_dash(data, "ended_by"), data.at("result").dump()});
    }
  }
  return table.empty() ? "no slow commands\n" : table.text();
}

std::string fences_text(const json& answer) {
  Table table({{"LUN"}, {"ADDRESS"}, {"UNTIL"}, {"WHY"}});
  for (const json& device : answer.at("devices")) {
    const std::string name = device.at("name");
    for (const json& fence : device.at("fences"))
      table.add({name, fence.at("address"), string_or_dash(fence, "until_text"),
                 cause_text(fence.at("cause"))});
    if (const std::string address = string_or_dash(device, "unfenced"); address != "-")
      table.add({name, address, "-", "NOT FENCED: not permitted; writes get BUSY until it is"});
  }
  return table.empty() ? "no fenced instances\n" : table.text();
}

std::string explain_text(const json& answer) {
  return wrap(printable(answer.at("text").get<std::string>()), kTextWidth);
}

std::string release_text(const json& answer) {
  const std::string outcome = answer.at("outcome");
  std::string text = outcome;
  if (outcome == "released") text = "the exclusive lock is released; the next change asks for it";
  if (outcome == "not-owner") text = "this gateway does not hold the exclusive lock";
  if (outcome == "hung")
    text = "the lock is kept, since ops in flight do not end: see tcmu-rbdctl explain";
  if (outcome == "fencing") text = "this gateway is being fenced, which frees the lock";
  if (outcome == "no-answer") text = "no outcome yet: see tcmu-rbdctl status";
  return printable(answer.at("name").get<std::string>() + ": " + text) + '\n';
}

}  // namespace tcmurbd
