// SPDX-License-Identifier: Apache-2.0
// Runs what may block for as long as RADOS likes (open, close, refresh), one job of a LUN at a time
// and in order. A thread for each job, not a pool: a hung OSD keeps a pool's threads one after the
// other, and then the LUNs on healthy OSDs wait too. Jobs are rare (start, stop, resize).
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

namespace tcmurbd::reactor {

class Jobs : public std::enable_shared_from_this<Jobs> {
 public:
  explicit Jobs(boost::asio::io_context& control) : control_(control) {}

  // Control thread. `work` runs on a thread of its own after all earlier ones have ended, `then` on
  // the control thread after it. Both are dropped unrun only when the process ends.
  void run(std::move_only_function<void()> work, std::move_only_function<void()> then);

 private:
  struct Job {
    std::move_only_function<void()> work;
    std::move_only_function<void()> then;
  };
  void start_next();

  boost::asio::io_context& control_;
  std::deque<Job> queue_;
  std::thread thread_;  // Of the job that runs.
  bool running_ = false;
};

}  // namespace tcmurbd::reactor
