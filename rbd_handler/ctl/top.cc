// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl top: the LUNs that do most, refreshed.
#include <iostream>
#include <memory>
#include <thread>

#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/sample.h"
#include "rbd_handler/ctl/terminal.h"
#include "rbd_handler/ctl/top_view.h"

namespace tcmurbd {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  double interval = 1;
  bool once = false;
  std::string sort = "iops";

  Clock::duration pause() const {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(interval));
  }
};

// For a file or a pipe: plain text, one after the other.
int print(Sampler& sampler, const Options& options, const Screen& screen) {
  do {
    std::this_thread::sleep_for(options.pause());
    if (auto taken = sampler.take(); !taken) return complain(taken.error());
    std::cout << top_text(sampler.status(), sampler.load(), screen) << std::flush;
    if (!std::cout) return 1;
  } while (!options.once);
  return 0;
}

// Until a key says so. Empty: it did; else an error.
std::string show_screens(Sampler& sampler, const Options& options, Screen screen) {
  const Terminal terminal;
  screen.colours = screen.keys = true;
  for (auto next = Clock::now() + options.pause();;) {
    screen.rows = terminal.rows();
    screen.columns = terminal.columns();
    terminal.show(top_text(sampler.status(), sampler.load(), screen));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(next - Clock::now(), Clock::duration{}));
    const char key = terminal.key(left);
    if (key == 'q') return {};
    if (const auto sort = sort_by_key(key)) screen.sort = *sort;
    if (Clock::now() < next) continue;
    next += options.pause();
    if (auto taken = sampler.take(); !taken) return taken.error();
  }
}

int top(const std::string& socket, const Options& options) {
  Sampler sampler(socket);
  if (auto taken = sampler.take(); !taken) return complain(taken.error());
  const Screen screen{.sort = sort_by_name(options.sort).value_or(SortBy::kIops)};
  if (options.once || !Terminal::present()) return print(sampler, options, screen);
  const std::string error = show_screens(sampler, options, screen);
  return error.empty() ? 0 : complain(error);
}

}  // namespace

void add_top(CommandLine& line) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = line.add("top", "show the busiest LUNs, refreshed; the key q ends it",
                                     [&line, options] { return top(line.socket, *options); });
  command->add_flag("--once", options->once, "show one, and exit");
  command->add_option("--interval", options->interval, "seconds between two")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command->add_option("--sort", options->sort, "by name, iops, bytes, latency, in-flight or oldest")
      ->check([](const std::string& name) {
        return sort_by_name(name) ? std::string() : "no order has the name " + name;
      })
      ->capture_default_str();
}

}  // namespace tcmurbd
