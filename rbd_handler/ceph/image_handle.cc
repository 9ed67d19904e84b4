// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/image_handle.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/quote.h"
#include "rbd_handler/ceph/failure.h"
#include "rbd_handler/image.h"

namespace tcmurbd::ceph {
namespace {

// Longer than any id that librbd creates (13 to 20 characters).
constexpr size_t kImageIdBytesMax = 256;

constexpr uint64_t kNotifyMilliseconds = 2000;

}  // namespace

std::expected<std::unique_ptr<ImageHandle>, std::string> ImageHandle::open(const ImageSpec& spec) {
  std::unique_ptr<ImageHandle> handle(new ImageHandle(spec));
  auto client = Client::connect(spec.conf_path, spec.user, ClientRole::kImage);
  if (!client) return std::unexpected(client.error());
  handle->client_ = std::move(*client);
  // The watch is registered before the first read, so that no change is missed.
  constexpr std::array kSteps{&ImageHandle::open_pool,    &ImageHandle::open_image,
                              &ImageHandle::watch_header, &ImageHandle::check_format,
                              &ImageHandle::check_facts,  &ImageHandle::read_info,
                              &ImageHandle::read_layout};
  for (const auto step : kSteps)
    if (auto done = (*handle.*step)(); !done) return std::unexpected(done.error());
  return handle;
}

ImageHandle::~ImageHandle() {
  if (watching_) rbd_update_unwatch(image_, watch_);
  if (image_ != nullptr) rbd_close(image_);
  data_objects_.reset();
  if (pool_ != nullptr) rados_ioctx_destroy(pool_);
}

std::unexpected<std::string> ImageHandle::refuse(const std::string& what,
                                                 const std::string& reason) const {
  return std::unexpected(fmt::format("{}: {} {}", client_->name(), what, reason));
}

std::unexpected<std::string> ImageHandle::refuse_image(const std::string& reason) const {
  return refuse("image " + quoted(spec_.to_string()), reason);
}

ImageHandle::Step ImageHandle::open_pool() {
  if (const int r = rados_ioctx_create(client_->handle(), spec_.pool.c_str(), &pool_); r < 0)
    return refuse("pool " + quoted(spec_.pool), failure_text(r));
  // Before the image is opened: librbd creates its own ioctxs from this one, also for a data pool.
  rados_set_pool_full_try(pool_);
  if (spec_.name_space.empty()) return {};
  const std::string what =
      fmt::format("pool {}: namespace {}", quoted(spec_.pool), quoted(spec_.name_space));
  bool exists = false;
  if (const int r = rbd_namespace_exists(pool_, spec_.name_space.c_str(), &exists); r < 0)
    return refuse(what, failure_text(r));
  if (!exists) return refuse(what, failure_text(-ENOENT));
  rados_ioctx_set_namespace(pool_, spec_.name_space.c_str());
  return {};
}

ImageHandle::Step ImageHandle::open_image() {
  const bool head = spec_.snapshot.empty();
  const auto open = head ? rbd_open : rbd_open_read_only;
  // The snapshot is opened in a separate step, so that the message can name the missing one.
  if (const int r = open(pool_, spec_.image.c_str(), &image_, nullptr); r < 0)
    return refuse_image(failure_text(r));
  if (head) return {};
  if (const int r = rbd_snap_set(image_, spec_.snapshot.c_str()); r < 0)
    return refuse(
        fmt::format("image {}: snapshot {}", quoted(spec_.to_string()), quoted(spec_.snapshot)),
        failure_text(r));
  return {};
}

ImageHandle::Step ImageHandle::check_format() {
  uint8_t old_format = 0;
  if (const int r = rbd_get_old_format(image_, &old_format); r < 0)
    return refuse_image(failure_text(r));
  if (old_format != 0) return refuse_image("has image format 1, which has no exclusive lock");
  return {};
}

ImageHandle::Step ImageHandle::check_facts() {
  auto facts = read_facts(image_);
  if (!facts)
    return refuse_image("reading its features and settings: " + failure_text(facts.error()));
  opened_ = std::move(*facts);
  if (const auto reason = refusal(opened_, spec_.snapshot.empty())) return refuse_image(*reason);
  bytes_.store(opened_.bytes, std::memory_order_release);
  primary_.store(opened_.primary() || !spec_.snapshot.empty(), std::memory_order_release);
  return {};
}

ImageHandle::Step ImageHandle::read_info() {
  rbd_image_info_t stat{};
  if (const int r = rbd_stat(image_, &stat, sizeof stat); r < 0)
    return refuse_image(failure_text(r));
  std::array<char, kImageIdBytesMax> id{};
  if (const int r = rbd_get_id(image_, id.data(), id.size()); r < 0)
    return refuse_image("id: " + failure_text(r));
  info_ = {.bytes = opened_.bytes,
           .object_bytes = stat.obj_size,
           .read_only = !spec_.snapshot.empty(),
           .exclusive_lock = opened_.exclusive_lock(),
           .id = id.data(),
           .limits = opened_.limits};
  if (opened_.object_map() && spec_.snapshot.empty())
    info_.object_map = "rbd_object_map." + info_.id;
  return {};
}

ImageHandle::Step ImageHandle::read_layout() {
  DataLayout layout{.pool = rbd_get_data_pool_id(image_),
                    .name_space = spec_.name_space,
                    .object_bytes = info_.object_bytes};
  std::array<char, kImageIdBytesMax> prefix{};
  uint64_t snapshot = 0;
  uint64_t stripe_objects = 0;
  uint64_t stripe_unit = 0;
  int r = rbd_get_block_name_prefix(image_, prefix.data(), prefix.size());
  if (r >= 0) r = rbd_get_stripe_count(image_, &stripe_objects);
  if (r >= 0) r = rbd_get_stripe_unit(image_, &stripe_unit);
  if (r >= 0) r = rbd_get_overlap(image_, &layout.parent_bytes);
  if (r == -ENOENT) r = 0;  // It has no parent.
  if (r >= 0 && info_.read_only) {
    r = rbd_snap_get_id(image_, spec_.snapshot.c_str(), &snapshot);
    layout.snapshot = snapshot;
  }
  if (r < 0) return refuse_image("layout: " + failure_text(r));
  info_.stripe_bytes = stripe_objects == 1 ? info_.object_bytes : stripe_unit;
  layout.object_prefix = prefix.data();
  layout.stripe_unit = stripe_unit;
  layout.stripe_objects = stripe_objects;
  layout.plain = stripe_objects == 1 && (opened_.features & RBD_FEATURE_MIGRATING) == 0;
  auto objects = DataObjects::open(client_->handle(), std::move(layout));
  if (!objects) return refuse_image("data pool: " + failure_text(objects.error()));
  data_objects_ = std::move(*objects);
  info_.data_pool = data_objects_->pool_name();
  return {};
}

ImageHandle::Step ImageHandle::watch_header() {
  if (!spec_.snapshot.empty())
    return {};  // A snapshot's size never changes. Called on a thread of librbd, where any call
                // that may refresh the image would deadlock.
  const auto changed = [](void* self) { static_cast<ImageHandle*>(self)->on_header_change(); };
  if (const int r = rbd_update_watch(image_, &watch_, changed, this); r < 0)
    return refuse_image("update watch: " + failure_text(r));
  watching_ = true;
  return {};
}

void ImageHandle::on_header_change() {
  changes_.fetch_add(1, std::memory_order_release);
  const MutexLock lock(listener_mutex_);
  if (listener_) listener_();
}

void ImageHandle::listen(std::function<void()> listener) {
  const MutexLock lock(listener_mutex_);
  listener_ = std::move(listener);
}

std::expected<uint64_t, int> ImageHandle::fetch_size() {
  if (info_.read_only) return info_.bytes;
  const MutexLock lock(fetching_);
  const uint64_t changes = changes_.load(std::memory_order_acquire);  // A later one may be missed.
  char value = 0;
  size_t length = sizeof value;
  // The cheapest public call with a round trip to the header's OSD; the expected answer is that the
  // key does not exist.
  int r = rbd_metadata_get(image_, "tcmu-rbd.none", &value, &length);
  if (r == -ENOENT || r == -ERANGE) r = 0;
  uint64_t bytes = 0;
  uint64_t features = 0;
  if (r == 0) r = rbd_get_size(image_, &bytes);
  if (r == 0) r = rbd_get_features(image_, &features);
  if (r < 0) return std::unexpected(r);
  primary_.store(primary_by(features), std::memory_order_release);
  // The size first: a reader that sees no change must see the new size.
  bytes_.store(bytes, std::memory_order_release);
  changes_seen_.store(changes, std::memory_order_release);
  return bytes;
}

void ImageHandle::look_for_promotion() {
  rbd_mirror_image_info_t info{};
  if (rbd_mirror_image_get_info(image_, &info, sizeof info) < 0) return;
  const bool promoted = info.primary;
  rbd_mirror_image_get_info_cleanup(&info);
  // An empty notification means "the header has changed" in all versions of librbd.
  const std::string header = "rbd_header." + info_.id;
  if (promoted)
    rados_notify2(pool_, header.c_str(), nullptr, 0, kNotifyMilliseconds, nullptr, nullptr);
}

std::expected<void, int> ImageHandle::take_free_lock() {
  const int r = rbd_lock_acquire(image_, RBD_LOCK_MODE_EXCLUSIVE);
  // Of a demoted image, it may be acquired all the same (ceph_quirks.h 4).
  uint64_t features = 0;
  if (rbd_get_features(image_, &features) == 0 && !primary_by(features)) {
    primary_.store(false, std::memory_order_release);
    if (r == 0) rbd_lock_release(image_);
    return std::unexpected(kNotPrimary);
  }
  if (r < 0) return std::unexpected(r);
  return {};
}

std::expected<void, int> ImageHandle::release_lock() {
  if (!info_.exclusive_lock || info_.read_only) return {};
  const int r = rbd_lock_release(image_);
  if (r < 0 && r != -EINVAL) return std::unexpected(r);  // -EINVAL: not the owner.
  return {};
}

}  // namespace tcmurbd::ceph
