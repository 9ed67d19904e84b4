// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/rbd_image.h"

#include <fmt/format.h>
#include <limits.h>
#include <rados/librados.h>
#include <rbd/librbd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/check.h"
#include "common/quote.h"
#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/ceph/image_handle.h"
#include "rbd_handler/ceph/op_slots.h"

namespace tcmurbd::ceph {
namespace {

constexpr std::chrono::milliseconds kClosePollMax{100};
// After a failed read of the header.
constexpr std::chrono::seconds kLookAgain{1};

std::expected<void, LockFailure> explained(const char* what, std::expected<void, int> done) {
  if (done) return {};
  return std::unexpected(
      LockFailure{fmt::format("{}: {}", what, failure_text(done.error())), done.error()});
}

// Executed in more than one step.
bool has_parts(const ImageOp& op) { return parts_of(op).front() != Part::kWhole; }

// librbd accepts up to IOV_MAX iovecs for reads and writes, and one buffer for all other data. Data
// that is passed to librbd after submit() must not depend on the caller's memory, except for reads.
bool needs_bounce(const ImageOp& op, bool deferred) {
  if (has_parts(op)) return true;
  switch (op.kind) {
    case OpKind::kRead:
      return op.data.size() > IOV_MAX;
    case OpKind::kWrite:
      return deferred || op.data.size() > IOV_MAX;
    case OpKind::kWriteSame:
    case OpKind::kCompareAndWrite:
      return deferred || op.data.size() != 1;
    default:
      return false;
  }
}

void fill_bounce(OpSlot& slot) {
  const auto bytes = static_cast<size_t>(iov_bytes(slot.op.data));
  const auto read_bytes =
      static_cast<size_t>(has_parts(slot.op) ? std::min(slot.op.range.length, kPieceBytes) : 0);
  slot.bounce = std::make_unique_for_overwrite<uint8_t[]>(bytes + read_bytes);
  if (slot.op.kind == OpKind::kRead) return;
  copy_from_iov(slot.op.data, 0, {slot.bounce.get(), bytes});
  // The caller's iovec array is valid only during submit(), like its data.
  slot.own_iov = {slot.bounce.get(), bytes};
  slot.op.data = {&slot.own_iov, 1};
}

// For an op in parts.
std::span<uint8_t> data_of(const OpSlot& slot) {
  return {slot.bounce.get(), static_cast<size_t>(iov_bytes(slot.op.data))};
}
// The piece that is being read.
std::span<uint8_t> piece_of(const OpSlot& slot) {
  const uint64_t left = slot.op.range.length - slot.read;
  return {data_of(slot).data() + data_of(slot).size(),
          static_cast<size_t>(std::min(left, kPieceBytes))};
}
// The last part of the data: for a compare and write, the first part is the expected block.
std::span<uint8_t> replacement_of(const OpSlot& slot) {
  return data_of(slot).last(static_cast<size_t>(slot.op.range.length));
}
char* chars(std::span<uint8_t> bytes) { return reinterpret_cast<char*>(bytes.data()); }

// The op's data if it is contiguous, else nullptr.
char* one_piece(const OpSlot& slot) {
  if (slot.bounce) return reinterpret_cast<char*>(slot.bounce.get());
  return slot.op.data.size() == 1 ? static_cast<char*>(slot.op.data[0].iov_base) : nullptr;
}

// Whether the op may have been truncated at the image's end.
bool is_last_write(const OpSlot& slot) {
  const auto parts = parts_of(slot.op);
  return slot.part + 1 == parts.size() && parts[slot.part] == Part::kWrite;
}

}  // namespace

std::expected<std::unique_ptr<RbdImage>, std::string> RbdImage::open(const ImageSpec& spec,
                                                                     CompletionSink sink,
                                                                     NewsSink news) {
  auto handle = ImageHandle::open(spec);
  if (!handle) return std::unexpected(handle.error());
  return std::unique_ptr<RbdImage>(
      new RbdImage(std::move(*handle), spec.to_string(), std::move(sink), std::move(news)));
}

RbdImage::RbdImage(std::unique_ptr<ImageHandle> handle, std::string name, CompletionSink sink,
                   NewsSink news)
    : handle_(std::move(handle)),
      name_(std::move(name)),
      sink_(std::move(sink)),
      news_(std::move(news)),
      slots_(std::make_unique<OpSlots>(this)),
      told_(handle_->opened()),
      deferred_thread_([this](const std::stop_token& stop) { run_deferred_ops(stop); }) {}

RbdImage::~RbdImage() {
  // Polled, so that ops need no wake-up for this, and the last op's callback accesses nothing after
  // its decrement. The interval grows, since a fenced instance may wait here for minutes.
  std::chrono::milliseconds pause{1};
  while (in_flight_.load(std::memory_order_acquire) != 0) {
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kClosePollMax);
  }
  deferred_thread_.request_stop();
  deferred_thread_.join();
  handle_->listen({});
}

