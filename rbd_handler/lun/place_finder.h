// SPDX-License-Identifier: Apache-2.0
// Asks the monitors where objects are, for an operator who waits for the answer: in a thread of its
// own, and with a bound. Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "rbd_handler/ceph/monitors.h"
#include "rbd_handler/reactor/jobs.h"

namespace tcmurbd {

class PlaceFinder : public std::enable_shared_from_this<PlaceFinder> {
 public:
  // In the order of the objects that were asked for. No value: not found in time.
  using Places = std::vector<std::optional<ceph::ObjectLocation>>;

  explicit PlaceFinder(boost::asio::io_context& control);

  // Calls `done` once, on the control thread, when all are found, after `patience` at the latest,
  // with what was found by then. While the thread of an earlier request that has been answered
  // still hangs, at once, with nothing: so there is one such thread at most. It hangs as long as a
  // monitor command, 10 s.
  void find(std::shared_ptr<ceph::Monitors> monitors, std::vector<ceph::ObjectPlace> objects,
            std::chrono::milliseconds patience, std::function<void(Places)> done);

 private:
  struct Request;
  void finish(Request& request);

  boost::asio::io_context& control_;
  const std::shared_ptr<reactor::Jobs> jobs_;
  std::deque<std::shared_ptr<Request>> requests_;  // Not ended; the first one has the thread.
};

}  // namespace tcmurbd
