// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/jobs.h"

#include <boost/asio/post.hpp>
#include <system_error>
#include <utility>

#include "common/log.h"
#include "rbd_handler/messages/lun.h"

namespace tcmurbd::reactor {
namespace {

Log& jobs_log() {
  static Log log("jobs");
  return log;
}

}  // namespace

Jobs::Jobs(boost::asio::io_context& control)
    : Jobs(control,
           [](std::move_only_function<void()> body) { return std::thread(std::move(body)); }) {}

Jobs::Jobs(boost::asio::io_context& control, StartThread start_thread)
    : control_(control), start_thread_(std::move(start_thread)), retry_(control) {}

void Jobs::run(std::move_only_function<void()> work, std::move_only_function<void()> then) {
  queue_.push_back({std::move(work), std::move(then)});
  if (!running_) start_next();
}

void Jobs::start_next() {
  running_ = true;
  // Shared, since a handler of the loop must be copyable, and the job outlives a failed start.
  auto job = std::make_shared<Job>(std::move(queue_.front()));
  queue_.pop_front();
  try {
    thread_ = start_thread_([self = shared_from_this(), job]() mutable {
      job->work();
      auto& control = self->control_;
      boost::asio::post(control, [self = std::move(self), job = std::move(job)] {
        self->thread_.join();  // It has nothing left to do but to return from the post.
        job->then();           // Before the next one starts: it may replace what that works on.
        self->running_ = false;
        if (!self->queue_.empty()) self->start_next();
      });
    });
    obstacle_.clear();
  } catch (const std::system_error& error) {
    queue_.push_front(std::move(*job));
    obstacle_ = std::string("cannot start a thread: ") + error.code().message();
    jobs_log().write<messages::kNoThread>(error.code().message());
    try_again();
  }
}

void Jobs::try_again() {
  retry_.expires_after(kTryAgain);
  retry_.async_wait([self = shared_from_this()](const boost::system::error_code& canceled) {
    if (!canceled) self->start_next();
  });
}

}  // namespace tcmurbd::reactor
