// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/native/aborts.h"

#include <poll.h>

#include <algorithm>
#include <stdexcept>

namespace tcmurbd::bench {
namespace {

constexpr uint64_t kPatienceNs = 30'000'000'000;
constexpr int kLookMs = 10;

// Keeps all loads going: one look at all doorbells.
void serve(Loads& loads, const Case& what, std::vector<pollfd>& doorbells) {
  poll(doorbells.data(), doorbells.size(), kLookMs);
  for (size_t i = 0; i < loads.size(); ++i) {
    if (doorbells[i].revents != 0) loads[i]->step();
    loads[i]->fill_ring(what);
  }
}

}  // namespace

AbortOutcome abort_on_all(Loads& loads, const Case& what, std::chrono::duration<double> warm,
                          bool notified) {
  std::vector<pollfd> doorbells;
  for (const auto& load : loads) {
    load->prepare(what);
    doorbells.push_back({load->doorbell(), POLLIN, 0});
  }
  const uint64_t warm_end = now_ns() + static_cast<uint64_t>(warm.count() * 1e9);
  while (now_ns() < warm_end) serve(loads, what, doorbells);

  std::vector<Load*> aborting;
  const uint64_t begin = now_ns();
  for (const auto& load : loads)
    if (load->abort_newest(notified)) aborting.push_back(load.get());
  const auto answered = [](const Load* load) { return load->abort_answer().has_value(); };
  while (!std::ranges::all_of(aborting, answered)) {
    if (now_ns() - begin > kPatienceNs)
      throw std::runtime_error("an aborted command did not end within 30 s");
    serve(loads, what, doorbells);
  }
  for (const auto& load : loads) load->drain();

  AbortOutcome outcome{.aborts = aborting.size()};
  std::vector<double> times;
  for (const Load* const load : aborting) {
    const Load::Answer answer = load->abort_answer().value_or(Load::Answer{});
    times.push_back(static_cast<double>(answer.at_ns - begin) / 1e6);
    outcome.good += answer.status == 0;
  }
  for (const auto& load : loads) outcome.failed += load->failed();
  std::ranges::sort(times);
  if (!times.empty()) {
    outcome.median_ms = times[times.size() / 2];
    outcome.last_ms = times.back();
  }
  return outcome;
}

}  // namespace tcmurbd::bench
