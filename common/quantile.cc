// SPDX-License-Identifier: Apache-2.0
#include "common/quantile.h"

#include <algorithm>
#include <functional>

namespace tcmurbd {

std::optional<double> quantile(std::span<const uint64_t> buckets, std::span<const double> bounds,
                               double q) {
  if (bounds.empty() || buckets.size() != bounds.size() + 1 ||
      std::ranges::adjacent_find(bounds, std::greater_equal()) != bounds.end())
    return std::nullopt;
  double count = 0;
  for (const uint64_t bucket : buckets) count += static_cast<double>(bucket);
  if (count == 0) return std::nullopt;
  const double rank = std::clamp(q, 0.0, 1.0) * count;
  double below = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    const auto here = static_cast<double>(buckets[i]);
    if (here != 0 && below + here >= rank) {
      const double low = i == 0 ? 0 : bounds[i - 1];
      return low + (bounds[i] - low) * (rank - below) / here;
    }
    below += here;
  }
  return bounds.back();
}

}  // namespace tcmurbd
