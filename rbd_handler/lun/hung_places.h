// SPDX-License-Identifier: Apache-2.0
// Which OSDs hang the commands of a LUN, for its metrics: keeps where their objects are, and asks
// the monitors for those that it does not know. The answer is there for the next scrape: nothing
// waits for it. Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rbd_handler/ceph/monitors.h"
#include "rbd_handler/ceph/served_image.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

// An OSD of the acting set of hung commands. No value: where they hang is not known (yet).
struct HungOsd {
  std::optional<int> osd{};
  bool primary = true;  // Of their placement groups. Each command has one primary OSD.
  auto operator<=>(const HungOsd&) const = default;
};
using HungByOsd = std::map<HungOsd, uint32_t>;

class HungPlaces : public std::enable_shared_from_this<HungPlaces> {
 public:
  using Clock = std::chrono::steady_clock;

  explicit HungPlaces(boost::asio::io_context& control);

  // How many of `hung`, the first ranges of hung ops of `image`, are with which OSDs. Asks
  // `monitors` for the rest in a job: one at a time, which hangs as long as a monitor command.
  HungByOsd count(std::span<const ByteRange> hung, const ceph::ServedImage& image,
                  std::shared_ptr<ceph::Monitors> monitors, Clock::time_point now);

 private:
  struct Known {
    std::vector<int> acting;
    Clock::time_point when{};
  };
  void ask(std::shared_ptr<ceph::Monitors> monitors, std::vector<ceph::ObjectPlace> places);

  const std::shared_ptr<reactor::Jobs> jobs_;
  std::map<std::string, Known> known_;  // By object; those that hung at the last count.
  bool asking_ = false;
};

}  // namespace tcmurbd
