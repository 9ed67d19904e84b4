// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/load.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "common/quantile.h"

namespace tcmurbd {

using nlohmann::json;

std::optional<double> Histogram::quantile(double q) const {
  return tcmurbd::quantile(buckets, bounds, q);
}

std::optional<double> Histogram::mean() const {
  return count == 0 ? std::nullopt : std::optional(sum / static_cast<double>(count));
}

void Histogram::add(const Histogram& other) {
  count += other.count;
  sum += other.sum;
  std::ranges::transform(buckets, other.buckets, buckets.begin(), std::plus{});
}

Histogram Histogram::since(const Histogram& earlier) const {
  bool later = earlier.bounds == bounds && count >= earlier.count;
  for (size_t i = 0; later && i < buckets.size(); ++i) later = buckets[i] >= earlier.buckets[i];
  if (!later) return *this;
  Histogram difference = *this;
  difference.count -= earlier.count;
  difference.sum = std::max(0.0, sum - earlier.sum);
  std::ranges::transform(buckets, earlier.buckets, difference.buckets.begin(), std::minus{});
  return difference;
}

namespace {

constexpr double kMicro = 1e-6;
constexpr double kNano = 1e-9;

const json* member(const json& object, const std::string& name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const json* device_named(const json* status, const std::string& name) {
  if (status == nullptr) return nullptr;
  for (const json& device : status->at("devices"))
    if (device.at("name") == name) return &device;
  return nullptr;
}

// Commands that move or flush data, those that read, and those that change the image.
enum class Which : uint8_t { kData, kReads, kWrites };

// `op` is an operation of the histograms (scsi/operation.h). INQUIRY and its like are fast and
// frequent on an idle LUN, and EXTENDED COPY takes seconds on a healthy one: they say nothing of
// the cluster.
bool belongs(std::string_view op, Which which) {
  constexpr std::array<std::string_view, 4> kWrites{"write", "unmap", "write_same",
                                                    "compare_and_write"};
  switch (which) {
    case Which::kData:
      return op != "other" && op != "extended_copy";
    case Which::kReads:
      return op == "read";
    case Which::kWrites:
      return std::ranges::find(kWrites, op) != kWrites.end();
  }
  return false;
}

std::optional<Histogram> sum_of(const json* status, const json* device, Which which) {
  if (status == nullptr || device == nullptr) return std::nullopt;
  const json* const latency = member(*device, "latency");
  const json* const commands = latency != nullptr ? member(*latency, "command") : nullptr;
  std::optional<Histogram> sum;
  if (commands == nullptr) return sum;
  for (const auto& [op, value] : commands->items()) {
    if (!belongs(op, which)) continue;
    const auto one = histogram(*status, *device, "command", op);
    if (!one) continue;
    if (sum) {
      sum->add(*one);
    } else {
      sum = one;
    }
  }
  return sum;
}

struct Pair {
  const json* before_status;
  const json* before;  // The device; null: it was not there.
  const json& after_status;
  const json& after;
};

std::optional<Histogram> histogram_of(const Pair& pair, Which which) {
  const auto now = sum_of(&pair.after_status, &pair.after, which);
  const auto then = sum_of(pair.before_status, pair.before, which);
  return now && then ? now->since(*then) : now;
}

// A second. A counter that is smaller than it was began again.
std::optional<double> rate(const Pair& pair, const std::string& counter, double seconds) {
  const json* const now = member(pair.after, "counters");
  if (pair.before == nullptr || now == nullptr || !now->contains(counter) || seconds <= 0)
    return std::nullopt;
  const json* const then = member(*pair.before, "counters");
  const auto value = now->at(counter).get<uint64_t>();
  const uint64_t base = then != nullptr ? then->value(counter, uint64_t{0}) : 0;
  return static_cast<double>(value >= base ? value - base : value) / seconds;
}

std::optional<double> sum(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b ? std::optional(*a + *b) : std::nullopt;
}

Direction direction(const Pair& pair, const std::string& name, Which which, double seconds) {
  Direction direction{.ops = rate(pair, name + "s", seconds),
                      .bytes = rate(pair, name + "_bytes", seconds),
                      .mean = {},
                      .p99 = {}};
  if (const auto latencies = histogram_of(pair, which)) {
    direction.mean = latencies->mean();
    direction.p99 = latencies->quantile(0.99);
  }
  return direction;
}

Load load_of(const Pair& pair, double seconds) {
  Load load{.reads = direction(pair, "read", Which::kReads, seconds),
            .writes = direction(pair, "write", Which::kWrites, seconds),
            .ops = {},
            .bytes = {},
            .p50 = {},
            .p99 = {},
            .queue = {}};
  load.ops = sum(load.reads.ops, load.writes.ops);
  load.bytes = sum(load.reads.bytes, load.writes.bytes);
  if (const auto latencies = histogram_of(pair, Which::kData)) {
    load.p50 = latencies->quantile(0.5);
    load.p99 = latencies->quantile(0.99);
    // Little's law; exact if all of them have ended within the time.
    if (pair.before != nullptr && seconds > 0) load.queue = latencies->sum / seconds;
  }
  return load;
}

}  // namespace

std::optional<Histogram> histogram(const json& status, const json& device, const std::string& kind,
                                   const std::string& op) {
  const json* const bounds = member(status, "latency_bounds_us");
  const json* const latency = member(device, "latency");
  const json* const kinds = latency != nullptr ? member(*latency, kind) : nullptr;
  const json* const found = kinds != nullptr ? member(*kinds, op) : nullptr;
  if (bounds == nullptr || found == nullptr) return std::nullopt;
  Histogram histogram{.count = found->at("count"),
                      .sum = kNano * found->at("sum_ns").get<double>(),
                      .buckets = found->at("buckets")};
  for (const json& bound : *bounds) histogram.bounds.push_back(kMicro * bound.get<double>());
  if (histogram.buckets.size() != histogram.bounds.size() + 1 ||
      !std::ranges::is_sorted(histogram.bounds))
    return std::nullopt;
  return histogram;
}

std::map<std::string, Load> loads(const json* before, const json& after, double seconds) {
  std::map<std::string, Load> all;
  for (const json& device : after.at("devices")) {
    const std::string name = device.at("name");
    all[name] = load_of({before, device_named(before, name), after, device}, seconds);
  }
  return all;
}

}  // namespace tcmurbd
