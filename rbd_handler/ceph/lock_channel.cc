// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/lock_channel.h"

#include <fmt/format.h>
#include <rados/librados.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <random>
#include <utility>

#include "common/quote.h"
#include "rbd_handler/ceph/failure.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;

// The notifies. NONCE is that of the request, in 16 hexadecimal digits. Unknown notifies are
// acknowledged with kNotOwnerByte.
constexpr std::string_view kRequestPrefix = "tcmu-rbd-lock/1 ";   // NONCE ADDRESS
constexpr std::string_view kAnswerPrefix = "tcmu-rbd-answer/1 ";  // NONCE BYTE
constexpr std::string_view kHerePrefix = "tcmu-rbd-here/1 ";      // NONCE: of our own watch.
constexpr std::string_view kFencedPrefix = "tcmu-rbd-fenced/1";   // The ledger was changed.
// The answers.
constexpr char kReleasedByte = 'r';
constexpr char kHoldsDetachedByte = 'd';
constexpr char kMustWaitByte = 'w';
constexpr char kNotOwnerByte = 'n';

// The OSD ends a notify after its timeout; this is added for the transfer of the reply.
constexpr milliseconds kTravel{500};
// The control client's ops end after 10 s.
constexpr milliseconds kEndMax{11'000};
// librbd notifies all watchers of the image that it has acquired the lock, and a release waits up
// to 5 s for that to end.
constexpr milliseconds kBusy{10'000};
// What another gateway that was just heard of takes until it serves.
constexpr milliseconds kSettles{1000};
// The low bits of a nonce.
constexpr uint64_t kCountMask = 0xffff;

char byte_of(lock::PeerAnswer answer) {
  switch (answer) {
    case lock::PeerAnswer::kReleased:
      return kReleasedByte;
    case lock::PeerAnswer::kHoldsDetached:
      return kHoldsDetachedByte;
    case lock::PeerAnswer::kWait:
      return kMustWaitByte;
    case lock::PeerAnswer::kNotOwner:
      return kNotOwnerByte;
  }
  return kNotOwnerByte;
}

// No value: not an answer of the holder.
std::optional<Asked> asked_from(char byte) {
  switch (byte) {
    case kReleasedByte:
      return Asked::kReleased;
    case kHoldsDetachedByte:
      return Asked::kHoldsDetached;
    case kMustWaitByte:
      return Asked::kMustWait;
    default:
      return std::nullopt;
  }
}

uint64_t random_nonce() {
  std::random_device random;
  return ((uint64_t{random()} << 32) | random()) & ~kCountMask;
}

std::string here_words(uint64_t nonce) { return fmt::format("{}{:016x}", kHerePrefix, nonce); }

// Cuts the prefix off.
bool take_prefix(std::string_view& words, std::string_view prefix) {
  if (!words.starts_with(prefix)) return false;
  words.remove_prefix(prefix.size());
  return true;
}

// Removes a nonce, and the space after it if there is one.
std::optional<uint64_t> take_nonce(std::string_view& words) {
  uint64_t nonce = 0;
  const auto [end, error] = std::from_chars(words.data(), words.data() + words.size(), nonce, 16);
  if (error != std::errc{}) return std::nullopt;
  words.remove_prefix(static_cast<size_t>(end - words.data()));
  if (words.starts_with(' ')) words.remove_prefix(1);
  return nonce;
}

}  // namespace

std::expected<std::unique_ptr<LockChannel>, std::string> LockChannel::open(
    std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
    ChannelHandlers handlers) {
  auto pool = control->open_pool(spec.pool, spec.name_space);
  if (!pool) return std::unexpected(pool.error());
  const std::string user = control->client().name();
  std::unique_ptr<LockChannel> channel(
      new LockChannel(std::move(control), std::move(*pool), image_id, std::move(handlers)));
  if (const int r = channel->watch(); r < 0)
    return std::unexpected(fmt::format("{}: lock channel of image {}: {}", user,
                                       tcmurbd::quoted(spec.to_string()), failure_text(r)));
  return channel;
}

LockChannel::LockChannel(std::shared_ptr<ControlClient> control, PoolHandle pool,
                         const std::string& image_id, ChannelHandlers handlers)
    : control_(std::move(control)),
      pool_(std::move(pool)),
      object_(object_of(image_id)),
      record_(pool_.get(), image_id),
      handlers_(std::move(handlers)),
      nonce_(random_nonce()),
      keeper_([this](const std::stop_token& stop) { keep_watch(stop); }) {}

std::string LockChannel::object_of(const std::string& image_id) {
  return "tcmu-rbd.lock." + image_id;
}

std::string LockChannel::probe_words() { return here_words(random_nonce()); }

LockChannel::~LockChannel() {
  keeper_.request_stop();
  keeper_.join();
  if (cookie_ != 0) rados_unwatch2(pool_.get(), cookie_);
  rados_watch_flush(control_->client().handle());
  for (const Sent& sent : sent_) sent.notify->wait_for_end(kEndMax);
}

int LockChannel::watch() {
  rados_write_op_t create = rados_create_write_op();
  rados_write_op_create(create, LIBRADOS_CREATE_IDEMPOTENT, nullptr);
  int r = rados_write_op_operate(create, pool_.get(), object_.c_str(), nullptr, 0);
  rados_release_write_op(create);
  uint64_t cookie = 0;
  if (r >= 0)
    r = rados_watch2(pool_.get(), object_.c_str(), &cookie, &LockChannel::on_notify,
                     &LockChannel::on_watch_error, this);
  if (r < 0) return r;
  const MutexLock lock(mutex_);
  cookie_ = cookie;
  alone_ = false;
  probe_at_ = std::chrono::steady_clock::now();
  changed_.notify_all();
  return 0;
}

void LockChannel::on_notify(void* self, uint64_t notify_id, uint64_t cookie, uint64_t notifier,
                            void* data, size_t length) {
  auto* channel = static_cast<LockChannel*>(self);
  if (notifier != rados_get_instance_id(channel->control_->client().handle())) channel->meet();
  const PeerRequest request{.notify_id = notify_id, .cookie = cookie};
  std::string_view words{static_cast<const char*>(data), length};
  if (take_prefix(words, kRequestPrefix)) return channel->take_request(request, words);
  const bool here = take_prefix(words, kHerePrefix);
  std::string served;
  if (here) {
    const MutexLock lock(channel->mutex_);
    served = channel->served_;
  }
  if (served.empty())
    channel->acknowledge(request, lock::PeerAnswer::kNotOwner);
  else
    channel->acknowledge_with(request, served);
  if (here || take_prefix(words, kAnswerPrefix)) {
    channel->take_answer(words);
  } else if (words.starts_with(kFencedPrefix) && channel->handlers_.on_fenced) {
    channel->handlers_.on_fenced();
  }
}

// Another gateway was heard of.
void LockChannel::meet() {
  const MutexLock lock(mutex_);
  if (!std::exchange(alone_, false)) return;
  probe_at_ = std::chrono::steady_clock::now() + kSettles;
  changed_.notify_all();
}

void LockChannel::take_request(PeerRequest request, std::string_view words) {
  const std::optional<uint64_t> nonce = take_nonce(words);
  if (!nonce || !concerns_us(*nonce, words))
    return acknowledge(request, lock::PeerAnswer::kNotOwner);
  request.nonce = *nonce;
  handlers_.on_request(request);
}

// Also for the notify to this gateway itself, which has no byte.
void LockChannel::take_answer(std::string_view words) {
  const std::optional<uint64_t> nonce = take_nonce(words);
  if (!nonce) return;
  const MutexLock lock(mutex_);
  const auto found = waiting_.find(*nonce);
  if (found != waiting_.end()) found->second->hear(words.empty() ? kNotOwnerByte : words.front());
}

bool LockChannel::concerns_us(uint64_t nonce, std::string_view holder) {
  if ((nonce & ~kCountMask) == nonce_) return false;
  const MutexLock lock(mutex_);
  if (served_.empty() || holder != served_) return false;
  busy_until_ = std::chrono::steady_clock::now() + kBusy;
  return true;
}

void LockChannel::serve_as(const std::string& address) {
  const MutexLock lock(mutex_);
  served_ = address;
}

void LockChannel::acknowledge(const PeerRequest& request, lock::PeerAnswer answer) {
  const char byte = byte_of(answer);
  acknowledge_with(request, {&byte, 1});
}

void LockChannel::acknowledge_with(const PeerRequest& request, std::string_view payload) {
  // Sent asynchronously by librados without a result. For the peer, a failure looks like a frozen
  // gateway.
  rados_notify_ack(pool_.get(), object_.c_str(), request.notify_id, request.cookie, payload.data(),
                   static_cast<int>(payload.size()));
}

void LockChannel::answer(const PeerRequest& request, lock::PeerAnswer answer) {
  acknowledge(request, answer);
  const auto notify = std::make_shared<Notify>();
  if (Notify::send(notify, pool_.get(), object_,
                   fmt::format("{}{:016x} {}", kAnswerPrefix, request.nonce, byte_of(answer)),
                   kShortPatience) == 0)
    keep(notify, kShortPatience);
}

int LockChannel::send_here(const std::shared_ptr<Notify>& notify, uint64_t nonce) {
  return Notify::send(notify, pool_.get(), object_, here_words(nonce), kShortPatience);
}

uint64_t LockChannel::new_nonce() {
  const MutexLock lock(mutex_);
  return nonce_ | (++notifies_ & kCountMask);
}

// Of a notify that goes with a change of the lock's owner.
void LockChannel::keep(std::shared_ptr<Notify> notify, milliseconds patience) {
  const auto now = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  sent_.push_back({std::move(notify), now, patience});
  busy_until_ = now + kBusy;
  changed_.notify_all();
}

std::expected<Notify::Outcome, int> LockChannel::send(uint64_t nonce, const std::string& payload,
                                                      milliseconds patience) {
  const auto notify = std::make_shared<Notify>();
  {
    const MutexLock lock(mutex_);
    waiting_[nonce] = notify;
  }
  const int r = Notify::send(notify, pool_.get(), object_, payload, patience);
  if (r >= 0) {
    keep(notify, patience);
    notify->wait(patience + kTravel);
  }
  const MutexLock lock(mutex_);
  waiting_.erase(nonce);
  if (r < 0) return std::unexpected(r);
  return notify->outcome();
}

std::expected<Asked, std::string> LockChannel::ask(const std::string& holder,
                                                   std::chrono::seconds patience) {
  const uint64_t nonce = new_nonce();
  const auto sent =
      send(nonce, fmt::format("{}{:016x} {}", kRequestPrefix, nonce, holder), patience);
  if (!sent) return std::unexpected(failure_text(sent.error()));
  const Notify::Outcome& outcome = *sent;
  if (outcome.heard) return asked_from(*outcome.heard).value_or(Asked::kNobody);
  if (!outcome.ended) return Asked::kNoAnswer;
  if (outcome.result == -ENOENT) return Asked::kNobody;
  if (outcome.result < 0 && outcome.result != -ETIMEDOUT)
    return std::unexpected(failure_text(outcome.result));
  if (!outcome.known) return Asked::kNoAnswer;
  // The holder's answer, independent of silent watchers.
  for (const Notify::Reply& reply : outcome.replies)
    if (const auto asked = asked_from(reply.byte.value_or(kNotOwnerByte))) return *asked;
  const bool all = std::ranges::none_of(outcome.replies, &Notify::Reply::timed_out);
  return all ? Asked::kNobody : Asked::kNoAnswer;
}

OwnWatch LockChannel::own_watch() {
  uint64_t cookie = 0;
  {
    const MutexLock lock(mutex_);
    if (cookie_ == 0 || watch_failed()) return OwnWatch::kGone;
    cookie = cookie_;
  }
  const uint64_t nonce = new_nonce();
  const auto outcome = send(nonce, here_words(nonce), kShortPatience);
  if (!outcome) return OwnWatch::kUnknown;
  if (outcome->heard) return OwnWatch::kThere;
  if (outcome->ended && outcome->result == -ENOENT) return OwnWatch::kGone;
  if (!outcome->known) return OwnWatch::kUnknown;
  // A slow watcher is listed among those that timed out.
  const uint64_t client = rados_get_instance_id(control_->client().handle());
  const bool there = std::ranges::any_of(outcome->replies, [&](const Notify::Reply& reply) {
    return reply.client == client && reply.cookie == cookie;
  });
  return there ? OwnWatch::kThere : OwnWatch::kGone;
}

void LockChannel::on_watch_error(void* self, uint64_t cookie, int error) {
  auto* channel = static_cast<LockChannel*>(self);
  {
    const MutexLock lock(channel->mutex_);
    channel->failed_.push_back(cookie);
    channel->changed_.notify_all();
  }
  // A ping that timed out: the OSD hangs, or this gateway was away, which the heartbeat detects.
  if (error != -ETIMEDOUT && channel->handlers_.on_watch_lost) channel->handlers_.on_watch_lost();
}

}  // namespace tcmurbd::ceph
