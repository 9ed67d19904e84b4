// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/command.h"

#include <iostream>
#include <utility>

namespace tcmurbd {

CLI::App* CommandLine::add(const std::string& name, const std::string& help,
                           std::function<int()> run) {
  CLI::App* const command = app.add_subcommand(name, help);
  command->callback([this, run = std::move(run)] { chosen = run; });
  return command;
}

void add_json_flag(CLI::App& command, bool& as_json) {
  command.add_flag("--json", as_json, "print JSON");
}

int complain(const std::string& text) {
  std::cerr << "tcmu-rbdctl: " << text << "\n";
  return 1;
}

}  // namespace tcmurbd