bool RbdImage::primary() const { return handle_->primary(); }

std::expected<void, std::string> RbdImage::publish(const ServiceStatus& status) {
  const auto cluster = static_cast<rados_t>(handle_->client().handle());
  if (!registered_) {
    const std::string host = host_name();
    const std::string metadata =
        service_encoding(service_metadata(host, handle_->spec(), handle_->info().id));
    if (const int r = rados_service_register(
            cluster, "tcmu-runner", service_id(host, handle_->spec()).c_str(), metadata.c_str());
        r < 0)
      return std::unexpected("service map: " + failure_text(r));
    registered_ = true;
  }
  if (const int r =
          rados_service_update_status(cluster, service_encoding(service_status(status)).c_str());
      r < 0)
    return std::unexpected("service map: " + failure_text(r));
  return {};
}

const ImageInfo& RbdImage::info() const { return handle_->info(); }

ObjectPlace RbdImage::place_of(const ByteRange& range) const {
  const DataObjects& objects = handle_->data_objects();
  ObjectPlace place{.pool = objects.pool_name(),
                    .name_space = objects.layout().name_space,
                    .object = object_of(objects.layout(), range.offset)};
  if (!info().object_map.empty()) {
    place.map_object = info().object_map;
    place.map_pool = handle_->spec().pool;
  }
  return place;
}

const std::string& RbdImage::address() const { return handle_->client().address(); }

std::expected<uint64_t, std::string> RbdImage::refresh_size() {
  const auto bytes = handle_->fetch_size();
  if (!bytes)
    return std::unexpected(fmt::format("reading its size: {}", failure_text(bytes.error())));
  return *bytes;
}

std::expected<void, LockFailure> RbdImage::take_free_lock() {
  return explained("acquiring the exclusive lock", handle_->take_free_lock());
}

std::expected<void, LockFailure> RbdImage::release_lock() {
  return explained("releasing the exclusive lock", handle_->release_lock());
}

std::expected<void, LockFailure> RbdImage::reach_header() {
  const auto bytes = handle_->fetch_size();
  return explained("reading the image's header",
                   bytes ? std::expected<void, int>{} : std::unexpected(bytes.error()));
}

std::expected<void, LockFailure> RbdImage::wait_for_latest_map() const {
  return explained("waiting for the latest OSD map", handle_->client().wait_for_latest_map());
}

void RbdImage::submit(const ImageOp& op, OpToken token) {
  OpSlot* slot = slots_->take();
  CHECK(slot != nullptr);  // More than kImageOpsMax ops in flight.
  in_flight_.fetch_add(1, std::memory_order_relaxed);
  slot->op = op;
  slot->token = token;
  slot->part = 0;
  slot->read = 0;
  slot->given_up.store(false, std::memory_order_relaxed);
  // Otherwise, a change that starts after a shrink and ends after the image was enlarged again
  // could be truncated without a sign.
  const bool deferred =
      (changes_image(op.kind) && handle_->header_changed()) || op.range.end() > handle_->bytes();
  if (needs_bounce(op, deferred)) fill_bounce(*slot);
  if (deferred)
    defer({.slot = slot, .started = false, .result = 0});
  else
    start(*slot);
}

