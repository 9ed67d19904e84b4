// SPDX-License-Identifier: Apache-2.0
// Plays the kernel for one daemon, and measures it. See ../README.md; run by native_bench.py, which
// prepares the files that a daemon looks for. Reads one case per line from standard input and
// writes one line of JSON for each.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <stdexcept>
#include <thread>

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

void measure(Arguments& arguments) {
  KernelRing ring;
  Load* load = nullptr;
  Control control(ring, [&load](Command& command) {
    if (load != nullptr) load->ended(command);
  });
  arguments.daemon.shim = fmt::format("{}:{}:{}:{}", control.daemon_end(), ring.daemon_end(),
                                      ring.memory(), KernelRing::kMapBytes);
  const auto begin = Clock::now();
  DaemonProcess daemon(arguments.daemon, {control.daemon_end(), ring.daemon_end(), ring.memory()});
  control.close_daemon_end();
  ring.close_daemon_end();
  Load initiator(ring, daemon, arguments.device_bytes);
  load = &initiator;
  wait_until_served(control, arguments.devices, daemon);
  initiator.wait_until_ready();
  std::cout << fmt::format("READY {} {:.3f}\n", daemon.pid(), seconds_since(begin)) << std::flush;
  for (std::string line; std::getline(std::cin, line);) {
    const auto what = parse_case(line);
    if (!what) throw std::runtime_error(what.error());
    print(line, initiator.run(*what, std::chrono::duration<double>(arguments.warm),
                              std::chrono::duration<double>(arguments.seconds)));
  }
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
