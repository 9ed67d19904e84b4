// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/trace/lun_trace.h"

#include "rbd_handler/trace/trace_document.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

json story_json(const FlightStory& story, const LunTrace& lun) {
  const auto age =
      std::chrono::duration_cast<std::chrono::system_clock::duration>(lun.now - story.begin);
  const bool of_lun = story.command == 0;
  const bool has_range = story.range.length != 0;
  json steps = json::array();
  for (const FlightStep& step : story.steps)
    steps.push_back({{"after", seconds(step.after)}, {"what", step.text}});
  return {{"time", wall_text(lun.wall - age)},
          {"sequence", of_lun ? json() : json(story.command)},
          {"cmd_id", of_lun ? json() : json(story.cmd_id)},
          {"op", story.name.empty() ? json() : json(story.name)},
          {"range", has_range ? json{{"offset", story.range.offset}, {"length", story.range.length}}
                              : json()},
          {"steps", std::move(steps)}};
}

json device_json(const LunTrace& lun) {
  json item{{"name", lun.label.name},
            {"image", lun.label.image},
            {"events", lun.events},
            {"kept", lun.kept},
            {"stories", json::array()}};
  for (const auto& stories : {lun.stories, tell_stories(lun.record)})
    for (const FlightStory& story : stories) item["stories"].push_back(story_json(story, lun));
  return item;
}

// Names come from configfs: any bytes, not always UTF-8.
std::string print(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

json trace_document(const std::vector<LunTrace>& luns) {
  json devices = json::array();
  for (const LunTrace& lun : luns) devices.push_back(device_json(lun));
  return {{"devices", std::move(devices)}};
}

std::string print_document(const json& document) { return print(document) + "\n"; }

std::string trace_json(const std::vector<LunTrace>& luns) {
  return print_document(trace_document(luns));
}

std::string device_trace_json(const LunTrace& lun) { return print(device_json(lun)); }

std::string join_traces(const std::vector<std::string>& devices) {
  std::string all = R"({"devices":[)";
  for (const std::string& device : devices) {
    if (&device != &devices.front()) all += ',';
    all += device;
  }
  return all + "]}\n";
}

}  // namespace tcmurbd
