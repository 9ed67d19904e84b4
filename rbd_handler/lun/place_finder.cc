// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/lun/place_finder.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace tcmurbd {

namespace asio = boost::asio;

struct PlaceFinder::Request {
  explicit Request(asio::io_context& control) : timer(control) {}

  std::vector<ceph::ObjectPlace> objects;  // Constant while the thread runs.
  std::atomic<bool> over = false;          // It was answered.
  // Control thread only.
  asio::steady_timer timer;
  Places found;
  std::function<void(Places)> done;
};

PlaceFinder::PlaceFinder(asio::io_context& control)
    : control_(control), jobs_(std::make_shared<reactor::Jobs>(control)) {}

void PlaceFinder::find(std::shared_ptr<ceph::Monitors> monitors,
                       std::vector<ceph::ObjectPlace> objects, std::chrono::milliseconds patience,
                       std::function<void(Places)> done) {
  const size_t count = objects.size();
  if (count == 0 || (!requests_.empty() && requests_.front()->over)) return done(Places(count));
  auto request = std::make_shared<Request>(control_);
  request->objects = std::move(objects);
  request->found.resize(count);
  request->done = std::move(done);
  request->timer.expires_after(patience);
  request->timer.async_wait([self = shared_from_this(), request](const auto& canceled) {
    if (!canceled) self->finish(*request);
  });
  jobs_->run(
      [&control = control_, monitors = std::move(monitors), request]() mutable {
        const auto mine = std::move(monitors);  // Perhaps the last to use it, and closing blocks.
        for (size_t i = 0; i < request->objects.size() && !request->over; ++i) {
          auto place = mine->locate(request->objects[i]);
          if (!place) continue;
          asio::post(control, [request, i, place = std::move(*place)]() mutable {
            if (!request->over) request->found[i] = std::move(place);
          });
        }
      },
      [self = shared_from_this(), request] {
        self->requests_.pop_front();
        self->finish(*request);
      });
  requests_.push_back(std::move(request));
}

void PlaceFinder::finish(Request& request) {
  if (request.over.exchange(true)) return;
  request.timer.cancel();
  std::exchange(request.done, nullptr)(std::move(request.found));
}

}  // namespace tcmurbd
