// SPDX-License-Identifier: Apache-2.0
// Whether a LUN serves commands that change its image, for an operator who asks. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tcmurbd {

// If several apply, the first one that is not kServed or kReadOnly.
enum class WritesState : uint8_t {
  kServed,
  kReadOnly,  // The disk: a snapshot, or opened read-only.
  kUnsafe,    // Refused until an unsafe setting or feature is undone: see Device::on_safe().
  kDemoted,   // The image is not primary (mirroring).
  kAway,      // The quarantine after this gateway was away.
  kNoLock,    // The exclusive lock, or a new client instance, cannot be had: see
              // Gate::lacks_lock().
  kFull,      // The pool has no space.
};

inline constexpr std::array<std::string_view, 7> kWritesStateNames{
    "served", "read_only", "unsafe", "demoted", "away", "no_lock", "full"};
static_assert(kWritesStateNames.size() == static_cast<size_t>(WritesState::kFull) + 1);

constexpr std::string_view name(WritesState state) {
  return kWritesStateNames[std::to_underlying(state)];
}

}  // namespace tcmurbd
