// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/object_probe.h"

#include <cstdint>
#include <ctime>
#include <future>

namespace tcmurbd::ceph {

bool answers(rados_ioctx_t pool, const std::string& object, std::chrono::milliseconds patience) {
  std::promise<void> came;
  const std::future<void> reply = came.get_future();
  // Once, on a thread of librados, also after a cancellation.
  const auto on_end = [](rados_completion_t, void* ours) {
    static_cast<std::promise<void>*>(ours)->set_value();
  };
  rados_completion_t completion = nullptr;
  if (rados_aio_create_completion2(&came, on_end, &completion) < 0) return true;
  uint64_t bytes = 0;
  time_t changed = 0;
  bool answered = true;
  if (rados_aio_stat(pool, object.c_str(), completion, &bytes, &changed) == 0) {
    answered = reply.wait_for(patience) == std::future_status::ready;
    if (!answered) rados_aio_cancel(pool, completion);
    reply.wait();  // What librados writes to is ours.
  }
  rados_aio_release(completion);
  return answered;
}

}  // namespace tcmurbd::ceph
