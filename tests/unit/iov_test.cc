// SPDX-License-Identifier: Apache-2.0
#include "common/iov.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace tcmurbd {
namespace {

using Bytes = std::vector<uint8_t>;

// Three pieces of 2, 0 and 3 bytes.
struct Pieces {
  std::array<uint8_t, 2> a{1, 2};
  std::array<uint8_t, 3> b{3, 4, 5};
  std::array<iovec, 3> iov{iovec{a.data(), 2}, iovec{a.data(), 0}, iovec{b.data(), 3}};
  Bytes all() const { return {a[0], a[1], b[0], b[1], b[2]}; }
};

TEST(Iov, CountsItsBytes) {
  Pieces p;
  EXPECT_EQ(iov_bytes(p.iov), 5u);
  EXPECT_EQ(iov_bytes({}), 0u);
}

TEST(Iov, CopiesInAcrossPieces) {
  Pieces p;
  EXPECT_EQ(copy_to_iov(p.iov, 1, Bytes{9, 8, 7}), 3u);
  EXPECT_EQ(p.all(), (Bytes{1, 9, 8, 7, 5}));
}

TEST(Iov, StopsAtTheEnd) {
  Pieces p;
  EXPECT_EQ(copy_to_iov(p.iov, 4, Bytes{9, 8, 7}), 1u);
  EXPECT_EQ(copy_to_iov(p.iov, 5, Bytes{9}), 0u);
  EXPECT_EQ(copy_to_iov(p.iov, 6, Bytes{9}), 0u);
  EXPECT_EQ(p.all(), (Bytes{1, 2, 3, 4, 9}));
}

TEST(Iov, CopiesOutAcrossPieces) {
  Pieces p;
  Bytes out(4, 0xee);
  EXPECT_EQ(copy_from_iov(p.iov, 2, out), 3u);
  EXPECT_EQ(out, (Bytes{3, 4, 5, 0xee}));
}

TEST(Iov, ZeroesTheTail) {
  Pieces p;
  zero_iov(p.iov, 1);
  EXPECT_EQ(p.all(), (Bytes{1, 0, 0, 0, 0}));
  zero_iov(p.iov, 0);
  EXPECT_EQ(p.all(), (Bytes{0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace tcmurbd
