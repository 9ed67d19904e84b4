// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "rbd_handler/ctl/ask.h"

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

void add_lun_name(CLI::App& command, std::string& name, LunName lun) {
  command.add_option("LUN", name, "a LUN as HBA/DEVICE, or its device or image alone")
      ->required(lun == LunName::kRequired)
      ->check([](const std::string& text) {
        const bool good = !text.empty() && text.find('\n') == std::string::npos;
        return good ? std::string() : std::string("is not the name of a LUN");
      });
}

int show(const std::string& socket, const std::string& request, bool as_json, View view) {
  const auto answer = ask_json(socket, request);
  if (!answer) return complain(answer.error());
  std::cout << (as_json ? answer->dump(2) + "\n" : view(*answer)) << std::flush;
  return 0;
}

void add_request(CommandLine& line, const std::string& name, const std::string& help,
                 const std::string& word, LunName lun, View view) {
  struct Options {
    std::string lun{};
    bool as_json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const command = line.add(name, help, [&line, options, word, view] {
    const std::string request = options->lun.empty() ? word : word + " " + options->lun;
    return show(line.socket, request, options->as_json, view);
  });
  add_lun_name(*command, options->lun, lun);
  add_json_flag(*command, options->as_json);
}

int complain(const std::string& text) {
  std::cerr << "tcmu-rbdctl: " << text << "\n";
  return 1;
}

}  // namespace tcmurbd
