// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/reactor/inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "common/check.h"

namespace tcmurbd::reactor {

Inbox::Inbox() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_.valid()) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void Inbox::push(OpDone done) {
  CHECK(queue_.push(done));
  // Only the first of a batch writes. The flag is cleared before the queue is emptied, so a push
  // that finds it set is either seen by the drain under way or followed by another wake-up.
  if (!signalled_.exchange(true, std::memory_order_acq_rel)) {
    const uint64_t one = 1;
    CHECK(write(event_.get(), &one, sizeof one) == sizeof one);
  }
}

void Inbox::clear_event() {
  uint64_t count = 0;
  const ssize_t n = read(event_.get(), &count, sizeof count);
  CHECK(n == sizeof count || errno == EAGAIN);
}

}  // namespace tcmurbd::reactor
