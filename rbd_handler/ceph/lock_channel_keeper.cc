// SPDX-License-Identifier: Apache-2.0
// The channel's own thread: maintains the watch and detects silent gateways.
#include <rados/librados.h>

#include <algorithm>
#include <utility>

#include "rbd_handler/ceph/lock_channel.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kRepairInterval{1};
// Between notifies whose only purpose is to detect silent gateways: the interval of the pings that
// each client sends for each of its watches.
constexpr std::chrono::seconds kProbeInterval{10};
// While a gateway is silent. These notifies may fail at once.
constexpr milliseconds kProbeAgain{500};
// The delay until the start of a hand-over is noticed.
constexpr milliseconds kLook{100};

}  // namespace

void LockChannel::keep_watch(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  const auto to_do = [this]() REQUIRES_LOCK(mutex_) { return watch_failed() || !sent_.empty(); };
  while (!stop.stop_requested()) {
    if (watch_failed()) {
      repair_watch(stop);
      continue;
    }
    look_at_ended();
    look_for_dead();
    const bool due = must_probe();
    if (!due && !sent_.empty()) {
      const auto first = sent_.front().notify;
      lock.unlock();
      first->wait_for_end(kLook);
      lock.lock();
    } else if (!due && (alone_ || cookie_ == 0)) {
      changed_.wait(lock, stop,
                    [&]() REQUIRES_LOCK(mutex_) { return to_do() || (!alone_ && cookie_ != 0); });
    } else if (due ||
               (!changed_.wait_until(lock, stop, probe_at_, to_do) && !stop.stop_requested())) {
      probe();
    }
  }
}

// A gateway is silent, and no notify in flight will show for how long.
bool LockChannel::must_probe() const {
  const auto from = peers_.suspected_until();
  if (!from || steady_clock::now() < again_at_) return false;
  return std::ranges::none_of(sent_, [&](const Sent& sent) { return sent.at >= *from; });
}

// Only the keeper waits for the end of this notify.
void LockChannel::probe() {
  mutex_.unlock();
  const auto notify = std::make_shared<Notify>();
  const PeerBook::Time now = steady_clock::now();
  const bool sent = send_here(notify, new_nonce()) == 0;
  mutex_.lock();
  probe_at_ = now + kProbeInterval;
  again_at_ = now + kProbeAgain;
  if (sent) sent_.push_back({notify, now, kShortPatience});
}

// Records the replies of the watchers to notifies that have ended.
void LockChannel::look_at_ended() {
  struct Ended {
    Sent sent;
    Notify::Outcome outcome;
  };
  std::vector<Ended> all;
  std::erase_if(sent_, [&](const Sent& sent) {
    const bool ended = sent.notify->ended();
    if (ended) all.push_back({sent, sent.notify->outcome()});
    return ended;
  });
  std::ranges::sort(all, {}, [](const Ended& ended) { return ended.outcome.end; });
  const uint64_t we = rados_get_instance_id(control_->client().handle());
  for (const auto& [sent, outcome] : all) {
    if (!outcome.known) continue;
    std::vector<uint64_t> others;
    for (const Notify::Reply& reply : outcome.replies) {
      if (reply.client == we) continue;
      others.push_back(reply.client);
      if (reply.timed_out)
        peers_.missed(reply.client, {sent.at, outcome.end, sent.patience});
      else
        peers_.heard(reply.client, reply.text);
    }
    peers_.watching(others);
    alone_ = others.empty();
    probe_at_ = steady_clock::now() + kProbeInterval;
  }
}

void LockChannel::look_for_dead() {
  const bool busy = steady_clock::now() < busy_until_;
  auto dead = peers_.take_dead(busy ? PeerBook::kSilence : PeerBook::kSilenceInPeace);
  if (dead.empty() || !handlers_.on_silent) return;
  mutex_.unlock();
  handlers_.on_silent(std::move(dead));
  mutex_.lock();
}

bool LockChannel::watch_failed() const {
  return std::ranges::find(failed_, cookie_) != failed_.end();
}

void LockChannel::repair_watch(const std::stop_token& stop) {
  const uint64_t old = std::exchange(cookie_, 0);
  failed_.clear();  // Cookies are addresses: the next watch may get this one again.
  mutex_.unlock();
  rados_unwatch2(pool_.get(), old);
  bool repaired = watch() == 0;
  mutex_.lock();
  while (!repaired && !stop.stop_requested()) {
    changed_.wait_for(mutex_, stop, kRepairInterval, [] { return false; });
    mutex_.unlock();
    repaired = watch() == 0;
    mutex_.lock();
  }
}

}  // namespace tcmurbd::ceph
