// SPDX-License-Identifier: Apache-2.0
// Questions for the monitors that may hang.
#include "rbd_handler/lun/place_finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <latch>
#include <thread>

namespace tcmurbd {
namespace {

using ceph::ObjectLocation;
using ceph::ObjectPlace;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Optional;

class Oracle final : public ceph::Monitors {
 public:
  std::expected<void, ceph::LockFailure> blocklist(const std::string&) const override { return {}; }
  std::expected<ceph::Blocklist, ceph::LockFailure> blocklisted() const override {
    return ceph::Blocklist{};
  }
  std::expected<ObjectLocation, std::string> locate(const ObjectPlace& place) const override {
    ++asked;
    if (place.object == "hangs") resumed.wait();
    if (place.object == "unknown") return std::unexpected("no such pool");
    return ObjectLocation{.pg = "1." + place.object, .acting = {3}};
  }

  mutable std::latch resumed{1};
  mutable std::atomic<int> asked = 0;
};

class PlaceFinderTest : public ::testing::Test {
 protected:
  // Nothing: no answer yet.
  using Answer = std::shared_ptr<std::optional<PlaceFinder::Places>>;

  Answer find(const std::vector<std::string>& objects, milliseconds patience = seconds(60)) {
    std::vector<ObjectPlace> places;
    for (const std::string& object : objects) places.push_back({.object = object});
    const auto answer = std::make_shared<std::optional<PlaceFinder::Places>>();
    finder_->find(oracle_, places, patience, [answer](PlaceFinder::Places found) {
      EXPECT_FALSE(answer->has_value()) << "reported twice";
      *answer = std::move(found);
    });
    return answer;
  }
  PlaceFinder::Places wait(const Answer& answer) {
    loop_.restart();
    while (!answer->has_value()) loop_.run_one_for(seconds(30));
    return answer->value_or(PlaceFinder::Places{});
  }

  boost::asio::io_context loop_;
  const std::shared_ptr<Oracle> oracle_ = std::make_shared<Oracle>();
  const std::shared_ptr<PlaceFinder> finder_ = std::make_shared<PlaceFinder>(loop_);
};

TEST_F(PlaceFinderTest, FindsAllInTheirOrder) {
  EXPECT_THAT(wait(find({"a", "unknown", "b"})),
              ElementsAre(Optional(ObjectLocation{"1.a", {3}}), std::nullopt,
                          Optional(ObjectLocation{"1.b", {3}})));
  EXPECT_THAT(wait(find({"c"})), ElementsAre(Optional(ObjectLocation{"1.c", {3}})));
}

TEST_F(PlaceFinderTest, NothingIsAsked) {
  EXPECT_TRUE(wait(find({})).empty());
  EXPECT_EQ(oracle_->asked, 0);
}

TEST_F(PlaceFinderTest, WhatHangsIsNotWaitedFor) {
  EXPECT_THAT(wait(find({"a", "hangs", "b"}, milliseconds(50))),
              ElementsAre(Optional(ObjectLocation{"1.a", {3}}), std::nullopt, std::nullopt));
  // And does not get another thread: the next ones are answered at once.
  const Answer at_once = find({"c"});
  ASSERT_TRUE(at_once->has_value());
  EXPECT_THAT(**at_once, ElementsAre(std::nullopt));
  EXPECT_EQ(oracle_->asked, 2);
  oracle_->resumed.count_down();
  while (oracle_.use_count() != 1) std::this_thread::yield();
  EXPECT_EQ(oracle_->asked, 2) << "no caller waits for the rest";
  // The thread ends a moment after it let the oracle go.
  PlaceFinder::Places found;
  do {
    loop_.restart();
    loop_.run_one_for(milliseconds(50));
    found = wait(find({"c"}));
  } while (!found.at(0).has_value());
  EXPECT_THAT(found, ElementsAre(Optional(ObjectLocation{"1.c", {3}})));
}

TEST_F(PlaceFinderTest, TwoAtATime) {
  const Answer one = find({"a"});
  const Answer two = find({"b"});
  EXPECT_THAT(wait(one), ElementsAre(Optional(ObjectLocation{"1.a", {3}})));
  EXPECT_THAT(wait(two), ElementsAre(Optional(ObjectLocation{"1.b", {3}})));
}

}  // namespace
}  // namespace tcmurbd
