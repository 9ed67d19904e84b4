// SPDX-License-Identifier: Apache-2.0
// The answer of the owner to a gateway that asks for the lock.
#pragma once

#include <cstdint>

namespace tcmurbd::lock {

enum class PeerAnswer : uint8_t {
  kReleased,       // Also if it was released before the request came.
  kHoldsDetached,  // Break the lock and blocklist its owner, do not wait. Also for an instance that
                   // was fenced.
  kWait,           // Ops of the owner hang, and it was fenced for that a short time ago; or
                   // librbd's release takes long. Do not break the lock, ask again later.
  kNotOwner,
};

}  // namespace tcmurbd::lock
