// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/lock_channel.h"

#include <fmt/format.h>
#include <rados/librados.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <span>
#include <utility>

#include "common/quote.h"
#include "rbd_handler/ceph/failure.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;

// A notify: "tcmu-rbd-lock/1 NONCE ADDRESS". An acknowledgement: one of these bytes, or nothing by
// whoever does not know them.
constexpr std::string_view kRequestPrefix = "tcmu-rbd-lock/1 ";
constexpr char kReleasedByte = 'r';
constexpr char kHoldsDetachedByte = 'd';
constexpr char kNotOwnerByte = 'n';

// The OSD ends a notify when the patience is over; the answer has to travel as well.
constexpr milliseconds kTravel{500};
constexpr std::chrono::seconds kRepairInterval{1};

char byte_of(LockChannel::Answer answer) {
  switch (answer) {
    case LockChannel::Answer::kReleased:
      return kReleasedByte;
    case LockChannel::Answer::kHoldsDetached:
      return kHoldsDetachedByte;
    case LockChannel::Answer::kNotOwner:
      return kNotOwnerByte;
  }
  return kNotOwnerByte;
}

uint64_t random_nonce() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

// A notify on its way. librados writes into it, so it lives until both sides have let it go.
struct Notify {
  ~Notify() { rados_buffer_free(reply); }

  std::mutex mutex;
  std::condition_variable arrived;
  bool done = false;  // Guarded by mutex, as all below.
  int result = 0;
  char* reply = nullptr;
  size_t reply_length = 0;
};

void on_notify_done(rados_completion_t completion, void* argument) {
  const std::unique_ptr<std::shared_ptr<Notify>> notify(
      static_cast<std::shared_ptr<Notify>*>(argument));
  const std::lock_guard lock((*notify)->mutex);
  (*notify)->done = true;
  (*notify)->result = rados_aio_get_return_value(completion);
  (*notify)->arrived.notify_all();
}

}  // namespace

std::expected<std::unique_ptr<LockChannel>, std::string> LockChannel::open(
    std::shared_ptr<ControlClient> control, const ImageSpec& spec, const std::string& image_id,
    OnRequest on_request) {
  auto pool = control->open_pool(spec.pool, spec.name_space);
  if (!pool) return std::unexpected(pool.error());
  const std::string user = control->client().name();
  std::unique_ptr<LockChannel> channel(
      new LockChannel(std::move(control), std::move(*pool), image_id, std::move(on_request)));
  if (const int r = channel->watch(); r < 0)
    return std::unexpected(fmt::format("{}: lock channel of image {}: {}", user,
                                       tcmurbd::quoted(spec.to_string()), failure_text(r)));
  return channel;
}

LockChannel::LockChannel(std::shared_ptr<ControlClient> control, PoolHandle pool,
                         const std::string& image_id, OnRequest on_request)
    : control_(std::move(control)),
      pool_(std::move(pool)),
      object_("tcmu-rbd.lock." + image_id),
      record_(pool_.get(), image_id),
      on_request_(std::move(on_request)),
      nonce_(random_nonce()),
      repairer_([this](const std::stop_token& stop) { repair_watch(stop); }) {}

LockChannel::~LockChannel() {
  repairer_.request_stop();
  repairer_.join();
  if (cookie_ != 0) rados_unwatch2(pool_.get(), cookie_);
  rados_watch_flush(control_->client().handle());
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
  const std::lock_guard lock(mutex_);
  cookie_ = cookie;
  changed_.notify_all();
  return 0;
}

void LockChannel::on_notify(void* self, uint64_t notify_id, uint64_t cookie, uint64_t /*notifier*/,
                            void* data, size_t length) {
  auto* channel = static_cast<LockChannel*>(self);
  const Request request{.notify_id = notify_id, .cookie = cookie};
  if (channel->concerns_us({static_cast<const char*>(data), length}))
    channel->on_request_(request);
  else
    channel->answer(request, Answer::kNotOwner);
}

