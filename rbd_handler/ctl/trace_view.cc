// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/units.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

using nlohmann::json;

namespace {

std::string text_of(const json& value) {
  return value.is_string() ? printable(value.get<std::string>()) : "-";
}

// "12:00:01.123456  #812 WRITE(16) 4096+8192: +0us waits-for-lock, +2.1ms in-librbd"
std::string line_of(const json& story) {
  std::string line = text_of(story.at("time")) + "  ";
  const bool of_lun = story.at("sequence").is_null();
  if (!of_lun) {
    line += fmt::format("#{} {}", story.at("sequence").get<uint64_t>(), text_of(story.at("op")));
    if (const json& range = story.at("range"); !range.is_null())
      line += fmt::format(" {}+{}", range.at("offset").get<uint64_t>(),
                          range.at("length").get<uint64_t>());
    line += ":";
  }
  const char* separator = of_lun ? "" : " ";
  for (const json& step : story.at("steps")) {
    line += separator;
    if (!of_lun) line += fmt::format("+{} ", human_seconds(step.at("after").get<double>()));
    line += text_of(step.at("what"));
    separator = ", ";
  }
  return line + "\n";
}

}  // namespace

std::string trace_text(const json& answer) {
  std::string text;
  if (answer.contains("crash")) {
    const json& crash = answer.at("crash");
    text = fmt::format("{}  {} crashed: {}\n", text_of(crash.at("time")),
                       text_of(crash.at("program")), text_of(crash.at("reason")));
  }
  for (const json& device : answer.at("devices")) {
    text += fmt::format("{}  {}: {} of {} events\n", text_of(device.at("name")),
                        text_of(device.at("image")), device.at("kept").get<uint64_t>(),
                        device.at("events").get<uint64_t>());
    for (const json& story : device.at("stories")) text += line_of(story);
  }
  return text.empty() ? "no LUN is served here\n" : text;
}

}  // namespace tcmurbd
