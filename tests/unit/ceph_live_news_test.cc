// SPDX-License-Identifier: Apache-2.0
// Changes of an open image by other clients: reported, and known before the next op.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>

#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ImageNewsTest : public LiveTest {
 protected:
  // Opens it without the lock.
  void open(const std::string& name) {
    name_ = name;
    const auto spec = parse_dev_config(dev_config(name));
    auto image = RbdImage::open(*spec, target_.completions.sink(), [this](const ImageNews& news) {
      ++telling_;
      telling_.notify_all();
      const std::lock_guard gate(gate_);
      const std::lock_guard lock(mutex_);
      news_ = news;
      warnings_.insert(warnings_.end(), news.warnings.begin(), news.warnings.end());
      arrived_.notify_all();
    });
    ASSERT_TRUE(image.has_value()) << image.error();
    target_.image = std::move(*image);
  }
  void TearDown() override {
    target_.image.reset();
    LiveTest::TearDown();
  }
  // The warnings since the last call, once `wanted` is among them.
  std::vector<std::string> reported(const std::function<bool(const ImageNews&)>& wanted) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(arrived_.wait_for(lock, std::chrono::seconds(10), [&] { return wanted(news_); }));
    return std::exchange(warnings_, {});
  }
  void rbd(const std::string& command) const {
    EXPECT_EQ(std::system(("rbd -c " + conf_ + " " + command + " > /dev/null").c_str()), 0)
        << command;
  }
  void lock() const {
    const auto locked = target_.image->take_free_lock();
    ASSERT_TRUE(locked.has_value()) << locked.error().text;
  }
  std::string image() const { return "rbd/" + name_; }

  Target target_;
  std::string name_;
  std::mutex gate_;  // Its holder blocks the image's own thread when there are news.
  std::atomic<int> telling_{0};

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  ImageNews news_;                     // Guarded by mutex_.
  std::vector<std::string> warnings_;  // Guarded by mutex_.
};

TEST_F(ImageNewsTest, SizeLimitsAndSettings) {
  open(make_image({.bytes = 8 * kMiB}));
  lock();
  EXPECT_EQ(target_.image->info().limits, task::RateLimits{});
  resize(name_, 4 * kMiB);
  EXPECT_THAT(reported([](const ImageNews& news) { return news.bytes == 4 * kMiB; }),
              ElementsAre(HasSubstr("was shrunk from 8388608 to 4194304 bytes")));
  resize(name_, 16 * kMiB);
  EXPECT_THAT(reported([](const ImageNews& news) { return news.bytes == 16 * kMiB; }), IsEmpty());

  rbd("config image set " + image() + " rbd_qos_write_bps_limit 1048576");
  rbd("config image set " + image() + " rbd_qos_iops_limit 4000");
  EXPECT_THAT(reported([](const ImageNews& news) {
                return news.limits == task::RateLimits{.iops = 4000, .write_bps = kMiB};
              }),
              IsEmpty());
  EXPECT_EQ(Target::open_unlocked(dev_config(name_))->image->info().limits,
            (task::RateLimits{.iops = 4000, .write_bps = kMiB}));

  rbd("config image set " + image() + " rbd_disable_zero_copy_writes false");
  EXPECT_THAT(reported([](const ImageNews& news) { return news.unsafe; }),
              ElementsAre(HasSubstr("rbd_disable_zero_copy_writes='false'")));
  rbd("config image rm " + image() + " rbd_disable_zero_copy_writes");
  EXPECT_THAT(reported([](const ImageNews& news) { return !news.unsafe; }),
              ElementsAre(HasSubstr("served safely again")));
}

TEST_F(ImageNewsTest, AnOpThatWaitsForTheHeaderCanBeGivenUp) {
  open(make_image({.bytes = 8 * kMiB}));
  lock();
  ASSERT_EQ(target_.write(0, Bytes(4096, 1)), 0);
  OpToken tokens[3];
  {
    const std::lock_guard gate(gate_);
    resize(name_, 16 * kMiB);
    telling_.wait(0);
    resize(name_, 24 * kMiB);
    const uint64_t offsets[3] = {20 * kMiB, 0, 21 * kMiB};
    for (int i = 0; i < 3; ++i) {
      tokens[i] = target_.next_token++;
      target_.submit_spoiled({.kind = OpKind::kWrite, .range = {offsets[i], 4096}, .data = {}},
                             Bytes(4096, 2), 1, tokens[i]);
    }
    target_.image->give_up(tokens[0]);
    target_.image->give_up(tokens[1]);
  }
  EXPECT_EQ(target_.completions.wait(tokens[0]), -ECANCELED);
  EXPECT_EQ(target_.completions.wait(tokens[1]), -ECANCELED);
  EXPECT_EQ(target_.completions.wait(tokens[2]), 0);
  Bytes back(4096);
  EXPECT_EQ(target_.read(0, back), 0);
  EXPECT_EQ(back, Bytes(4096, 1));
  EXPECT_EQ(target_.read(20 * kMiB, back), 0);
  EXPECT_EQ(back, Bytes(4096));
  EXPECT_EQ(target_.read(21 * kMiB, back), 0);
  EXPECT_EQ(back, Bytes(4096, 2));
}

