// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry point for the target selected by the build.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tcmurbd::fuzz::TCMU_RBD_FUZZ_TARGET({data, size});
  return 0;
}
