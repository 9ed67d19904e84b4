// SPDX-License-Identifier: Apache-2.0
// Text for operators for a negative errno of librados or librbd. Pure, any thread.
#pragma once

#include <string>

namespace tcmurbd::ceph {

// "does not exist", "this client instance is blocklisted", ...; else the system's words. `error` is
// negative.
std::string failure_text(int error);

// Why the exclusive lock could not be acquired, released or fenced.
struct LockFailure {
  std::string text;  // One line for the operator's log.
  int error;         // A negative errno; -ESHUTDOWN: this client instance is blocklisted.
};

}  // namespace tcmurbd::ceph
