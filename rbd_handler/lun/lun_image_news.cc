// SPDX-License-Identifier: Apache-2.0
// What the LunImage learns from its image, the watch, the list of fences and operators, and whether
// changes are safe.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "rbd_handler/lun/lun_image.h"
#include "rbd_handler/messages/lock.h"
#include "rbd_handler/messages/lun.h"

namespace tcmurbd {

namespace asio = boost::asio;
using ceph::LockFailure;

namespace {

// An operator who mends the caps does not want to wait for longer.
constexpr std::chrono::seconds kFenceRetry{5};
// Kept for the status; the log has all.
constexpr size_t kWarningsMax = 16;
// Commands that pass their deadlines closer to each other than this belong to one outage.
constexpr std::chrono::seconds kOutage{60};

}  // namespace

// Of the instance that is opened next.
ceph::NewsSink LunImage::news_sink() {
  return [weak = weak_from_this(), &control = control_,
          instance = instances_ + 1](const ceph::ImageNews& news) {
    asio::post(control, [weak, instance, news] {
      if (auto self = weak.lock()) self->on_news(instance, news);
    });
  };
}

void LunImage::on_news(uint32_t instance, const ceph::ImageNews& news) {
  if (closed_ || instance != instances_) return;  // Of one that was given up.
  for (const std::string& warning : news.warnings) {
    log_->write<messages::kImageChanged>(warning);
    if (std::ranges::find(warnings_, warning) == warnings_.end() && warnings_.size() < kWarningsMax)
      warnings_.push_back(warning);
  }
  if (std::exchange(unsafe_, news.unsafe) && !news.unsafe) {
    log_->write<messages::kSafeAgain>();
    warnings_.clear();
  }
  tell([limits = news.limits, primary = news.primary](Device& device, TimePoint now) {
    device.on_rate_limits(limits, now);
    device.on_primary(primary, now);
  });
  tell_role();
}

void LunImage::tell_role() {
  tell([safe = safe()](Device& device, TimePoint now) { device.on_safe(safe, now); });
}

void LunImage::serve(Tell tell) {
  tell_ = std::move(tell);
  tell_role();  // News may have come before anybody listened.
  if (!opened_.unfenced.empty()) fence_predecessor_later();
}

// Until an operator has mended the caps.
void LunImage::fence_predecessor_later() {
  retry_timer_.expires_after(kFenceRetry);
  retry_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_) return;
    auto fenced = std::make_shared<std::expected<void, LockFailure>>();
    const std::string address = self->opened_.unfenced;
    self->questions_->run(
        [held = self->opened_.monitors, address, fenced]() mutable {
          const auto control = std::move(held);  // Perhaps the last to use it, and closing blocks.
          *fenced = control->blocklist(address);
        },
        [self, address, fenced] {
          if (self->closed_) return;
          if (!*fenced) return self->fence_predecessor_later();
          self->log_->write<messages::kPredecessorFenced>(address);
          self->record_.remove(address);
          self->fenced_.push_back(address);
          self->opened_.fences->add(address, ceph::FenceReason::kPredecessor);
          self->opened_.unfenced.clear();
          self->tell_role();
        });
  });
}

std::vector<ceph::FencedInstance> LunImage::fences() const {
  return opened_.fences ? opened_.fences->list() : std::vector<ceph::FencedInstance>{};
}

void LunImage::release_for_operator(std::function<void(lock::PeerAnswer)> done) {
  if (!tell_) return done(lock::PeerAnswer::kNotOwner);
  const uint64_t number = ++last_request_;
  operators_[number] = std::move(done);
  log_->write<messages::kLockOperatorAsks>();
  tell([number](Device& device, TimePoint now) { device.on_operator_asks(number, now); });
}

void LunImage::publish(ceph::ServiceStatus status) {
  published_ = status;
  if (closed_ || !opened_.image) return;
  if (auto published = image().publish(status); !published)
    log_->write<messages::kNotInServiceMap>(published.error());
}

void LunImage::publish_owner(bool owner) {
  if (published_.lock_owner == owner) return;
  auto status = published_;
  status.lock_owner = owner;
  publish(status);
}

void LunImage::note_deadline() {
  const auto now = std::chrono::steady_clock::now();
  const auto last = std::exchange(last_deadline_, now);
  if (last && now - *last < kOutage) return;
  auto status = published_;
  ++status.commands_timed_out;
  publish(status);
}

// Gateways that died. They held nothing, or the gateway that took the lock from them has
// blocklisted them; but they watch the image for half a minute, and each release of the lock waits
// for them.
void LunImage::bury(const std::vector<std::string>& addresses) {
  if (closed_ || !opened_.channel) return;
  for (const std::string& address : addresses) {
    if (opened_.fences->contains(address)) continue;  // Another gateway was quicker.
    log_->write<messages::kPeerSilent>(address);
    auto done = std::make_shared<std::expected<void, LockFailure>>();
    questions_->run(
        [control = opened_.monitors, channel = opened_.channel, fences = opened_.fences, address,
         done]() mutable {
          const auto mine = std::move(control);  // Perhaps the last to use them, and that blocks.
          const auto book = std::move(fences);
          const auto way = std::move(channel);
          *done = mine->blocklist(address);
          if (!*done) return;
          // The header's OSD hears of the map with this, and ends the dead gateway's watch.
          [[maybe_unused]] const auto heard = way->holder();
          book->add(address, ceph::FenceReason::kSilent);
        },
        [log = log_, done] {
          if (!*done) log->write<messages::kPeerNotFenced>(done->error().text);
        });
  }
}

// The device learns of it before the outcome of an acquire that noticed it too: both are posted
// here.
void LunImage::on_watch_lost() {
  log_->write<messages::kWatchLost>();
  auto status = published_;
  ++status.connections_lost;
  publish(status);
  tell([](Device& device, TimePoint now) { device.on_away(AwayCause::kWatchLost, {}, now); });
}

void LunImage::on_fences_changed() {
  if (!closed_ && opened_.fences) opened_.fences->refresh();
}

void LunImage::serve_as_instance() {
  if (!opened_.channel) return;
  opened_.channel->serve_as(image().address());
  opened_.fences->serve_as(image().address());
}

// Also after this gateway's own fence, whose states ignore it.
void LunImage::on_own_fenced(const std::string& address) {
  if (closed_ || address != image().address()) return;
  tell([](Device& device, TimePoint now) { device.on_blocklisted(now); });
}

}  // namespace tcmurbd
