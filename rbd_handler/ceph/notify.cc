// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/notify.h"

#include <rados/librados.h>

#include <span>

namespace tcmurbd::ceph {

namespace {
// Longer than any address.
constexpr size_t kTextBytesMax = 256;
}  // namespace

Notify::~Notify() { rados_buffer_free(reply_); }

int Notify::send(const std::shared_ptr<Notify>& notify, void* pool, const std::string& object,
                 const std::string& payload, std::chrono::milliseconds patience) {
  auto argument = std::make_unique<std::shared_ptr<Notify>>(notify);
  rados_completion_t completion = nullptr;
  int r = rados_aio_create_completion2(argument.get(), &Notify::on_done, &completion);
  if (r < 0) return r;
  r = rados_aio_notify(pool, object.c_str(), completion, payload.data(),
                       static_cast<int>(payload.size()), static_cast<uint64_t>(patience.count()),
                       &notify->reply_, &notify->reply_length_);
  rados_aio_release(completion);
  if (r < 0) return r;
  argument.release();  // NOLINT(bugprone-unused-return-value): on_done deletes it.
  return 0;
}

void Notify::on_done(void* completion, void* self) {
  const std::unique_ptr<std::shared_ptr<Notify>> notify(
      static_cast<std::shared_ptr<Notify>*>(self));
  const MutexLock lock((*notify)->mutex_);
  (*notify)->ended_ = true;
  (*notify)->end_ = std::chrono::steady_clock::now();
  (*notify)->result_ = rados_aio_get_return_value(completion);
  (*notify)->changed_.notify_all();
}

void Notify::hear(char byte) {
  const MutexLock lock(mutex_);
  heard_ = byte;
  changed_.notify_all();
}

void Notify::wait(std::chrono::milliseconds limit) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, limit, [this]() REQUIRES_LOCK(mutex_) { return ended_ || heard_; });
}

void Notify::wait_for_end(std::chrono::milliseconds limit) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, limit, [this]() REQUIRES_LOCK(mutex_) { return ended_; });
}

bool Notify::ended() {
  const MutexLock lock(mutex_);
  return ended_;
}

Notify::Outcome Notify::outcome() {
  const MutexLock lock(mutex_);
  Outcome outcome{.heard = heard_, .ended = ended_, .result = result_, .end = end_, .replies = {}};
  notify_ack_t* acks = nullptr;
  notify_timeout_t* timeouts = nullptr;
  size_t ack_count = 0;
  size_t timeout_count = 0;
  if (!ended_ || reply_ == nullptr ||
      rados_decode_notify_response(reply_, reply_length_, &acks, &ack_count, &timeouts,
                                   &timeout_count) < 0)
    return outcome;
  outcome.known = true;
  for (const notify_ack_t& ack : std::span(acks, ack_count)) {
    const bool one_byte = ack.payload_len == 1;
    const bool is_text = ack.payload_len > 1 && ack.payload_len <= kTextBytesMax;
    outcome.replies.push_back({.client = ack.notifier_id,
                               .cookie = ack.cookie,
                               .byte = one_byte ? std::optional(ack.payload[0]) : std::nullopt,
                               .text = is_text ? std::string(ack.payload, ack.payload_len) : "",
                               .timed_out = false});
  }
  for (const notify_timeout_t& timeout : std::span(timeouts, timeout_count))
    outcome.replies.push_back({.client = timeout.notifier_id,
                               .cookie = timeout.cookie,
                               .byte = std::nullopt,
                               .text = {},
                               .timed_out = true});
  rados_free_notify_response(acks, ack_count, timeouts);
  return outcome;
}

}  // namespace tcmurbd::ceph
