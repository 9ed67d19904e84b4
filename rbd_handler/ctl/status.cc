// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl status: a line for each LUN, with its load over a second.
#include <iostream>
#include <memory>
#include <thread>

#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/sample.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {
namespace {

struct Options {
  bool as_json = false;
  bool counters = false;
  bool once = false;
  double interval = 1;
};

int print_status(const std::string& socket, const Options& options) {
  Sampler sampler(socket);
  if (auto taken = sampler.take(); !taken) return complain(taken.error());
  if (options.as_json) {
    std::cout << sampler.status().dump(2) << "\n";
    return 0;
  }
  if (options.counters) {
    std::cout << status_text(sampler.status(), sampler.load()) << counters_text(sampler.status());
    return 0;
  }
  if (!options.once && !sampler.status().at("devices").empty()) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval));
    if (auto taken = sampler.take(); !taken) return complain(taken.error());
  }
  std::cout << status_text(sampler.status(), sampler.load());
  return 0;
}

}  // namespace

void add_status(CommandLine& line) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      line.add("status", "show the LUNs with their state, lock, load and trouble",
               [&line, options] { return print_status(line.socket, *options); });
  command->add_flag("-v,--counters", options->counters, "show the counters too, without a load");
  command->add_flag("--once", options->once, "do not wait for a load");
  command->add_option("--interval", options->interval, "seconds over which the load is taken")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  add_json_flag(*command, options->as_json);
}

}  // namespace tcmurbd