void RbdImage::give_up(OpToken token) { slots_->give_up(token); }

// Of each part, and of each piece.
void RbdImage::start(OpSlot& slot) {
  if (slot.given_up.load(std::memory_order_acquire)) {
    // Its remaining part is only a read back, which is not needed any more.
    const bool written = parts_of(slot.op).front() == Part::kWrite && slot.part > 0;
    return finish(slot, written ? 0 : -ECANCELED);
  }
  if (slot.op.kind == OpKind::kBlockStatus)
    return handle_->data_objects().find_mapped(slot.op.range, *slot.op.mapped,
                                               [&slot](int32_t r) { slot.image->ended(slot, r); });
  rbd_completion_t completion = nullptr;
  if (const int r = rbd_aio_create_completion(&slot, &RbdImage::on_complete, &completion); r < 0)
    return finish(slot, r);
  if (const int r = call_librbd(slot, completion); r < 0) {
    rbd_aio_release(completion);
    finish(slot, r);
  }
}

int RbdImage::call_librbd(OpSlot& slot, void* completion) {
  const rbd_image_t image = handle_->handle();
  const auto [offset, length] = slot.op.range;
  switch (parts_of(slot.op)[slot.part]) {
    case Part::kRead:
      return rbd_aio_read(image, offset + slot.read, piece_of(slot).size(), chars(piece_of(slot)),
                          completion);
    case Part::kWrite:
      return rbd_aio_write(image, offset, length, chars(replacement_of(slot)), completion);
    case Part::kWhole:
      return call_whole(slot, completion);
  }
  return -EINVAL;
}

int RbdImage::call_whole(OpSlot& slot, void* completion) {
  const rbd_image_t image = handle_->handle();
  const auto [offset, length] = slot.op.range;
  const IovSpan data = slot.op.data;
  const int pieces = static_cast<int>(data.size());
  char* const piece = one_piece(slot);
  switch (slot.op.kind) {
    case OpKind::kRead:
      return piece != nullptr ? rbd_aio_read(image, offset, length, piece, completion)
                              : rbd_aio_readv(image, data.data(), pieces, offset, completion);
    case OpKind::kWrite:
      return piece != nullptr ? rbd_aio_write(image, offset, length, piece, completion)
                              : rbd_aio_writev(image, data.data(), pieces, offset, completion);
    case OpKind::kWriteZeroes:
      return rbd_aio_write_zeroes(image, offset, length, completion, 0, 0);
    case OpKind::kWriteSame:
      return rbd_aio_writesame(image, offset, length, piece, iov_bytes(data), completion, 0);
    case OpKind::kCompareAndWrite:
      return static_cast<int>(rbd_aio_compare_and_write(
          image, offset, length, piece, piece + length, completion, &slot.mismatch, 0));
    default:
      return -EINVAL;  // In parts, or without a librbd call.
  }
}

void RbdImage::on_complete(void* completion, void* slot) {
  const int64_t result = rbd_aio_get_return_value(completion);
  rbd_aio_release(completion);
  auto* op = static_cast<OpSlot*>(slot);
  op->image->ended(*op, result);
}

void RbdImage::ended(OpSlot& slot, int64_t result) {
  if (result == -ETIMEDOUT) timed_out_.store(true, std::memory_order_release);
  const ImageOp& op = slot.op;
  if (has_parts(op) && result >= 0 && !is_last_write(slot))
    return part_ended(slot, static_cast<uint64_t>(result));
  if (op.kind == OpKind::kRead && result >= 0) {
    // librbd truncates a read only at the image's end.
    if (static_cast<uint64_t>(result) < op.range.length) return finish(slot, kBeyondEnd);
    if (slot.bounce) copy_to_iov(op.data, 0, {slot.bounce.get(), op.range.length});
    return finish(slot, 0);
  }
  if (result == -EROFS && changes_image(op.kind) && !info().read_only) {
    // Either the lock was lost or the image is not primary: read the header.
    if (!handle_->header_changed() && !handle_->primary()) return finish(slot, kNotPrimary);
    return defer({.slot = &slot, .started = true, .result = -EROFS});
  }
  // It truncates changes too, and returns success, or -EINVAL if nothing is left. Both mean the
  // image's end if the image was shrunk meanwhile.
  const bool may_be_cut =
      handle_->header_changed() || op.range.end() > handle_->bytes() || result == -EINVAL;
  const auto outcome = static_cast<int32_t>(result < 0 ? result : 0);
  if (may_be_cut && (outcome == 0 || outcome == -EINVAL))
    defer({.slot = &slot, .started = true, .result = outcome});
  else
    finish(slot, outcome);
}

