// SPDX-License-Identifier: Apache-2.0
// Access to memory that the kernel writes concurrently. Each load happens exactly once, so that the
// checked value is the value used; the compiler may neither repeat nor split it.
//
// Thread: as the Ring's. REQUIRES everywhere: offset + sizeof(T) <= size(), offset aligned for T;
// callers check values from the kernel first, so a violation is a programming error.
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
  // Acquire: everything that the kernel wrote before this value is visible afterwards.
  template <typename T>
  T load_acquire(uint64_t offset) const {
    return at<T>(offset).load(std::memory_order_acquire);
  }
  template <typename T>
  void store(uint64_t offset, T value) {
    at<T>(offset).store(value, std::memory_order_relaxed);
  }
  // Release: everything written before is visible to a reader of this value.
  template <typename T>
  void store_release(uint64_t offset, T value) {
    at<T>(offset).store(value, std::memory_order_release);
  }

  // A part of the map.
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
