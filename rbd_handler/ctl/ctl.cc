// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl: asks the daemon over its control socket; its other subcommands have files of their
// own. Prints a table for people, --json for programs.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "config/config.h"
#include "rbd_handler/ctl/ask.h"
#include "rbd_handler/ctl/check_command.h"
#include "rbd_handler/ctl/import_config.h"
#include "rbd_handler/ctl/metrics_command.h"

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

int print_status(const std::string& socket_path, bool as_json) {
  const auto answer = ask(socket_path, "status");
  if (!answer) {
    std::cerr << "tcmu-rbdctl: " << answer.error() << "\n";
    return 1;
  }
  const auto parsed = nlohmann::json::parse(*answer, nullptr, false);
  if (parsed.is_discarded()) {
    std::cerr << "tcmu-rbdctl: the daemon's reply is not JSON (did it exit meanwhile?)\n";
    return 1;
  }
  if (as_json) {
    std::cout << parsed.dump(2) << "\n";
  } else {
    print_table(parsed);
  }
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app("Queries a running tcmu-rbd daemon, and prepares a gateway for it.", "tcmu-rbdctl");
  app.set_version_flag("--version", TCMU_RBD_VERSION);
  std::string socket_path = Config{}.paths.control_socket;
  bool as_json = false;
  app.add_option("--socket", socket_path, "the daemon's control socket")->capture_default_str();
  CLI::App* status =
      app.add_subcommand("status", "print the devices with their state, lock and counters");
  status->add_flag("--json", as_json, "print JSON");
  std::string from = "/etc/tcmu/tcmu.conf";
  std::string to = kConfigPathDefault;
  CLI::App* import =
      app.add_subcommand("import-config", "take over the settings of tcmu-runner, once");
  import->add_option("--from", from, "the settings of tcmu-runner")->capture_default_str();
  import->add_option("--to", to, "the settings of tcmu-rbd; what they set stays")
      ->capture_default_str();
  CheckOptions options;
  CLI::App* check = app.add_subcommand(
      "check", "look for what keeps this gateway from serving, without changing anything");
  check->add_flag("--json", options.as_json, "print JSON");
  const CLI::Option* named =
      check->add_option("--config", options.config, "the daemon's settings")->capture_default_str();
  check->add_option("--image", options.images,
                    "check an image that has no device yet: 'rbd/POOL/IMAGE;id=USER'");
  check->add_option("--timeout", options.timeout_s, "seconds to wait for the cluster")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  std::string output;
  CLI::App* metrics =
      app.add_subcommand("metrics", "print the daemon's metrics in the text format of Prometheus");
  metrics->add_option("--output", output, "replace this file with them, for a textfile collector");
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);

  options.config_named = named->count() != 0;
  if (app.count("--socket") != 0) options.socket = socket_path;
  if (*check) return check_gateway(options);
  if (*metrics) return write_metrics(socket_path, output);
  if (*import) return import_config(from, to);
  return print_status(socket_path, as_json);
}

}  // namespace
}  // namespace tcmurbd

int main(int argc, char** argv) {
  try {
    return tcmurbd::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "tcmu-rbdctl: " << error.what() << "\n";
    return 1;
  }
}
