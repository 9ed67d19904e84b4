// SPDX-License-Identifier: Apache-2.0
// One instance per host: two daemons would compete for UIO devices and answer each other's netlink
// events. The lock is a flock, so it ends with the process. Start-up thread.
#pragma once

#include <expected>
#include <string>

#include "common/unique_fd.h"

namespace tcmurbd::kernel {

class LockFile {
 public:
  // Creates the file if necessary, locks it and writes the pid. The error names the path and the
  // pid of the process that holds the lock.
  static std::expected<LockFile, std::string> acquire(const std::string& path);

 private:
  explicit LockFile(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;  // Close-on-exec. The file itself stays: removing it would let two processes lock
                 // two files.
};

}  // namespace tcmurbd::kernel
