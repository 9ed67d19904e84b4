// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl trace: the flight recorder of the LUNs, a line for each command; or of a file that
// the daemon has written at a fence or a crash.
#include <fmt/format.h>

#include <cerrno>
#include <expected>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"
#include "rbd_handler/trace/crash_trace.h"

namespace tcmurbd {
namespace {

struct Options {
  std::string lun{};
  std::string file{};
  bool as_json = false;
};

std::expected<nlohmann::json, std::string> read_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    return std::unexpected(fmt::format("{}: {}", path, std::generic_category().message(errno)));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (is_crash_file(text)) {
    const auto crash = read_crash(text);
    if (!crash) return std::unexpected(fmt::format("{}: {}", path, crash.error()));
    text = crash_json(*crash);
  }
  auto trace = nlohmann::json::parse(text, nullptr, false);
  if (!trace.is_object() || !trace.contains("devices"))
    return std::unexpected(path + ": is not a trace of tcmu-rbd");
  return trace;
}

int print_trace(const std::string& socket, const Options& options) {
  if (options.file.empty()) {
    const std::string request = options.lun.empty() ? "trace" : "trace " + options.lun;
    return show(socket, request, options.as_json, &trace_text);
  }
  const auto trace = read_trace(options.file);
  if (!trace) return complain(trace.error());
  std::cout << (options.as_json ? trace->dump(2) + "\n" : trace_text(*trace)) << std::flush;
  return 0;
}

}  // namespace

void add_trace(CommandLine& line) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      line.add("trace", "print the last commands step by step, and what the LUN did meanwhile",
               [&line, options] { return print_trace(line.socket, *options); });
  add_lun_name(*command, options->lun, LunName::kOptional);
  command->add_option("--file", options->file,
                      "of this file, which the daemon wrote at a fence or a crash");
  add_json_flag(*command, options->as_json);
}

}  // namespace tcmurbd
