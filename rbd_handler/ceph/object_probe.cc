// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/object_probe.h"

#include <cstdint>
#include <ctime>
#include <future>
#include <memory>

namespace tcmurbd::ceph {

namespace {

struct Probe {
  std::promise<void> ended;
  uint64_t bytes = 0;
  time_t changed = 0;
};

}  // namespace

bool answers(rados_ioctx_t pool, const std::string& object, std::chrono::milliseconds patience) {
  auto probe = std::make_unique<Probe>();
  const std::future<void> ended = probe->ended.get_future();
  // Once, on a thread of librados, also after a cancellation.
  const auto on_end = [](rados_completion_t, void* ours) {
    const std::unique_ptr<Probe> mine(static_cast<Probe*>(ours));
    mine->ended.set_value();
  };
  rados_completion_t completion = nullptr;
  if (rados_aio_create_completion2(probe.get(), on_end, &completion) < 0) return false;
  const int r = rados_aio_stat(pool, object.c_str(), completion, &probe->bytes, &probe->changed);
  if (r < 0) {
    rados_aio_release(completion);
    return true;
  }
  probe.release();  // NOLINT(bugprone-unused-return-value): on_end's.
  const bool answered = ended.wait_for(patience) == std::future_status::ready;
  if (!answered) rados_aio_cancel(pool, completion);
  rados_aio_release(completion);
  return answered;
}

}  // namespace tcmurbd::ceph
