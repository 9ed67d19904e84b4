// SPDX-License-Identifier: Apache-2.0
// The command line of tcmu-runner, for scripts and containers that start /usr/bin/tcmu-runner. A
// program called by that name takes its flags beside our own.
#pragma once

#include <sys/resource.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

// The header of CLI11 is long; only those who add options include it.
namespace CLI {
class App;
}

namespace tcmurbd {

// The version of tcmu-runner whose flags and interfaces are offered.
inline constexpr const char* kRunnerVersion = "1.6.2";

// Whether argv[0] is tcmu-runner, in whatever folder.
bool called_as_runner(std::string_view program);

struct RunnerFlags {
  bool debug = false;                  // -d, --debug
  std::optional<rlim_t> nofile;        // -f, --nofile
  std::optional<std::string> log_dir;  // -l, --tcmu-log-dir
  std::optional<std::string> handler_path;

  // REQUIRES: outlives the parsing of `app`.
  void add_to(CLI::App& app);
  // Puts --debug above the log level of the file, at the start and at each reload.
  void apply_to(Config& config) const;
  // Raises both limits of descriptors to --nofile, if they are lower.
  void apply_to(rlimit& descriptors) const;
  // One line for each flag that was given and has no effect here.
  std::vector<std::string> without_effect() const;
};

}  // namespace tcmurbd
