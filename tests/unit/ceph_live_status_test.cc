// SPDX-License-Identifier: Apache-2.0
// Which blocks of a real image hold data.
#include "ceph_live.h"

namespace tcmurbd::ceph {
namespace {

using Runs = std::vector<ByteRange>;

class ImageStatus : public LiveTest {
 protected:
  static Runs mapped(Target& target, const ByteRange& range) {
    Runs runs = {{1, 1}};  // Of an earlier use.
    EXPECT_EQ(
        target.run({.kind = OpKind::kBlockStatus, .range = range, .data = {}, .mapped = &runs}), 0);
    return runs;
  }
};

TEST_F(ImageStatus, AnObjectIsMappedUpToItsSize) {
  const auto target = Target::open(dev_config(make_image({.bytes = 8 * kMiB, .order = 20})));
  ASSERT_TRUE(target);
  EXPECT_EQ(mapped(*target, {0, 8 * kMiB}), Runs{});
  ASSERT_EQ(target->write(3 * kMiB, Bytes(4096, 1)), 0);
  ASSERT_EQ(target->write(5 * kMiB + 8192, Bytes(4096, 1)), 0);
  ASSERT_EQ(target->write(6 * kMiB, Bytes(kMiB, 1)), 0);
  EXPECT_EQ(mapped(*target, {0, 8 * kMiB}),
            (Runs{{3 * kMiB, 4096}, {5 * kMiB, 12288}, {6 * kMiB, kMiB}}));
  EXPECT_EQ(mapped(*target, {3 * kMiB + 512, 512}), (Runs{{3 * kMiB + 512, 512}}));
  EXPECT_EQ(mapped(*target, {3 * kMiB + 4096, kMiB}), Runs{});
  // Freed again.
  ASSERT_EQ(target->zero(6 * kMiB, kMiB), 0);
  ASSERT_EQ(target->zero(5 * kMiB + 4096, kMiB - 4096), 0);
  EXPECT_EQ(mapped(*target, {0, 8 * kMiB}), (Runs{{3 * kMiB, 4096}, {5 * kMiB, 4096}}));
}

TEST_F(ImageStatus, AsManyObjectsAsOneOpMay) {
  const auto target = Target::open(dev_config(make_image({.bytes = 64 * kMiB, .order = 20})));
  ASSERT_TRUE(target);
  Runs expected;
  for (uint64_t object = 1; object < 64; object += 2) {
    ASSERT_EQ(target->write(object * kMiB, Bytes(512, 1)), 0);
    expected.push_back({object * kMiB, 512});
  }
  EXPECT_EQ(mapped(*target, {0, 64 * kMiB}), expected);
}

TEST_F(ImageStatus, WhatAParentMayHaveIsMapped) {
  const std::string parent = make_image({.bytes = 4 * kMiB, .order = 20});
  ASSERT_EQ(Target::open(dev_config(parent))->write(kMiB, Bytes(4096, 1)), 0);
  const std::string name = make_clone(parent);
  resize(name, 8 * kMiB);
  const auto clone = Target::open(dev_config(name));
  ASSERT_TRUE(clone);
  EXPECT_EQ(mapped(*clone, {0, 8 * kMiB}), (Runs{{0, 4 * kMiB}}));
  ASSERT_EQ(clone->write(5 * kMiB, Bytes(512, 1)), 0);
  ASSERT_EQ(clone->zero(2 * kMiB, kMiB), 0);  // Hides the parent's.
  EXPECT_EQ(mapped(*clone, {0, 8 * kMiB}),
            (Runs{{0, 2 * kMiB}, {3 * kMiB, kMiB}, {5 * kMiB, 512}}));
}

TEST_F(ImageStatus, ASnapshotTellsItsOwn) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto head = Target::open(dev_config(name));
  ASSERT_TRUE(head);
  ASSERT_EQ(head->write(kMiB, Bytes(4096, 1)), 0);
  snapshot(name, "s");
  ASSERT_EQ(head->write(3 * kMiB, Bytes(4096, 1)), 0);
  ASSERT_EQ(head->zero(kMiB, kMiB), 0);
  EXPECT_EQ(mapped(*head, {0, 4 * kMiB}), (Runs{{3 * kMiB, 4096}}));
  EXPECT_EQ(mapped(*Target::open(dev_config(name + "@s")), {0, 4 * kMiB}), (Runs{{kMiB, 4096}}));
}

TEST_F(ImageStatus, GrowthAndShrinkingAreSeen) {
  const std::string name = make_image({.bytes = 4 * kMiB, .order = 20});
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  Runs runs;
  const ImageOp beyond{
      .kind = OpKind::kBlockStatus, .range = {4 * kMiB, kMiB}, .data = {}, .mapped = &runs};
  EXPECT_EQ(target->run(beyond), kBeyondEnd);
  resize(name, 8 * kMiB);
  EXPECT_EQ(mapped(*target, {4 * kMiB, kMiB}), Runs{});
  resize(name, 4 * kMiB);
  EXPECT_EQ(target->run(beyond), kBeyondEnd);
}

TEST_F(ImageStatus, WhatIsStripedOverObjectsIsMapped) {
  rados_ioctx_t pool = pool_;
  const std::string name = make_image();
  ASSERT_EQ(rbd_remove(pool, name.c_str()), 0);
  int order = 20;
  ASSERT_EQ(rbd_create3(pool, name.c_str(), 8 * kMiB,
                        RBD_FEATURE_STRIPINGV2 | RBD_FEATURE_EXCLUSIVE_LOCK, &order, 65536, 4),
            0);
  const auto target = Target::open(dev_config(name));
  ASSERT_TRUE(target);
  EXPECT_EQ(mapped(*target, {512, 8 * kMiB - 512}), (Runs{{512, 8 * kMiB - 512}}));
}

}  // namespace
}  // namespace tcmurbd::ceph
