// SPDX-License-Identifier: Apache-2.0
#include "common/check.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "common/crash_dump.h"
#include "common/log.h"

namespace tcmurbd {

void check_failed(const char* file, int line, const char* condition) {
  std::array<char, 256> reason{};
  std::snprintf(reason.data(), reason.size(), "%s:%d: CHECK failed: %s", file, line, condition);
  write_crash_dump(reason.data());      // First, since other threads continue.
  Log::drain(std::chrono::seconds(1));  // The log lines before it.
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace tcmurbd
