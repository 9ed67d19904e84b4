// SPDX-License-Identifier: Apache-2.0
// Every input of the corpus once, in every build: the seeds and the findings of fuzzing.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <vector>

#include "tests/fuzz/targets.h"

namespace tcmurbd::fuzz {

// As a part of the tests' names: googletest would print its bytes, pointers that change each time.
void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

namespace {

class FuzzReplay : public ::testing::TestWithParam<Target> {};

TEST_P(FuzzReplay, KeepsItsPromises) {
  const std::filesystem::path corpus =
      std::filesystem::path(FUZZ_CORPUS) / std::string(GetParam().name);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    // A violation aborts: the last line names the input.
    std::fprintf(stderr, "%s\n", entry.path().c_str());
    std::ifstream file(entry.path(), std::ios::binary);
    // Of exactly this size, so that ASan sees a read beyond it.
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    GetParam().run(std::vector<uint8_t>(bytes));
    ++files;
  }
  GetParam().run({});
  EXPECT_GT(files, 0) << "no corpus in " << corpus;
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzReplay, ::testing::ValuesIn(kTargets),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace tcmurbd::fuzz
