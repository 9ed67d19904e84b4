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

// Keeps tcmu-runner from running beside this daemon, and this daemon from starting beside it: both
// would answer the same netlink events, and each would take devices from the other. While it runs,
// tcmu-runner (main.c) holds an exclusive fcntl lock on its lock file; this is a shared one, so
// several tcmu-rbd with lock files of their own do not exclude each other. Start-up thread.
class RunnerLock {
 public:
  static constexpr const char* kPath = "/run/tcmu.lock";

  // Creates the file if necessary. The error names the pid of tcmu-runner. A file that cannot be
  // opened is not an error: then tcmu-runner cannot start either.
  static std::expected<RunnerLock, std::string> acquire(const std::string& path = kPath);

 private:
  explicit RunnerLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace tcmurbd::kernel
