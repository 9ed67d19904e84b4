// SPDX-License-Identifier: Apache-2.0
// Quantiles of a histogram, as they come out of the daemon's status. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace tcmurbd {

// The value below which the fraction `q` (0 to 1) of what was counted lies, in the unit of
// `bounds`: interpolated within its bucket, as Prometheus's histogram_quantile does. What is above
// the last bound counts as that bound. Nothing: the histogram is empty, or `buckets` does not have
// one more than `bounds`, or `bounds` do not ascend (they may come from another version).
// `buckets`: how many are in each, not cumulative. To get those of an interval, subtract two
// snapshots.
std::optional<double> quantile(std::span<const uint64_t> buckets, std::span<const double> bounds,
                               double q);

}  // namespace tcmurbd
