// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/object_probe.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <future>
#include <memory>

namespace tcmurbd::ceph {

namespace {

using Clock = std::chrono::steady_clock;

// What librados writes to, and what it calls at the end.
struct Reply {
  std::promise<Clock::time_point> came;
  uint64_t bytes = 0;
  time_t changed = 0;
};

// A stat on its way.
class Probe {
 public:
  explicit Probe(const ProbedObject& probed) : pool_(probed.pool) {
    auto reply = std::make_unique<Reply>();
    came_ = reply->came.get_future();
    if (rados_aio_create_completion2(reply.get(), &on_end, &completion_) < 0) return;
    const int r =
        rados_aio_stat(pool_, probed.object.c_str(), completion_, &reply->bytes, &reply->changed);
    if (r == 0) reply.release();  // NOLINT(bugprone-unused-return-value): on_end's.
  }
  ~Probe() {
    if (completion_ == nullptr) return;
    rados_aio_cancel(pool_, completion_);  // Does nothing to one that has ended.
    rados_aio_release(completion_);
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // No later than `end`.
  Clock::time_point wait_until(Clock::time_point end) {
    if (came_.wait_until(end) != std::future_status::ready) return end;
    try {
      return came_.get();
    } catch (const std::future_error&) {
      return {};  // It could not be sent: nothing is known to hang.
    }
  }

 private:
  // Once, on a thread of librados, also after a cancellation.
  static void on_end(rados_completion_t, void* reply) {
    const std::unique_ptr<Reply> mine(static_cast<Reply*>(reply));
    mine->came.set_value(Clock::now());
  }

  const rados_ioctx_t pool_;
  std::future<Clock::time_point> came_;
  rados_completion_t completion_ = nullptr;
};

}  // namespace

std::vector<std::chrono::nanoseconds> reply_times(std::span<const ProbedObject> objects,
                                                  std::chrono::nanoseconds patience) {
  const auto begin = Clock::now();
  std::vector<std::unique_ptr<Probe>> probes;
  probes.reserve(objects.size());
  for (const ProbedObject& object : objects) probes.push_back(std::make_unique<Probe>(object));
  std::vector<std::chrono::nanoseconds> times;
  times.reserve(objects.size());
  for (const auto& probe : probes)
    times.push_back(std::max(probe->wait_until(begin + patience), begin) - begin);
  return times;
}

}  // namespace tcmurbd::ceph
