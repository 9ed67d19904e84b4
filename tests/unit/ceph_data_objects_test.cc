// SPDX-License-Identifier: Apache-2.0
// From the sizes of objects to the parts of a range that may hold data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ceph/data_objects.h"

namespace tcmurbd {
// For messages.
static void PrintTo(const ByteRange& range, std::ostream* out) {
  *out << range.offset << " + " << range.length;
}
}  // namespace tcmurbd

namespace tcmurbd::ceph {
namespace {

using Objects = std::vector<std::optional<uint64_t>>;
using testing::ElementsAre;
using testing::IsEmpty;
constexpr std::nullopt_t kNone = std::nullopt;

DataLayout layout(uint64_t parent_bytes = 0) {
  return {.object_bytes = 1000, .parent_bytes = parent_bytes, .plain = true};
}

TEST(MappedRuns, WhatDoesNotExistHoldsNothing) {
  EXPECT_THAT(mapped_runs(layout(), {0, 3000}, Objects{kNone, kNone, kNone}), IsEmpty());
  EXPECT_THAT(mapped_runs(layout(), {0, 3000}, Objects{kNone, 1000, kNone}),
              ElementsAre(ByteRange{1000, 1000}));
  EXPECT_THAT(mapped_runs(layout(), {0, 3000}, Objects{1000, kNone, 1000}),
              ElementsAre(ByteRange{0, 1000}, ByteRange{2000, 1000}));
}

TEST(MappedRuns, NeighboursAreOneRun) {
  EXPECT_THAT(mapped_runs(layout(), {0, 3000}, Objects{1000, 1000, 1000}),
              ElementsAre(ByteRange{0, 3000}));
  EXPECT_THAT(mapped_runs(layout(), {0, 3000}, Objects{999, 1000, 1}),
              ElementsAre(ByteRange{0, 999}, ByteRange{1000, 1001}));
}

TEST(MappedRuns, AnObjectHoldsNothingBeyondItsSize) {
  EXPECT_THAT(mapped_runs(layout(), {0, 1000}, Objects{0}), IsEmpty());
  EXPECT_THAT(mapped_runs(layout(), {0, 1000}, Objects{1}), ElementsAre(ByteRange{0, 1}));
  EXPECT_THAT(mapped_runs(layout(), {500, 100}, Objects{500}), IsEmpty());
  EXPECT_THAT(mapped_runs(layout(), {500, 100}, Objects{501}), ElementsAre(ByteRange{500, 1}));
  // Larger than an object can be: must not affect its neighbour.
  EXPECT_THAT(mapped_runs(layout(), {0, 2000}, Objects{5000, kNone}),
              ElementsAre(ByteRange{0, 1000}));
}

TEST(MappedRuns, KeepsWithinTheRange) {
  EXPECT_THAT(mapped_runs(layout(), {5400, 1200}, Objects{1000, 1000}),
              ElementsAre(ByteRange{5400, 1200}));
  EXPECT_THAT(mapped_runs(layout(), {5400, 1200}, Objects{kNone, 400}),
              ElementsAre(ByteRange{6000, 400}));
  EXPECT_THAT(mapped_runs(layout(), {5400, 1200}, Objects{kNone, 900}),
              ElementsAre(ByteRange{6000, 600}));
}

TEST(MappedRuns, WhatIsMissingMayBeTheParents) {
  EXPECT_THAT(mapped_runs(layout(1500), {0, 3000}, Objects{kNone, kNone, kNone}),
              ElementsAre(ByteRange{0, 1500}));
  // An object hides the parent, an empty one too.
  EXPECT_THAT(mapped_runs(layout(1500), {0, 3000}, Objects{0, kNone, 10}),
              ElementsAre(ByteRange{1000, 500}, ByteRange{2000, 10}));
  EXPECT_THAT(mapped_runs(layout(1500), {1600, 100}, Objects{kNone}), IsEmpty());
}

DataLayout striped(uint64_t object_bytes, uint64_t unit, uint64_t objects) {
  return {.object_prefix = "rbd_data.2.ab",
          .object_bytes = object_bytes,
          .stripe_unit = unit,
          .stripe_objects = objects};
}

TEST(ObjectOf, OneObjectAfterTheOther) {
  const DataLayout plain = striped(4 * kMiB, 4 * kMiB, 1);
  EXPECT_EQ(object_of(plain, 0), "rbd_data.2.ab.0000000000000000");
  EXPECT_EQ(object_of(plain, 4 * kMiB - 1), "rbd_data.2.ab.0000000000000000");
  EXPECT_EQ(object_of(plain, 4 * kMiB), "rbd_data.2.ab.0000000000000001");
  EXPECT_EQ(object_of(plain, kGiB), "rbd_data.2.ab.0000000000000100");
}

// Three objects a set, two units an object: 0 3 | 1 4 | 2 5, then 6 9 | 7 10 | 8 11.
TEST(ObjectOf, RoundTheObjectsOfASet) {
  const DataLayout layout = striped(128 * kKiB, 64 * kKiB, 3);
  const std::vector<char> expected{'0', '1', '2', '0', '1', '2', '3', '4', '5', '3', '4', '5', '6'};
  for (uint64_t unit = 0; unit < expected.size(); ++unit)
    for (const uint64_t offset : {unit * 64 * kKiB, (unit + 1) * 64 * kKiB - 1})
      EXPECT_EQ(object_of(layout, offset),
                std::string("rbd_data.2.ab.000000000000000") + expected[unit]);
}

}  // namespace
}  // namespace tcmurbd::ceph
