// SPDX-License-Identifier: Apache-2.0
// What this process may still take of the machine, looked at before a client instance is made:
// librados aborts the whole process when it can't start a thread, and our other code fails without
// descriptors or memory. So an instance that can't be afforded is refused, and with it one LUN.
//
// Any thread. The calls read some twenty small files of /proc and of the cgroups.
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

// What one client instance with an open image takes; see tests/lab/test_exhausted.py for what it
// was measured to be. Connections are one descriptor for each OSD it talks to, so this has room for
// some of them.
inline constexpr Amounts kPerInstance{.threads = 16, .descriptors = 40, .bytes = 16 * kMiB};
// What must be left besides: jobs, each with a thread; files of configfs; ops' buffers.
inline constexpr Amounts kSpare{.threads = 24, .descriptors = 48, .bytes = 64 * kMiB};
// Client instances of the whole process, those that were given up and still hang included. LIO's
// fabrics export 256 LUNs a target; beyond this it is a fault that makes one after the other.
inline constexpr size_t kInstancesInAllMax = 1024;
// Before a LUN is opened: its own instance, perhaps a control client, and one that takes the place
// of a fenced one, of this LUN or of another.
inline constexpr size_t kInstancesForNewLun = 3;

class Headroom {
 public:
  // `root` stands before /proc and /sys: "/" or a test's tree. What is used now is no instance's.
  explicit Headroom(std::string root = "/");
  // That of this process, made at the first call.
  static Headroom& of_process();

  // An instance's claim, for as long as it lives: what it will take but has not taken yet is not
  // promised to another.
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

  // The error is one line: what is missing, how much, and which setting to raise.
  std::expected<Place, std::string> take();
  // Whether so many more could be made, without taking them.
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
  const Amounts base_;
  std::atomic<size_t> instances_{0};
};

}  // namespace tcmurbd::ceph
