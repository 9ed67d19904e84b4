// SPDX-License-Identifier: Apache-2.0
// CHECK documents a programming error and is always on: continuing with a broken invariant could
// write wrong data. Never used on data from the kernel, the configuration, the cluster or the
// network; invalid input gives an error value.
#pragma once

namespace tcmurbd {

// Leaves a crash dump (crash_dump.h), prints the place and the condition to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace tcmurbd

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::tcmurbd::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

// For the unreachable end of a function.
#define UNREACHABLE() ::tcmurbd::check_failed(__FILE__, __LINE__, "unreachable")
