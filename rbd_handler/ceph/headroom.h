// SPDX-License-Identifier: Apache-2.0
// Checks the remaining resources of the process before a client instance is created: librados
// aborts the process if it cannot start a thread, and other code fails without descriptors or
// memory. So the instance is refused, and with it one LUN, or one attempt of a LUN that retries.
//
// Any thread. The calls read about twenty small files of /proc and the cgroups.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "common/units.h"

namespace tcmurbd::ceph {

struct Amounts {
  uint64_t threads = 0;
  uint64_t descriptors = 0;
  uint64_t bytes = 0;
};

// Resources of one client instance with an open image; tests/lab/test_exhausted.py has the measured
// values. Each connection to an OSD uses one descriptor; this includes some of them.
inline constexpr Amounts kPerInstance{.threads = 16, .descriptors = 40, .bytes = 16 * kMiB};
// Additional reserve: jobs, each with a thread; files of configfs; buffers of ops.
inline constexpr Amounts kSpare{.threads = 24, .descriptors = 48, .bytes = 64 * kMiB};
// Client instances of the process, including fenced ones with hung ops. LIO's fabrics export 256
// LUNs per target; more instances than this indicate a fault.
inline constexpr size_t kInstancesInAllMax = 1024;
// Required before a LUN is opened: its own instance, possibly a control client, and a replacement
// for a fenced instance of this LUN or another.
inline constexpr size_t kInstancesForNewLun = 3;

class Headroom {
 public:
  // `root` is the prefix of /proc and /sys: "/" or a test tree. The current usage is not counted
  // for instances. `process`: "self", or the pid of another process, for check() alone.
  explicit Headroom(std::string root = "/", const std::string& process = "self");
  // The instance of this process, created at the first call.
  static Headroom& of_process();

  // The reservation of an instance during its lifetime, including resources that it has not
  // allocated yet.
  class Place {
   public:
    Place() = default;
    explicit Place(Headroom& headroom) : headroom_(&headroom) {}
    Place(Place&& other) noexcept : headroom_(std::exchange(other.headroom_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(headroom_, other.headroom_);
      return *this;
    }
    ~Place();

   private:
    Headroom* headroom_ = nullptr;
  };

  // The error is one line: the missing resource, the amount, and the setting to raise.
  std::expected<Place, std::string> take();
  // Checks whether so many more instances could be created, without reserving them.
  std::expected<void, std::string> check(size_t instances) const;

 private:
  struct Limit {
    std::string what;
    uint64_t used;
    uint64_t most;
    std::string raise;
  };
  std::expected<void, std::string> check_beside(size_t there, size_t instances) const;
  std::expected<void, std::string> compare(size_t there, size_t instances) const;
  Amounts used_by_us() const;
  std::vector<Limit> thread_limits() const;
  std::vector<Limit> descriptor_limits(const Amounts& ours) const;
  std::vector<Limit> memory_limits() const;
  std::vector<std::pair<std::string, std::string>> cgroups(const std::string& controller) const;
  uint64_t threads_of_user(uint64_t user) const;

  const std::string root_;
  const std::string proc_;  // The directory of the process.
  const Amounts base_;
  std::atomic<size_t> instances_{0};
};

}  // namespace tcmurbd::ceph