// A part of a multi-part op, or a piece of it, has succeeded.
void RbdImage::part_ended(OpSlot& slot, uint64_t bytes_read) {
  const auto parts = parts_of(slot.op);
  if (parts[slot.part] == Part::kRead) {
    const auto piece = piece_of(slot);
    if (bytes_read < piece.size()) return finish(slot, kBeyondEnd);
    const int32_t r = look_at(slot.op.kind, data_of(slot), piece, slot.read, slot.mismatch);
    if (r < 0) return finish(slot, r);
    slot.read += piece.size();
    if (slot.read < slot.op.range.length) return start(slot);
  }
  if (++slot.part == parts.size()) return finish(slot, 0);
  start(slot);
}

void RbdImage::finish(OpSlot& slot, int32_t result) {
  OpDone done{.token = slot.token, .result = result};
  // ceph_quirks.h 2. Objects are whole blocks, so the offset within the block is the same.
  if (result == kMiscompare)
    done.mismatch_at = static_cast<uint32_t>(
        has_parts(slot.op) ? slot.mismatch : slot.mismatch % slot.op.range.length);
  slots_->put_back(
      slot);  // First: the core may submit the next op as soon as it gets this completion.
  sink_(done);
  in_flight_.fetch_sub(1, std::memory_order_release);
}

void RbdImage::defer(DeferredOp deferred) {
  const MutexLock lock(deferred_mutex_);
  deferred_.push_back(deferred);
  deferred_arrived_.notify_one();
}

void RbdImage::run_deferred_ops(const std::stop_token& stop) {
  handle_->listen([this] {
    const MutexLock lock(deferred_mutex_);
    look_ = true;
    deferred_arrived_.notify_one();
  });
  std::vector<DeferredOp> batch;
  bool look = handle_->header_changed();  // For changes before the listener was set.
  const auto due = [this]() REQUIRES_LOCK(deferred_mutex_) { return look_ || !deferred_.empty(); };
  for (;;) {
    {
      MutexLock lock(deferred_mutex_);
      if (look || !primary())
        deferred_arrived_.wait_for(lock, stop, kLookAgain, due);
      else
        deferred_arrived_.wait(lock, stop, due);
      if (stop.stop_requested() && deferred_.empty()) return;
      batch.swap(deferred_);
      look |= std::exchange(look_, false);
    }
    if (!primary()) handle_->look_for_promotion();
    const auto bytes = handle_->fetch_size();
    for (const DeferredOp& deferred : batch) settle(deferred, bytes);
    batch.clear();
    if (bytes)
      look = look && !look_again();
    else if (bytes.error() == -ESHUTDOWN)
      look = false;  // The next instance reads it.
  }
}

// False: the header cannot be read now.
bool RbdImage::look_again() {
  if (!news_) return true;
  auto now = handle_->facts_now();
  if (!now) return false;
  if (*now == told_) return true;
  news_(news_of(name_, handle_->opened(), told_, *now));
  told_ = std::move(*now);
  return true;
}

void RbdImage::settle(const DeferredOp& deferred, const std::expected<uint64_t, int>& bytes) {
  OpSlot& slot = *deferred.slot;
  if (deferred.result == -EROFS) return finish(slot, handle_->primary() ? -EROFS : kNotPrimary);
  const int32_t result = result_at_end(slot.op.range, deferred.result, bytes);
  if (deferred.started || result < 0) return finish(slot, result);
  start(slot);
}

}  // namespace tcmurbd::ceph
