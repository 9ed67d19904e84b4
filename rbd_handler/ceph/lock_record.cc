// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/lock_record.h"

#include <rados/librados.h>

#include <array>
#include <cerrno>

#include "rbd_handler/ceph/blocklist.h"

namespace tcmurbd::ceph {
namespace {

// The lock name of librbd and krbd (RBD_LOCK_NAME).
constexpr const char* kLockName = "rbd_lock";

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
  const ssize_t count = rados_list_lockers(
      pool_, header_.c_str(), kLockName, &exclusive, tag.data(), &tag_length, clients.data(),
      &clients_length, cookies.data(), &cookies_length, addresses.data(), &addresses_length);
  if (count < 0) return std::unexpected(static_cast<int>(count));
  if (count == 0) return std::nullopt;
  return LockHolder{.client = clients.data(),
                    .cookie = cookies.data(),
                    .address = without_type(addresses.data())};
}

std::expected<bool, int> LockRecord::remove(const LockHolder& holder) const {
  const int r = rados_break_lock(pool_, header_.c_str(), kLockName, holder.client.c_str(),
                                 holder.cookie.c_str());
  if (r == -ENOENT) return false;
  if (r < 0) return std::unexpected(r);
  return true;
}

}  // namespace tcmurbd::ceph