// The header is read only after the image was enlarged again, which hides the shrink. Without
// waiting for that read, librbd truncates the write, unless it processes it after the enlargement.
TEST_F(ImageNewsTest, AWriteAcrossAnEndThatMovesIsNotCut) {
  open(make_image({.bytes = 8 * kMiB}));
  lock();
  const Bytes data(8192, 2);
  OpToken token = 0;
  {
    const std::lock_guard gate(gate_);
    resize(name_, 16 * kMiB);
    telling_.wait(0);
    resize(name_, 4 * kMiB);
    token = target_.next_token++;
    target_.submit_spoiled({.kind = OpKind::kWrite, .range = {4 * kMiB - 4096, 8192}, .data = {}},
                           data, 1, token);
    resize(name_, 8 * kMiB);
  }
  EXPECT_EQ(target_.completions.wait(token), 0);
  Bytes back(8192);
  EXPECT_EQ(target_.read(4 * kMiB - 4096, back), 0);
  EXPECT_EQ(back, data);
}

// An open handle does not get a cache: each completed write is visible to others.
TEST_F(ImageNewsTest, ACacheThatIsSetCountsOnlyForTheNextOpen) {
  open(make_image({.bytes = 8 * kMiB}));
  lock();
  rbd("config image set " + image() + " rbd_cache true");
  rbd("config image set " + image() + " rbd_cache_writethrough_until_flush false");
  std::vector<std::string> warnings;
  while (warnings.empty()) warnings = reported([](const ImageNews&) { return true; });
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("rbd_cache='true'")));
  // A new acquire recreates librbd's layers.
  EXPECT_TRUE(target_.image->release_lock());
  lock();
  const std::string object = target_.image->place_of({0, 512}).object;
  for (int i = 1; i < 50; ++i) {
    ASSERT_EQ(target_.write(0, Bytes(4096, static_cast<uint8_t>(i))), 0);
    char byte = 0;
    ASSERT_EQ(rados_read(pool_, object.c_str(), &byte, 1, 4095), 1);
    EXPECT_EQ(byte, i);
  }
}

TEST_F(ImageNewsTest, Features) {
  open(make_image({.bytes = 8 * kMiB}));
  rbd("feature enable " + image() + " journaling");
  EXPECT_THAT(reported([](const ImageNews& news) { return news.unsafe; }),
              ElementsAre(HasSubstr("now has the feature journaling")));
  rbd("feature disable " + image() + " journaling");
  EXPECT_THAT(reported([](const ImageNews& news) { return !news.unsafe; }),
              ElementsAre(HasSubstr("served safely again")));
  // Also under an owner.
  lock();
  rbd("feature disable " + image() + " object-map fast-diff exclusive-lock");
  EXPECT_THAT(reported([](const ImageNews& news) { return news.unsafe; }),
              ElementsAre(HasSubstr("has lost the feature exclusive-lock")));
}

TEST_F(ImageNewsTest, DemotedAndPromoted) {
  rbd("mirror pool enable rbd image");
  open(make_image({.bytes = 8 * kMiB}));
  rbd("mirror image enable " + image() + " snapshot");
  lock();
  ASSERT_EQ(target_.write(0, Bytes(4096, 1)), 0);
  ASSERT_TRUE(target_.image->release_lock());
  rbd("mirror image demote " + image());
  reported([](const ImageNews& news) { return !news.primary; });
  EXPECT_FALSE(target_.image->primary());
  EXPECT_EQ(target_.write(0, Bytes(4096, 2)), kNotPrimary);
  EXPECT_EQ(target_.zero(0, 4096), kNotPrimary);
  EXPECT_EQ(target_.compare_and_write(0, Bytes(4096, 1) + Bytes(4096, 2)).result, kNotPrimary);
  EXPECT_EQ(target_.image->take_free_lock().error().error, kNotPrimary);
  Bytes back(4096);
  EXPECT_EQ(target_.read(0, back), 0);
  EXPECT_EQ(back, Bytes(4096, 1));

  const auto fresh = Target::open_unlocked(dev_config(name_));
  ASSERT_TRUE(fresh);
  EXPECT_FALSE(fresh->image->primary());
  EXPECT_EQ(fresh->read(0, back), 0);
  EXPECT_EQ(fresh->write(0, Bytes(4096, 2)), kNotPrimary);
  EXPECT_EQ(fresh->image->take_free_lock().error().error, kNotPrimary);

  rbd("mirror image promote --force " + image());
  EXPECT_THAT(reported([](const ImageNews& news) { return news.primary; }),
              testing::Contains(HasSubstr("was promoted")));
  // Both handles are good for it again.
  for (Target* target : {&target_, fresh.get()}) {
    EXPECT_TRUE(target->image->take_free_lock());
    EXPECT_TRUE(target->image->primary());
    EXPECT_EQ(target->write(0, Bytes(4096, 3)), 0);
    EXPECT_TRUE(target->image->release_lock());
  }
  // Without the lock it is the lock again.
  EXPECT_EQ(target_.write(0, Bytes(4096, 4)), -EROFS);
  rbd("mirror image disable " + image());
}

TEST_F(ImageNewsTest, TheObjectOfABlockIsWhereItsDataIs) {
  rbd("create --size 8M --object-size 128K --stripe-unit 64K --stripe-count 3 rbd/striped");
  open("striped");
  lock();
  for (const uint64_t unit : {0, 1, 4, 8}) {
    ASSERT_EQ(target_.write(unit * 64 * kKiB, Bytes(4096, 7)), 0);
    const ObjectPlace place = target_.image->place_of({unit * 64 * kKiB, 4096});
    EXPECT_EQ(place.pool, "rbd");
    uint64_t bytes = 0;
    EXPECT_EQ(rados_stat(pool_, place.object.c_str(), &bytes, nullptr), 0) << place.object;
    EXPECT_EQ(place.map_pool, "rbd");
    EXPECT_EQ(rados_stat(pool_, place.map_object.c_str(), &bytes, nullptr), 0) << place.map_object;
  }
  target_.image.reset();
  rbd("rm rbd/striped --no-progress");
}

}  // namespace
}  // namespace tcmurbd::ceph
