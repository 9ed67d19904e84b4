// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl status: the devices with their state.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "rbd_handler/ctl/ask.h"
#include "rbd_handler/ctl/command.h"

namespace tcmurbd {
namespace {

void print_table(const nlohmann::json& status) {
  std::cout << "tcmu-rbd " << status.at("version").get<std::string>() << ", pid "
            << status.at("pid") << "\n";
  for (const auto& device : status.at("devices")) {
    std::cout << device.at("name").get<std::string>() << "  "
              << device.at("image").get<std::string>() << "  "
              << device.at("state").get<std::string>();
    if (device.contains("lock")) {
      std::cout << "  lock " << device.at("lock").get<std::string>() << "  detached "
                << device.at("detached");
    }
    std::cout << "\n";
    for (const auto& warning : device.value("warnings", nlohmann::json::array()))
      std::cout << "    warning: " << warning.get<std::string>() << "\n";
    if (!device.contains("counters")) continue;
    for (const auto& [name, value] : device.at("counters").items()) {
      if (value != 0) std::cout << "    " << name << " " << value << "\n";
    }
  }
}

int print_status(const std::string& socket, bool as_json) {
  const auto status = ask_json(socket, "status");
  if (!status) return complain(status.error());
  if (as_json) {
    std::cout << status->dump(2) << "\n";
  } else {
    print_table(*status);
  }
  return 0;
}

}  // namespace

void add_status(CommandLine& line) {
  const auto as_json = std::make_shared<bool>(false);
  CLI::App* const command =
      line.add("status", "print the devices with their state, lock and counters",
               [&line, as_json] { return print_status(line.socket, *as_json); });
  add_json_flag(*command, *as_json);
}

}  // namespace tcmurbd
