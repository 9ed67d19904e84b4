// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/lock_record.h"

#include <rados/librados.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "rbd_handler/ceph/blocklist.h"

namespace tcmurbd::ceph {
namespace {

// The lock name of librbd and krbd (RBD_LOCK_NAME).
constexpr const char* kLockName = "rbd_lock";

// A version read before the holder is not newer than it.
class VersionRead {
 public:
  VersionRead(void* pool, const std::string& object) {
    if (sent_ = rados_aio_create_completion2(nullptr, nullptr, &completion_); sent_ < 0) return;
    sent_ = rados_aio_stat(pool, object.c_str(), completion_, &size_, &time_);
  }
  ~VersionRead() {
    if (sent_ >= 0) rados_aio_wait_for_complete(completion_);
    if (completion_ != nullptr) rados_aio_release(completion_);
  }
  VersionRead(const VersionRead&) = delete;
  VersionRead& operator=(const VersionRead&) = delete;

  std::expected<uint64_t, int> wait() {
    if (sent_ < 0) return std::unexpected(sent_);
    rados_aio_wait_for_complete(completion_);
    if (const int r = rados_aio_get_return_value(completion_); r < 0) return std::unexpected(r);
    return rados_aio_get_version(completion_);
  }

 private:
  rados_completion_t completion_ = nullptr;
  int sent_ = 0;
  uint64_t size_ = 0;
  time_t time_ = 0;
};

}  // namespace

std::expected<std::optional<LockHolder>, int> LockRecord::holder() const {
  int exclusive = 0;
  // Sufficient for dozens of holders; an exclusive lock has one.
  std::array<char, 4096> tag{};
  std::array<char, 4096> clients{};
  std::array<char, 4096> cookies{};
  std::array<char, 4096> addresses{};
  size_t tag_length = tag.size();
  size_t clients_length = clients.size();
  size_t cookies_length = cookies.size();
  size_t addresses_length = addresses.size();
  // An object's OSD executes a client's ops in their order, so both take one round trip.
  VersionRead version_read(pool_, header_);
  const ssize_t count = rados_list_lockers(
      pool_, header_.c_str(), kLockName, &exclusive, tag.data(), &tag_length, clients.data(),
      &clients_length, cookies.data(), &cookies_length, addresses.data(), &addresses_length);
  if (count < 0) return std::unexpected(static_cast<int>(count));
  if (count == 0) return std::nullopt;
  const auto version = version_read.wait();
  if (!version) return std::unexpected(version.error());
  return LockHolder{.client = clients.data(),
                    .cookie = cookies.data(),
                    .address = without_type(addresses.data()),
                    .version = *version};
}

std::expected<bool, int> LockRecord::remove(const LockHolder& holder) const {
  const int r = rados_break_lock(pool_, header_.c_str(), kLockName, holder.client.c_str(),
                                 holder.cookie.c_str());
  if (r == -ENOENT) return false;
  if (r < 0) return std::unexpected(r);
  return true;
}

}  // namespace tcmurbd::ceph
