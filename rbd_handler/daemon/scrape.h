// SPDX-License-Identifier: Apache-2.0
// One collection of what the metrics tell. Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "rbd_handler/lun/lun.h"
#include "rbd_handler/metrics/samples.h"

namespace tcmurbd {

// A reactor that does not answer in this time is not waited for.
inline constexpr std::chrono::seconds kScrapePatience{1};

// Adds the LUNs to `sample`, and calls `done` with it once, on the control thread, when all their
// reactors have answered, or after kScrapePatience.
void scrape(boost::asio::io_context& control, const std::vector<std::shared_ptr<Lun>>& luns,
            metrics::Sample sample, std::function<void(metrics::Sample)> done);

// Of this process, but for its start time. No value: /proc is not there.
std::optional<metrics::ProcessSample> read_process();

}  // namespace tcmurbd
