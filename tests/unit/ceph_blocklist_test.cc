// SPDX-License-Identifier: Apache-2.0
// The monitors' reply to `osd blocklist ls`, and addresses: untrusted input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ceph/blocklist.h"

namespace tcmurbd::ceph {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Blocklist, IsParsed) {
  const auto list = parse_blocklist(
      R"([{"addr":"10.0.0.1:0/37","until":"2026-01-01T00:00:00"},{"addr":"v1:10.0.0.2:0/4"}][])");
  ASSERT_TRUE(list.has_value());
  EXPECT_THAT(*list, ElementsAre("10.0.0.1:0/37", "10.0.0.2:0/4"));
}

TEST(Blocklist, MayBeEmpty) {
  const auto list = parse_blocklist("\n[][]");
  ASSERT_TRUE(list.has_value());
  EXPECT_THAT(*list, IsEmpty());
}

TEST(Blocklist, EntriesThatAreNotUnderstoodAreLeftOut) {
  const auto list = parse_blocklist(R"([1,null,"x",{},{"addr":7},{"addr":"10.0.0.1:0/37"},[]])");
  ASSERT_TRUE(list.has_value());
  EXPECT_THAT(*list, ElementsAre("10.0.0.1:0/37"));
}

TEST(Blocklist, WhatIsNoListIsAnError) {
  for (const char* json :
       {"", "{", "{}", "7", "[", "]", "\"x\"", "listed 1 entries", "[\"\xff\"", "[{\"addr\":"})
    EXPECT_FALSE(parse_blocklist(json).has_value()) << json;
}

TEST(Blocklist, AnInstanceHasANonce) {
  EXPECT_TRUE(is_instance_address("10.0.0.1:0/3706536469"));
  EXPECT_TRUE(is_instance_address("[v2:[::1]:0/37,v1:[::1]:0/37]"));
  EXPECT_FALSE(is_instance_address(""));
  EXPECT_FALSE(is_instance_address("10.0.0.1"));
  EXPECT_FALSE(is_instance_address("10.0.0.1:0/3 7"));
  EXPECT_FALSE(is_instance_address("10.0.0.1:0/3\n"));
  EXPECT_FALSE(is_instance_address("10.0.0.1:0/\xc3\xa4"));
  EXPECT_FALSE(is_instance_address("10.0.0.1:0/" + std::string(600, '1')));
}

TEST(Blocklist, TypesOfMessengersAreCutOff) {
  EXPECT_EQ(without_type("v1:10.0.0.1:0/37"), "10.0.0.1:0/37");
  EXPECT_EQ(without_type("v2:10.0.0.1:0/37"), "10.0.0.1:0/37");
  EXPECT_EQ(without_type("any:10.0.0.1:0/37"), "10.0.0.1:0/37");
  EXPECT_EQ(without_type("10.0.0.1:0/37"), "10.0.0.1:0/37");
}

}  // namespace
}  // namespace tcmurbd::ceph
