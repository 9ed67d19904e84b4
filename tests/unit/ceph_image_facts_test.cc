// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <rbd/librbd.h>

#include "common/units.h"
#include "rbd_handler/ceph/image_facts.h"

namespace tcmurbd::ceph {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr uint64_t kUsual = RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK;
const ImageFacts kOpened{.bytes = kGiB, .features = kUsual};

ImageFacts with_features(uint64_t features) { return {.bytes = kGiB, .features = features}; }
ImageFacts with_setting(const char* name, const char* value) {
  return {.bytes = kGiB, .features = kUsual, .wrong_settings = {{name, value, false}}};
}
ImageNews news(const ImageFacts& before, const ImageFacts& now) {
  return news_of("rbd/a", kOpened, before, now);
}

TEST(ImageFacts, NothingChangedIsNoNews) {
  EXPECT_FALSE(refusal(kOpened, true));
  const ImageNews none = news(kOpened, kOpened);
  EXPECT_THAT(none.warnings, IsEmpty());
  EXPECT_TRUE(none.primary);
  EXPECT_FALSE(none.unsafe);
  EXPECT_EQ(none.bytes, kGiB);
}

TEST(ImageFacts, JournalingIsUnsafeUntilItIsGone) {
  const ImageFacts journal = with_features(kUsual | RBD_FEATURE_JOURNALING);
  EXPECT_TRUE(refusal(journal, true));
  EXPECT_FALSE(refusal(journal, false));
  const ImageNews bad = news(kOpened, journal);
  EXPECT_TRUE(bad.unsafe);
  EXPECT_THAT(bad.warnings,
              ElementsAre(StartsWith("image 'rbd/a' now has the feature journaling: ")));
  // Reported once.
  EXPECT_THAT(news(journal, journal).warnings, IsEmpty());
  EXPECT_TRUE(news(journal, journal).unsafe);
  const ImageNews good = news(journal, kOpened);
  EXPECT_FALSE(good.unsafe);
  EXPECT_THAT(good.warnings,
              ElementsAre("image 'rbd/a' can be served safely again: writes are served"));
}

TEST(ImageFacts, TheLockMayComeButNotGo) {
  const ImageFacts without = with_features(RBD_FEATURE_LAYERING);
  EXPECT_FALSE(refusal(without, true));
  const ImageNews gone = news(kOpened, without);
  EXPECT_TRUE(gone.unsafe);
  EXPECT_THAT(gone.warnings, ElementsAre(HasSubstr("has lost the feature exclusive-lock")));
  const ImageNews come = news_of("rbd/a", without, without, kOpened);
  EXPECT_FALSE(come.unsafe);
  EXPECT_THAT(come.warnings, ElementsAre(HasSubstr("now has the feature exclusive-lock")));
}

TEST(ImageFacts, SettingsThatCountAtOnceAreUnsafe) {
  const ImageFacts bad = with_setting("rbd_disable_zero_copy_writes", "false");
  EXPECT_TRUE(news(kOpened, bad).unsafe);
  EXPECT_THAT(
      news(kOpened, bad).warnings,
      ElementsAre("image 'rbd/a' now has rbd_disable_zero_copy_writes='false' in the "
                  "image's metadata, and cannot be served safely with it; remove it with 'rbd "
                  "config image rm'; writes get BUSY until then"));
  const ImageFacts later = with_setting("rbd_cache", "true");
  EXPECT_TRUE(refusal(later, true));
  EXPECT_FALSE(news(kOpened, later).unsafe);
  EXPECT_THAT(news(kOpened, later).warnings,
              ElementsAre(HasSubstr(
                  "which takes effect, and is refused, when the image is opened the next time")));
}

TEST(ImageFacts, DemotedAndPromoted) {
  const ImageFacts demoted = with_features(kUsual | RBD_FEATURE_NON_PRIMARY);
  const ImageNews down = news(kOpened, demoted);
  EXPECT_FALSE(down.primary);
  EXPECT_FALSE(down.unsafe);
  EXPECT_THAT(down.warnings, ElementsAre(HasSubstr("was demoted (mirroring)")));
  const ImageNews up = news(demoted, kOpened);
  EXPECT_TRUE(up.primary);
  EXPECT_THAT(up.warnings, ElementsAre(HasSubstr("was promoted (mirroring)")));
}

TEST(ImageFacts, SizeAndLimits) {
  ImageFacts now = kOpened;
  now.limits.write_iops = 100;
  now.bytes = 2 * kGiB;
  const ImageNews grown = news(kOpened, now);
  EXPECT_EQ(grown.limits.write_iops, 100u);
  EXPECT_EQ(grown.bytes, 2 * kGiB);
  EXPECT_THAT(grown.warnings, IsEmpty());
  EXPECT_THAT(news(now, kOpened).warnings, ElementsAre(HasSubstr("was shrunk from 2147483648 to")));
}

}  // namespace
}  // namespace tcmurbd::ceph
