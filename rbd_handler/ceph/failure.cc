// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ceph/failure.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace tcmurbd::ceph {

std::string failure_text(int error) {
  switch (-error) {
    case ENOENT:
      return "does not exist";
    case EPERM:
    case EACCES:
      return "permission denied; the user's caps need mon 'profile rbd', osd 'profile rbd'";
    case ENOMEDIUM:
      return "not primary (mirroring); promote it with 'rbd mirror image promote'";
    case ESHUTDOWN:
      return "this client instance is blocklisted";
    case ETIMEDOUT:
      return "no answer in time";
    case EROFS:
      return "read-only, or this client instance does not have the exclusive lock";
    case ENOSYS:
    case EOPNOTSUPP:
      return "has features that this librbd does not know";
    default:
      return fmt::format("{} (error {})", std::generic_category().message(-error), error);
  }
}

}  // namespace tcmurbd::ceph
