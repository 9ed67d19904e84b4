// SPDX-License-Identifier: Apache-2.0
// Ops that are given up while the only OSD hangs: parts that have not started are never started.
#include <cstdlib>

#include "ceph_live_gateway.h"
#include "rbd_handler/ceph/object_probe.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ImageHung : public LiveTest {
 protected:
  void SetUp() override {
    LiveTest::SetUp();
    if (IsSkipped()) return;
    if (std::getenv("TCMU_RBD_TEST_OSD_PID") == nullptr)
      GTEST_SKIP() << "TCMU_RBD_TEST_OSD_PID names no OSD";
    osd_ = pid_from("TCMU_RBD_TEST_OSD_PID");
    image_ = make_image({.bytes = 8 * kMiB});
    target_ = Target::open(dev_config(image_));
    ASSERT_TRUE(target_);
    ASSERT_EQ(target_->write(0, old_), 0);
  }
  void TearDown() override {
    target_.reset();
    LiveTest::TearDown();
  }

  OpToken submit(OpKind kind, const Bytes& data) {
    const uint64_t length = kind == OpKind::kCompareAndWrite ? data.size() / 2 : data.size();
    const OpToken token = target_->next_token++;
    target_->submit_spoiled({.kind = kind, .range = {0, length}, .data = {}}, data, 1, token);
    return token;
  }
  int32_t given_up_while_hung(OpKind kind, const Bytes& data) {
    OpToken token = 0;
    {
      const Frozen frozen(osd_);
      token = submit(kind, data);
      // So that its first part is on its way, not at its begin.
      EXPECT_FALSE(target_->completions.wait_for(token, milliseconds(200)));
      target_->image->give_up(token);
      EXPECT_FALSE(target_->completions.wait_for(token, milliseconds(0)));
    }
    return target_->completions.wait(token);
  }
  Bytes content() {
    Bytes back(old_.size());
    EXPECT_EQ(target_->read(0, back), 0);
    return back;
  }

  const Bytes old_ = Bytes(4096, 0x11);
  pid_t osd_ = 0;
  std::string image_;
  std::unique_ptr<Target> target_;
};

TEST_F(ImageHung, WhatIsReadFirstIsNotWrittenAnyMore) {
  EXPECT_EQ(given_up_while_hung(OpKind::kOrWrite, Bytes(4096, 0xee)), -ECANCELED);
  EXPECT_TRUE(content() == old_);
  EXPECT_EQ(given_up_while_hung(OpKind::kCompareAndWrite, old_ + Bytes(4096, 0xee)), -ECANCELED);
  EXPECT_TRUE(content() == old_);
  // The slot is taken again, and the mark is off.
  EXPECT_EQ(target_->compare_and_write(0, old_ + Bytes(4096, 0x22)).result, 0);
  EXPECT_TRUE(content() == Bytes(4096, 0x22));
}

TEST_F(ImageHung, WhatIsWrittenFirstIsNotReadBack) {
  EXPECT_EQ(given_up_while_hung(OpKind::kWriteAndCompare, Bytes(4096, 0x22)), 0);
  EXPECT_TRUE(content() == Bytes(4096, 0x22));
}

TEST_F(ImageHung, WhatHasBegunGoesOn) {
  EXPECT_EQ(given_up_while_hung(OpKind::kWrite, Bytes(4096, 0x22)), 0);
  EXPECT_TRUE(content() == Bytes(4096, 0x22));
}

TEST_F(ImageHung, ItsObjectsDoNotAnswer) {
  const std::string object = target_->image->place_of({0, 512}).object;
  EXPECT_TRUE(answers(pool_, object, seconds(10)));
  EXPECT_TRUE(answers(pool_, "none", seconds(10)));
  {
    const Frozen frozen(osd_);
    EXPECT_FALSE(answers(pool_, object, milliseconds(200)));
  }
  EXPECT_TRUE(answers(pool_, object, seconds(10)));
}

}  // namespace
}  // namespace tcmurbd::ceph