bool LockChannel::concerns_us(std::string_view request) {
  if (!request.starts_with(kRequestPrefix)) return false;
  request.remove_prefix(kRequestPrefix.size());
  const size_t space = request.find(' ');
  if (space == request.npos || request.substr(0, space) == fmt::format("{:016x}", nonce_))
    return false;
  const std::lock_guard lock(mutex_);
  return !served_.empty() && request.substr(space + 1) == served_;
}

void LockChannel::serve_as(const std::string& address) {
  const std::lock_guard lock(mutex_);
  served_ = address;
}

void LockChannel::answer(const Request& request, Answer answer) {
  const char byte = byte_of(answer);
  // Posted and forgotten by librados. A failure looks to the peer as if we were frozen.
  rados_notify_ack(pool_.get(), object_.c_str(), request.notify_id, request.cookie, &byte, 1);
}

std::expected<Asked, std::string> LockChannel::ask(const std::string& holder,
                                                   std::chrono::seconds patience) {
  const std::string request = fmt::format("{}{:016x} {}", kRequestPrefix, nonce_, holder);
  auto notify = std::make_shared<Notify>();
  auto argument = std::make_unique<std::shared_ptr<Notify>>(notify);
  rados_completion_t completion = nullptr;
  int r = rados_aio_create_completion2(argument.get(), &on_notify_done, &completion);
  if (r < 0) return std::unexpected(failure_text(r));
  r = rados_aio_notify(
      pool_.get(), object_.c_str(), completion, request.data(), static_cast<int>(request.size()),
      static_cast<uint64_t>(milliseconds(patience).count()), &notify->reply, &notify->reply_length);
  rados_aio_release(completion);
  if (r < 0) return std::unexpected(failure_text(r));
  argument.release();  // NOLINT(bugprone-unused-return-value): on_notify_done deletes it.

  std::unique_lock lock(notify->mutex);
  if (!notify->arrived.wait_for(lock, patience + kTravel, [&] { return notify->done; }))
    return Asked::kNoAnswer;
  if (notify->result == -ENOENT) return Asked::kNobody;
  if (notify->result < 0 && notify->result != -ETIMEDOUT)
    return std::unexpected(failure_text(notify->result));
  if (notify->reply == nullptr) return Asked::kNoAnswer;
  return evaluate(notify->reply, notify->reply_length);
}

Asked LockChannel::evaluate(char* reply, size_t length) {
  notify_ack_t* acks = nullptr;
  notify_timeout_t* timeouts = nullptr;
  size_t ack_count = 0;
  size_t timeout_count = 0;
  if (rados_decode_notify_response(reply, length, &acks, &ack_count, &timeouts, &timeout_count) < 0)
    return Asked::kNoAnswer;
  Asked result = timeout_count == 0 ? Asked::kNobody : Asked::kNoAnswer;
  for (const notify_ack_t& ack : std::span(acks, ack_count)) {
    if (ack.payload_len != 1) continue;
    // The holder's word, whoever else is silent.
    if (ack.payload[0] == kReleasedByte) result = Asked::kReleased;
    if (ack.payload[0] == kHoldsDetachedByte) result = Asked::kHoldsDetached;
  }
  rados_free_notify_response(acks, ack_count, timeouts);
  return result;
}

void LockChannel::on_watch_error(void* self, uint64_t cookie, int /*error*/) {
  auto* channel = static_cast<LockChannel*>(self);
  const std::lock_guard lock(channel->mutex_);
  channel->failed_.push_back(cookie);
  channel->changed_.notify_all();
}

bool LockChannel::watch_failed() const {
  return std::ranges::find(failed_, cookie_) != failed_.end();
}

void LockChannel::repair_watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return watch_failed(); })) {
    const uint64_t old = std::exchange(cookie_, 0);
    failed_.clear();  // Cookies are addresses: the next watch may get this one again.
    lock.unlock();
    rados_unwatch2(pool_.get(), old);
    bool repaired = watch() == 0;
    lock.lock();
    while (!repaired && !stop.stop_requested()) {
      changed_.wait_for(lock, stop, kRepairInterval, [] { return false; });
      lock.unlock();
      repaired = watch() == 0;
      lock.lock();
    }
  }
}

}  // namespace tcmurbd::ceph
