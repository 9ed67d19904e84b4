// SPDX-License-Identifier: Apache-2.0
// What LUNs did between two answers to the request "status": rates, and latencies from the
// histograms in them. Pure, any thread.
//
// Fields that an answer does not have give no value, shown as "-". A JSON value of another type
// than expected throws nlohmann::json::exception.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tcmurbd {

// Commands by how long they took. `buckets` has one more than `bounds`, for what took longer.
struct Histogram {
  uint64_t count = 0;
  double sum = 0;  // Seconds, as the bounds are.
  std::vector<uint64_t> buckets{};
  std::vector<double> bounds{};

  // Nothing if it is empty. Within a bucket, values are taken to be spread evenly; of the last one
  // only the lower bound is known.
  std::optional<double> quantile(double q) const;
  std::optional<double> mean() const;
  // REQUIRES: the same bounds.
  void add(const Histogram& other);
  // What came since `earlier`; all of it if that is not an earlier one of this.
  Histogram since(const Histogram& earlier) const;
};

// The histogram `latency.KIND.OP` of a device, such as command.read; bounds from the whole answer.
// Nothing if it is not there, or not consistent.
std::optional<Histogram> histogram(const nlohmann::json& status, const nlohmann::json& device,
                                   const std::string& kind, const std::string& op);

struct Direction {
  std::optional<double> ops{};  // A second, as the next.
  std::optional<double> bytes{};
  std::optional<double> mean{};  // Seconds from the ring to the answer, as the next.
  std::optional<double> p99{};
};

struct Load {
  Direction reads{};
  Direction writes{};           // All that change the image.
  std::optional<double> ops{};  // Of both.
  std::optional<double> bytes{};
  std::optional<double> p50{};  // Of all commands that move or flush data, as the next.
  std::optional<double> p99{};
  std::optional<double> queue{};  // Commands open on average.
};

// By the devices' names, of each in `after`. `before` null: since the LUNs were opened, without
// what needs a time. A LUN that was opened again in between counts from there on.
std::map<std::string, Load> loads(const nlohmann::json* before, const nlohmann::json& after,
                                  double seconds);

}  // namespace tcmurbd
