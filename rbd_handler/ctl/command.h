// SPDX-License-Identifier: Apache-2.0
// How the subcommands of tcmu-rbdctl are put together: each file adds its own to the command line,
// and what it does when it is chosen. Exit codes: 0, the command has done its work; 1, it has not,
// or there is trouble as its documentation says; above 100, the command line is wrong (CLI11).
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tcmurbd {

struct CommandLine {
  CLI::App& app;
  std::string socket;             // --socket, or its default,
  bool socket_named = false;      // and whether it was given.
  std::function<int()> chosen{};  // Runs the subcommand that was chosen; its exit code.

  // A subcommand. `run` is called after all options are set; what it refers to must live as long.
  CLI::App* add(const std::string& name, const std::string& help, std::function<int()> run);
};

// The option of all subcommands that print something for people.
void add_json_flag(CLI::App& command, bool& as_json);

// Asks the daemon once, and prints its answer, as JSON or as `view` makes it. Returns the exit
// code.
using View = std::string (*)(const nlohmann::json&);
int show(const std::string& socket, const std::string& request, bool as_json, View view);

// A subcommand that does just this, with the request `word`, the name of a LUN, and `--json`. The
// LUN may be left out, if it is optional: for all of them.
enum class LunName : uint8_t { kOptional, kRequired };
void add_lun_name(CLI::App& command, std::string& name, LunName lun);
void add_request(CommandLine& line, const std::string& name, const std::string& help,
                 const std::string& word, LunName lun, View view);

void add_check(CommandLine& line);
void add_explain(CommandLine& line);
void add_fences(CommandLine& line);
void add_hist(CommandLine& line);
void add_import_config(CommandLine& line);
void add_iostat(CommandLine& line);
void add_lock(CommandLine& line);
void add_metrics(CommandLine& line);
void add_ops(CommandLine& line);
void add_slow(CommandLine& line);
void add_status(CommandLine& line);
void add_top(CommandLine& line);
void add_trace(CommandLine& line);

// Prints "tcmu-rbdctl: `text`" to stderr. Returns the exit code 1.
int complain(const std::string& text);

}  // namespace tcmurbd
