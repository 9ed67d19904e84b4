// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/jobs.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace tcmurbd::reactor {

void Jobs::run(std::move_only_function<void()> work, std::move_only_function<void()> then) {
  queue_.push_back({std::move(work), std::move(then)});
  if (!running_) start_next();
}

void Jobs::start_next() {
  running_ = true;
  // Shared, since a handler of the loop must be copyable.
  auto job = std::make_shared<Job>(std::move(queue_.front()));
  queue_.pop_front();
  thread_ = std::thread([self = shared_from_this(), job]() mutable {
    job->work();
    auto& control = self->control_;
    boost::asio::post(control, [self = std::move(self), job = std::move(job)] {
      self->thread_.join();  // It has nothing left to do but to return from the post.
      job->then();           // Before the next one starts: it may replace what that works on.
      self->running_ = false;
      if (!self->queue_.empty()) self->start_next();
    });
  });
}

}  // namespace tcmurbd::reactor
