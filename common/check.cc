// SPDX-License-Identifier: Apache-2.0
#include "common/check.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "common/log.h"

namespace tcmurbd {

void check_failed(const char* file, int line, const char* condition) {
  Log::drain(std::chrono::seconds(1));  // The log lines before it.
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace tcmurbd
