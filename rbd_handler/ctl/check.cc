// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl check: finds the facts (preflight/probes.h), prints the findings
// (preflight/checks.h).
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/image_spec.h"
#include "rbd_handler/ctl/ask.h"
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/preflight/checks.h"
#include "rbd_handler/preflight/probes.h"

namespace tcmurbd {
namespace {

using namespace preflight;

struct CheckOptions {
  std::string config = kConfigPathDefault;
  bool config_named = false;            // Then it must exist.
  std::optional<std::string> socket{};  // Absent: that of the settings.
  std::vector<std::string> images{};    // dev_configs without a device.
  int timeout_s = 30;
  bool as_json = false;
};

// The settings in force, the defaults if they are missing or wrong.
Config read_settings(const CheckOptions& options, SettingsFacts& facts) {
  facts.path = options.config;
  facts.exists = access(options.config.c_str(), F_OK) == 0 || errno != ENOENT;
  if (!facts.exists && !options.config_named) return {};
  const auto config = load_config(options.config);
  if (!config) facts.error = config.error();
  return config.value_or(Config{});
}

std::optional<DaemonFacts> read_daemon(const std::string& socket, std::string& error) {
  const auto answer = ask(socket, "status");
  if (!answer) {
    error = answer.error();
    return std::nullopt;
  }
  try {
    const auto status = nlohmann::json::parse(*answer);
    DaemonFacts facts{.pid = status.at("pid"), .version = status.at("version")};
    for (const auto& device : status.at("devices"))
      facts.luns.push_back({.name = device.at("name"),
                            .state = device.at("state"),
                            .writes = device.value("writes", ""),
                            .warnings = device.value("warnings", std::vector<std::string>{})});
    return facts;
  } catch (const nlohmann::json::exception&) {
    error = "the reply of the daemon at " + socket + " is not complete";
    return std::nullopt;
  }
}

// The images of the devices, then those of --image.
std::expected<std::vector<Wanted>, std::string> wanted_images(
    const CheckOptions& options, const std::vector<DeviceFacts>& devices) {
  std::vector<Wanted> wanted;
  for (const DeviceFacts& device : devices) {
    if (device.subtype != "rbd" || !device.spec_error.empty()) continue;
    auto spec = parse_dev_config(device.dev_config);
    if (spec)
      wanted.push_back(
          {.spec = std::move(*spec), .device = device.name, .device_bytes = device.bytes});
  }
  for (const std::string& image : options.images) {
    auto spec = parse_dev_config(image);
    if (!spec) return std::unexpected("--image: " + spec.error());
    wanted.push_back({.spec = std::move(*spec)});
  }
  return wanted;
}

// What the daemon creates for them: an instance for each image, one for each user, and the reserve
// for another LUN. A running daemon has its own already.
uint64_t instances_of(const std::vector<Wanted>& wanted, bool running) {
  constexpr uint64_t kReserve = 3;
  if (running) return kReserve;
  std::set<std::pair<std::string, std::string>> users;
  for (const Wanted& each : wanted) users.insert({each.spec.conf_path, each.spec.user});
  return wanted.size() + users.size() + kReserve;
}

// Works with and without a running daemon, and changes nothing; waits for the cluster no longer
// than the timeout. Returns 1 if an --image is wrong. Otherwise it ends the process itself, since
// threads may hang in librados: status 1 after a FAIL, else 0.
int check_gateway(const CheckOptions& options) {
  Facts facts;
  const Config config = read_settings(options, facts.settings);
  facts.host = probe_host_name();
  facts.kernel = probe_kernel();
  facts.other_daemons = probe_other_daemons();
  facts.daemon =
      read_daemon(options.socket.value_or(config.paths.control_socket), facts.daemon_error);
  if (auto devices = probe_devices()) {
    facts.devices = std::move(*devices);
  } else {
    facts.devices_error = devices.error();
  }
  const auto wanted = wanted_images(options, facts.devices);
  if (!wanted) return complain(wanted.error());
  facts.limits = probe_limits(facts.daemon ? facts.daemon->pid : 0,
                              instances_of(*wanted, facts.daemon.has_value()));
  ClusterFacts cluster = probe_clusters(*wanted, std::chrono::seconds(options.timeout_s));
  facts.clients = std::move(cluster.clients);
  facts.images = std::move(cluster.images);
  facts.services = std::move(cluster.services);

  const std::vector<Finding> found = findings(facts);
  std::cout << (options.as_json ? as_json(found) : as_text(found)) << std::flush;
  _exit(worst(found) == Level::kFail ? 1 : 0);
}

}  // namespace

void add_check(CommandLine& line) {
  const auto options = std::make_shared<CheckOptions>();
  CLI::App* const command =
      line.add("check", "look for what keeps this gateway from serving, without changing anything",
               [&line, options] {
                 options->config_named = line.app.get_subcommand("check")->count("--config") != 0;
                 if (line.socket_named) options->socket = line.socket;
                 return check_gateway(*options);
               });
  add_json_flag(*command, options->as_json);
  command->add_option("--config", options->config, "the daemon's settings")->capture_default_str();
  command->add_option("--image", options->images,
                      "check an image that has no device yet: 'rbd/POOL/IMAGE;id=USER'");
  command->add_option("--timeout", options->timeout_s, "seconds to wait for the cluster")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
}

}  // namespace tcmurbd
