// SPDX-License-Identifier: Apache-2.0
// Depth and size: the maximum number of ops in flight, and the cost of huge ranges of zeroes.
#include <chrono>
#include <filesystem>
#include <iostream>

#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point begin) {
  return duration<double>(steady_clock::now() - begin).count();
}

class ImageLimits : public LiveTest {
 protected:
  // Submits `count` ops made by `make` and waits for all. Returns the longest time a submit took.
  template <typename Make>
  double run_all(Target& target, uint32_t count, Make make) {
    double longest = 0;
    for (OpToken token = 0; token < count; ++token) {
      const auto begin = steady_clock::now();
      target.image->submit(make(token), token);
      longest = std::max(longest, seconds_since(begin));
    }
    for (OpToken token = 0; token < count; ++token)
      EXPECT_EQ(target.completions.wait(token), 0) << token;
    target.next_token = count;
    return longest;
  }
};

TEST_F(ImageLimits, AllOpsInFlightWith4MiBEach) {
  const std::string name = make_image({.bytes = 1200 * kMiB});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  Bytes data(4 * kMiB, 0x5a);
  const iovec iov{data.data(), data.size()};
  // Half an object off, so that each op touches two: twice the ops in the Objecter.
  const auto at = [&](OpKind kind) {
    return [&, kind](OpToken token) {
      return ImageOp{
          .kind = kind, .range = {token * 4 * kMiB + 2 * kMiB, data.size()}, .data = {&iov, 1}};
    };
  };
  auto begin = steady_clock::now();
  double longest = run_all(*target, kImageOpsMax, at(OpKind::kWrite));
  std::cout << "256 writes of 4 MiB: " << seconds_since(begin) << " s, longest submit " << longest
            << " s" << std::endl;
  std::fill(data.begin(), data.end(), 0);
  begin = steady_clock::now();
  longest = run_all(*target, kImageOpsMax, at(OpKind::kRead));
  std::cout << "256 reads of 4 MiB: " << seconds_since(begin) << " s, longest submit " << longest
            << " s" << std::endl;
  EXPECT_EQ(data, Bytes(4 * kMiB, 0x5a));
}

size_t entries(const char* directory) {
  const std::filesystem::directory_iterator begin(directory);
  return static_cast<size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
}

TEST_F(ImageLimits, ClosingWaitsForItsOps) {
  const std::string name = make_image({.bytes = 1200 * kMiB});
  auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  Bytes data(kMiB, 0x5a);
  const iovec iov{data.data(), data.size()};
  for (OpToken token = 0; token < 64; ++token)
    target->image->submit(
        {.kind = OpKind::kWrite, .range = {token * kMiB, kMiB}, .data = {&iov, 1}}, token);
  target->image.reset();
  for (OpToken token = 0; token < 64; ++token)
    EXPECT_TRUE(target->completions.wait_for(token, milliseconds(0))) << token;
}

TEST_F(ImageLimits, OpeningAndClosingLeavesNothing) {
  const std::string name = make_image();
  Target::open(dev_config(name));  // What is made once and kept.
  const size_t threads = entries("/proc/self/task");
  const size_t files = entries("/proc/self/fd");
  for (int i = 0; i < 5; ++i) {
    const auto target = Target::open(dev_config(name));
    ASSERT_TRUE(target);
    EXPECT_EQ(target->write(0, Bytes(4096, 1)), 0);
    if (i == 0)
      std::cout << "threads of an instance: " << entries("/proc/self/task") - threads << std::endl;
  }
  EXPECT_EQ(entries("/proc/self/task"), threads);
  EXPECT_EQ(entries("/proc/self/fd"), files);
}

TEST_F(ImageLimits, ZeroesOfManySizes) {
  for (const bool object_map : {true, false}) {
    const std::string name =
        make_image({.bytes = 64 * kGiB,
                    .features = RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK |
                                (object_map ? uint64_t{RBD_FEATURE_OBJECT_MAP} : 0)});
    const auto target = Target::open(dev_config(name));
    ASSERT_TRUE(target);
    ASSERT_EQ(target->write(0, Bytes(4096, 1)), 0);
    for (const uint64_t length : {kGiB, 4 * kGiB}) {
      const auto begin = steady_clock::now();
      ASSERT_EQ(target->zero(0, length), 0);
      std::cout << "zeroes over " << length / kGiB << " GiB, sparse, "
                << (object_map ? "with" : "without") << " object map: " << seconds_since(begin)
                << " s" << std::endl;
    }
    Bytes back(4096);
    EXPECT_EQ(target->read(0, back), 0);
    EXPECT_EQ(back, Bytes(4096));
  }
}

}  // namespace
}  // namespace tcmurbd::ceph
