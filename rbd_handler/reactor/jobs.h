// SPDX-License-Identifier: Apache-2.0
// Runs what may block for as long as RADOS or the kernel likes (open, close, configfs), one job of
// a queue at a time and in order. A thread for each job, not a pool: a hung OSD keeps a pool's
// threads one after the other, and then the LUNs on healthy OSDs wait too. Jobs are rare.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace tcmurbd::reactor {

class Jobs : public std::enable_shared_from_this<Jobs> {
 public:
  // A job whose thread can't be started, since the process or the machine may have no more, is
  // tried again after this: threads of others end.
  static constexpr std::chrono::milliseconds kTryAgain{200};
  // Throws std::system_error as std::thread's constructor does. A test's may fail at will.
  using StartThread = std::function<std::thread(std::move_only_function<void()> body)>;

  explicit Jobs(boost::asio::io_context& control);
  Jobs(boost::asio::io_context& control, StartThread start_thread);

  // Control thread. `work` runs on a thread of its own after all earlier ones have ended, `then` on
  // the control thread after it. Both are dropped unrun only when the process ends.
  void run(std::move_only_function<void()> work, std::move_only_function<void()> then);

  // Control thread. Why the next job has no thread yet; empty: it runs, or there is none.
  const std::string& obstacle() const { return obstacle_; }

 private:
  struct Job {
    std::move_only_function<void()> work;
    std::move_only_function<void()> then;
  };
  void start_next();
  void try_again();

  boost::asio::io_context& control_;
  const StartThread start_thread_;
  boost::asio::steady_timer retry_;
  std::deque<Job> queue_;
  std::thread thread_;  // Of the job that runs.
  std::string obstacle_;
  bool running_ = false;
};

}  // namespace tcmurbd::reactor
