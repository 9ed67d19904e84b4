// SPDX-License-Identifier: Apache-2.0
// Plays the kernel for one daemon, and measures it. See ../README.md; run by native_bench.py, which
// prepares the files that a daemon looks for. Reads one case per line from standard input and
// writes one line of JSON for each.
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

struct Arguments {
  DaemonProcess::Options daemon;
  uint64_t device_bytes = 0;
  double warm = 0.2;
  double seconds = 1;
};

void wait_until_mapped(const Control& control, const KernelRing& ring, DaemonProcess& daemon) {
  constexpr int kTries = 600;
  for (int tries = 0; tries < kTries; ++tries) {
    if (control.mapped() && !ring.blocked()) return;
    if (!daemon.alive()) throw std::runtime_error("the daemon has ended");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  throw std::runtime_error("the daemon did not map the device within a minute");
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
  DaemonProcess daemon(arguments.daemon, {control.daemon_end(), ring.daemon_end(), ring.memory()});
  control.close_daemon_end();
  ring.close_daemon_end();
  Load initiator(ring, daemon, arguments.device_bytes);
  load = &initiator;
  wait_until_mapped(control, ring, daemon);
  initiator.wait_until_ready();
  std::cout << "READY\n" << std::flush;
  for (std::string line; std::getline(std::cin, line);) {
    const auto what = parse_case(line);
    if (!what) throw std::runtime_error(what.error());
    print(line, initiator.run(*what, std::chrono::duration<double>(arguments.warm),
                              std::chrono::duration<double>(arguments.seconds)));
  }
}

int run(int argc, char** argv) {
  CLI::App app("Plays the kernel's side of TCMU for a daemon, and measures the daemon.");
  Arguments arguments;
  app.add_option("--daemon", arguments.daemon.command, "its command")->required();
  app.add_option("--preload", arguments.daemon.preload, "a library to preload")->required();
  app.add_option("--log", arguments.daemon.log, "the file for its output");
  app.add_option("--size", arguments.device_bytes, "bytes of the device")->required();
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
