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

// The flag is cleared before the queue is emptied, so a push that finds it set is seen by the drain
// that clears it. A push that sets it does not return before a drain has begun after it, or the
// reactor was woken for one: nothing is lost, whichever thread holds the turn meanwhile.
void Inbox::push(OpDone done) {
  CHECK(queue_.push(done));
  if (signalled_.exchange(true, std::memory_order_acq_rel)) return;
  if (invited_.load(std::memory_order_relaxed) && drained_here()) return;
  const uint64_t one = 1;
  CHECK(write(event_.get(), &one, sizeof one) == sizeof one);
}

bool Inbox::drained_here() {
  if (!turn.try_lock()) return false;
  const bool drained = drain_here_ && drain_here_();
  turn.unlock();
  return drained;
}

void Inbox::clear_event() {
  uint64_t count = 0;
  const ssize_t n = read(event_.get(), &count, sizeof count);
  CHECK(n == sizeof count || errno == EAGAIN);
}

}  // namespace tcmurbd::reactor
