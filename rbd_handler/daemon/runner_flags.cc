// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/runner_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace tcmurbd {

bool called_as_runner(std::string_view program) {
  return program.substr(program.rfind('/') + 1) == "tcmu-runner";
}

void RunnerFlags::add_to(CLI::App& app) {
  app.add_flag("-d,--debug", debug, "log debug lines too, whatever the config file says");
  app.add_option("-f,--nofile", nofile, "the least limit of open descriptors")
      ->check(CLI::PositiveNumber);
  app.add_option("-l,--tcmu-log-dir", log_dir, "no effect: the log goes to stderr or the journal");
  app.add_option("--handler-path", handler_path, "no effect: the handler is built in");
}

void RunnerFlags::apply_to(Config& config) const {
  if (debug) config.log.level = LogLevel::kDebug;
}

void RunnerFlags::apply_to(rlimit& descriptors) const {
  if (!nofile) return;
  descriptors.rlim_max = std::max(descriptors.rlim_max, *nofile);
  descriptors.rlim_cur = std::max(descriptors.rlim_cur, *nofile);
}

std::vector<std::string> RunnerFlags::without_effect() const {
  std::vector<std::string> lines;
  if (log_dir)
    lines.push_back("--tcmu-log-dir has no effect: the log goes to stderr or the journal");
  if (handler_path)
    lines.push_back("--handler-path has no effect: the handler for rbd is built in");
  return lines;
}

}  // namespace tcmurbd
