// SPDX-License-Identifier: Apache-2.0
// Plays the kernel for one daemon, and measures it. See ../README.md; run by native_bench.py, which
// prepares the files that a daemon looks for. Reads one case per line from standard input and
// writes one line of JSON for each: a load on the first device ("randread:4096:16"), or aborts on
// all that have a ring ("abort:randwrite:4096:16").
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/native/aborts.h"
#include "tests/bench/native/control.h"
#include "tests/bench/native/daemon_process.h"
#include "tests/bench/native/load.h"
#include "tests/bench/native/ring.h"

namespace tcmurbd::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  DaemonProcess::Options daemon;
  uint64_t device_bytes = 0;
  size_t devices = 1;
  size_t rings = 1;
  double warm = 0.2;
  double seconds = 1;
};

void wait_until_served(const Control& control, size_t devices, DaemonProcess& daemon) {
  constexpr auto kLook = std::chrono::milliseconds(10);
  constexpr auto kPatience = std::chrono::seconds(600);
  const auto end = Clock::now() + kPatience;
  while (control.served() < devices) {
    if (!daemon.alive()) throw std::runtime_error("the daemon has ended");
    if (Clock::now() > end)
      throw std::runtime_error(fmt::format("the daemon serves {} of {} devices after {}",
                                           control.served(), devices, kPatience));
    std::this_thread::sleep_for(kLook);
  }
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void print(const std::string& name, const Outcome& outcome) {
  std::cout << fmt::format(
                   R"({{"case": "{}", "iops": {:.1f}, "cpu_us": {:.3f}, "switches": {:.3f}, )"
                   R"("kicks": {:.3f}, "p50_us": {:.1f}, "p99_us": {:.1f}, "failed": {}}})",
                   name, static_cast<double>(outcome.ios) / outcome.seconds, outcome.cpu_us,
                   outcome.switches, outcome.kicks, outcome.p50_us, outcome.p99_us, outcome.failed)
            << "\n"
            << std::flush;
}

void print(const std::string& name, const AbortOutcome& outcome) {
  std::cout << fmt::format(R"({{"case": "{}", "aborts": {}, "good": {}, "median_ms": {:.2f}, )"
                           R"("last_ms": {:.2f}, "failed": {}}})",
                           name, outcome.aborts, outcome.good, outcome.median_ms, outcome.last_ms,
                           outcome.failed)
            << "\n"
            << std::flush;
}

// Whether the daemon has set the attribute that makes the kernel tell it of task managements.
bool wants_task_managements() {
  std::ifstream file("/sys/kernel/config/target/core/user_0/disk0/attrib/tmr_notification");
  int value = 0;
  return (file >> value) && value != 0;
}

void run_case(const std::string& line, Loads& loads, const Arguments& arguments) {
  constexpr std::string_view kAbort = "abort:";
  const bool aborts = line.starts_with(kAbort);
  const auto what = parse_case(std::string_view(line).substr(aborts ? kAbort.size() : 0));
  if (!what) throw std::runtime_error(what.error());
  const std::chrono::duration<double> warm(arguments.warm);
  if (aborts)
    print(line, abort_on_all(loads, *what, warm, wants_task_managements()));
  else
    print(line, loads[0]->run(*what, warm, std::chrono::duration<double>(arguments.seconds)));
}

// The descriptors that the daemon inherits, and the variable that says so to the shim.
std::vector<int> inherited(const Control& control, const std::vector<KernelRing*>& rings,
                           std::string& variable) {
  std::vector<int> all{control.daemon_end()};
  variable = fmt::format("{}:{}:{}", control.daemon_end(), KernelRing::kMapBytes, rings.size());
  for (const KernelRing* const ring : rings) {
    for (const int fd : {ring->daemon_end(), ring->memory()}) {
      all.push_back(fd);
      variable += fmt::format(":{}", fd);
    }
  }
  return all;
}

void measure(Arguments& arguments) {
  std::vector<std::unique_ptr<KernelRing>> owned;
  std::vector<KernelRing*> rings;
  for (size_t i = 0; i < arguments.rings; ++i) {
    owned.push_back(std::make_unique<KernelRing>(i == 0));
    rings.push_back(owned.back().get());
  }
  Loads loads;
  Control control(rings);
  const std::vector<int> descriptors = inherited(control, rings, arguments.daemon.shim);
  const auto begin = Clock::now();
  DaemonProcess daemon(arguments.daemon, descriptors);
  control.close_daemon_end();
  for (KernelRing* const ring : rings) {
    ring->close_daemon_end();
    loads.push_back(std::make_unique<Load>(*ring, daemon, arguments.device_bytes));
  }
  wait_until_served(control, arguments.devices, daemon);
  for (const auto& load : loads) load->wait_until_ready();
  std::cout << fmt::format("READY {} {:.3f}\n", daemon.pid(), seconds_since(begin)) << std::flush;
  for (std::string line; std::getline(std::cin, line);) run_case(line, loads, arguments);
  const auto end = Clock::now();
  daemon.stop(std::chrono::seconds(90));
  std::cout << fmt::format("STOPPED {:.3f}\n", seconds_since(end)) << std::flush;
}

int run(int argc, char** argv) {
  CLI::App app("Plays the kernel's side of TCMU for a daemon, and measures the daemon.");
  Arguments arguments;
  app.add_option("--daemon", arguments.daemon.command, "its command")->required();
  app.add_option("--preload", arguments.daemon.preload, "a library to preload")->required();
  app.add_option("--log", arguments.daemon.log, "the file for its output");
  app.add_option("--size", arguments.device_bytes, "bytes of the device")->required();
  app.add_option("--devices", arguments.devices, "how many devices the daemon finds");
  app.add_option("--rings", arguments.rings, "how many of them can have a load")
      ->check(CLI::PositiveNumber);
  app.add_option("--warm", arguments.warm, "seconds before a measurement");
  app.add_option("--seconds", arguments.seconds, "seconds of a measurement");
  CLI11_PARSE(app, argc, argv);
  measure(arguments);
  return 0;
}

}  // namespace
}  // namespace tcmurbd::bench

int main(int argc, char** argv) {
  try {
    return tcmurbd::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "ringbench: " << error.what() << "\n";
    return 1;
  }
}
