// SPDX-License-Identifier: Apache-2.0
// Access to memory that the kernel writes while we read it. Each load happens exactly once, so that
// what was checked is what is used; the compiler may neither repeat it nor split it.
//
// Thread: as the Ring's. REQUIRES everywhere: offset + sizeof(T) <= size(), offset aligned for T;
// callers have checked what they got from the kernel before, so a violation is a programming error.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/check.h"

namespace tcmurbd::ring {

class SharedMemory {
 public:
  SharedMemory() = default;
  explicit SharedMemory(std::span<std::byte> map) : map_(map) {
    CHECK(reinterpret_cast<uintptr_t>(map.data()) % alignof(uint64_t) == 0);
  }

  uint64_t size() const { return map_.size(); }

  template <typename T>
  T load(uint64_t offset) const {
    return at<T>(offset).load(std::memory_order_relaxed);
  }
  // Everything that the kernel wrote before it stored this value is visible afterwards.
  template <typename T>
  T load_acquire(uint64_t offset) const {
    return at<T>(offset).load(std::memory_order_acquire);
  }
  template <typename T>
  void store(uint64_t offset, T value) {
    at<T>(offset).store(value, std::memory_order_relaxed);
  }
  // Everything that we wrote before is visible to who sees this value.
  template <typename T>
  void store_release(uint64_t offset, T value) {
    at<T>(offset).store(value, std::memory_order_release);
  }

  // A piece of the map, to hand on or to fill.
  std::byte* pointer(uint64_t offset, uint64_t length) const {
    CHECK(offset <= map_.size() && length <= map_.size() - offset);
    return map_.data() + offset;
  }

 private:
  template <typename T>
  std::atomic_ref<T> at(uint64_t offset) const {
    static_assert(std::atomic_ref<T>::is_always_lock_free);
    CHECK(offset % alignof(T) == 0 && offset <= map_.size() && sizeof(T) <= map_.size() - offset);
    return std::atomic_ref<T>(*reinterpret_cast<T*>(map_.data() + offset));
  }

  std::span<std::byte> map_;
};

}  // namespace tcmurbd::ring
