// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl iostat: rates, latencies and sizes for each LUN, again and again, as iostat -x.
#include <iostream>
#include <memory>
#include <thread>

#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/sample.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {
namespace {

struct Options {
  double interval = 1;
  uint64_t count = 1;  // 0: for ever.
  bool as_json = false;
};

nlohmann::json direction_json(const Direction& direction) {
  const auto value = [](const std::optional<double>& number) {
    return number ? nlohmann::json(*number) : nlohmann::json();
  };
  return {{"ops", value(direction.ops)},
          {"bytes", value(direction.bytes)},
          {"mean", value(direction.mean)},
          {"p99", value(direction.p99)}};
}

// A line; rates are per second, latencies in seconds.
std::string json_line(const std::map<std::string, Load>& loads) {
  nlohmann::json devices = nlohmann::json::array();
  for (const auto& [name, load] : loads) {
    devices.push_back({{"name", name},
                       {"read", direction_json(load.reads)},
                       {"write", direction_json(load.writes)},
                       {"queue", load.queue ? nlohmann::json(*load.queue) : nlohmann::json()}});
  }
  return nlohmann::json{{"devices", std::move(devices)}}.dump() + "\n";
}

int print_load(const std::string& socket, const Options& options) {
  Sampler sampler(socket);
  if (auto taken = sampler.take(); !taken) return complain(taken.error());
  for (uint64_t shown = 0; options.count == 0 || shown < options.count; ++shown) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval));
    if (auto taken = sampler.take(); !taken) return complain(taken.error());
    if (shown != 0 && !options.as_json) std::cout << "\n";
    std::cout << (options.as_json ? json_line(sampler.load())
                                  : iostat_text(sampler.status(), sampler.load()))
              << std::flush;
    if (!std::cout) return 1;  // The reader is gone.
  }
  return 0;
}

}  // namespace

void add_iostat(CommandLine& line) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      line.add("iostat", "show rates, latencies and sizes of each LUN, as iostat -x does",
               [&line, options] { return print_load(line.socket, *options); });
  CLI::Option* const seconds =
      command->add_option("SECONDS", options->interval, "between two reports; default: 1")
          ->check(CLI::Range(0.1, 3600.0));
  command
      ->add_option("COUNT", options->count,
                   "of reports; default: without end, or one if SECONDS is not given")
      ->check(CLI::Range(1, 1000000))
      ->needs(seconds);
  command->parse_complete_callback([options, command, seconds] {
    if (seconds->count() != 0 && command->count("COUNT") == 0) options->count = 0;
  });
  add_json_flag(*command, options->as_json);
}

}  // namespace tcmurbd
