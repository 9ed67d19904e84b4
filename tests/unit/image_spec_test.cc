// SPDX-License-Identifier: Apache-2.0
#include "config/image_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace tcmurbd {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

ImageSpec parsed(std::string_view text) {
  auto spec = parse_dev_config(text);
  EXPECT_TRUE(spec.has_value()) << spec.error();
  return spec.value_or(ImageSpec{});
}

std::string refusal(std::string_view text) {
  const auto spec = parse_dev_config(text);
  EXPECT_FALSE(spec.has_value()) << "accepted: " << text;
  return spec.has_value() ? "" : spec.error();
}

TEST(ImageSpec, PoolAndImage) {
  const ImageSpec expected{.pool = "rbd", .image = "disk_1"};
  for (const auto* text : {"rbd/rbd/disk_1", "rbd/rbd/disk_1\n", "rbd/rbd/disk_1\r\n",
                           "rbd/rbd/disk_1\n\n", "rbd/rbd/disk_1;", "rbd/rbd/disk_1;;\n"})
    EXPECT_EQ(parsed(text), expected) << text;
  EXPECT_EQ(parsed("pool/disk").pool, "pool");
  EXPECT_EQ(parsed("rbd/pool/disk"), parsed("pool/disk"));
}

TEST(ImageSpec, NamespaceAndSnapshot) {
  const ImageSpec spec = parsed("rbd/pool/space/disk@monday");
  EXPECT_EQ(spec.pool, "pool");
  EXPECT_EQ(spec.name_space, "space");
  EXPECT_EQ(spec.image, "disk");
  EXPECT_EQ(spec.snapshot, "monday");
  EXPECT_EQ(spec.to_string(), "pool/space/disk@monday");
  EXPECT_EQ(parsed("rbd/p/i").to_string(), "p/i");
  EXPECT_EQ(parsed("rbd/rbd/rbd/rbd").to_string(), "rbd/rbd/rbd");
}

TEST(ImageSpec, OddNamesArePassedOn) {
  EXPECT_EQ(parsed("rbd/p:1/vm disk:2=x").image, "vm disk:2=x");
  EXPECT_EQ(parsed("rbd/p/\xc3\xa4").image, "\xc3\xa4");
}

TEST(ImageSpec, OptionsInAnyOrder) {
  const ImageSpec spec =
      parsed("rbd/pool/disk;id=iscsi;tcmur_cmd_time_out=7;conf=/etc/ceph/b.conf;osd_op_timeout=30");
  EXPECT_EQ(spec.command_deadline, seconds(30));
  EXPECT_EQ(spec.conf_path, "/etc/ceph/b.conf");
  EXPECT_EQ(spec.user, "iscsi");
  EXPECT_EQ(spec.image, "disk");
}

TEST(ImageSpec, DeadlineRange) {
  EXPECT_EQ(parsed("rbd/p/i").command_deadline, std::nullopt);
  EXPECT_EQ(parsed("rbd/p/i;osd_op_timeout=0").command_deadline, seconds(0));
  EXPECT_EQ(parsed("rbd/p/i;osd_op_timeout=600").command_deadline, seconds(600));
  for (const auto* bad : {"601", "-1", "", "3s", "4294967297", "1.5", " 3", "0x3"})
    EXPECT_THAT(refusal(std::string("rbd/p/i;osd_op_timeout=") + bad),
                HasSubstr("expected whole seconds from 0 to 600"))
        << bad;
}

TEST(ImageSpec, OptionsAreRefusedByName) {
  EXPECT_EQ(refusal("rbd/p/i;osd_timeout=3"),
            "unknown option 'osd_timeout'; known: osd_op_timeout, conf, id");
  EXPECT_THAT(refusal("rbd/p/i;rbd_cache"), HasSubstr("option 'rbd_cache' has no '='"));
  EXPECT_THAT(refusal("rbd/p/i;=3"), HasSubstr("unknown option ''"));
  EXPECT_EQ(refusal("rbd/p/i;id=a;id=a"), "option 'id' appears twice");
  EXPECT_THAT(refusal("rbd/p/i;conf=ceph.conf"), HasSubstr("conf='ceph.conf'"));
  EXPECT_THAT(refusal("rbd/p/i;conf="), HasSubstr("absolute path"));
  EXPECT_THAT(refusal("rbd/p/i;id="), HasSubstr("id=''"));
  EXPECT_THAT(refusal("rbd/p/i;id=client.iscsi"), HasSubstr("without 'client.'"));
}

TEST(ImageSpec, ValuesKeepTheirEqualSigns) {
  EXPECT_EQ(parsed("rbd/p/i;conf=/etc/a=b.conf").conf_path, "/etc/a=b.conf");
}

TEST(ImageSpec, MissingAndEmptyParts) {
  for (const auto* bad :
       {"", "\n", "rbd/", "rbd", "rbd/p", "rbd/p/", "rbd//i", "rbd/p//i", "rbd/p/i@", "rbd/p/@s",
        "rbd/p/i@s@t", "rbd/p/i@s/t", "rbd/p/n/i/x", "rbd/@", ";", ";osd_op_timeout=3", "/p/i"})
    EXPECT_THAT(refusal(bad), HasSubstr("rbd/POOL[/NAMESPACE]/IMAGE[@SNAP]")) << bad;
}

TEST(ImageSpec, ControlCharactersAreEscaped) {
  EXPECT_EQ(refusal("rbd/p/i\x1b[2J"), R"(a control character in 'rbd/p/i\x1b[2J')");
  EXPECT_EQ(refusal("rbd/p/i\nj"), R"(a control character in 'rbd/p/i\x0aj')");
  EXPECT_EQ(refusal(std::string_view("rbd/p/i\0", 8)), R"(a control character in 'rbd/p/i\x00')");
}

TEST(ImageSpec, RubbishOf255BytesGivesAShortPrintableMessage) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::string_view kAlphabet = "rbd/@;=/;osd_op_timeout=conf=id=09a:\n\xff";
  for (int round = 0; round < 20000; ++round) {
    std::string text = round % 3 == 0 ? "rbd/p/i;" : "";
    const size_t length = round % 2 == 0 ? 255 : random() % 256;
    while (text.size() < length)
      text += round % 5 == 0 ? static_cast<char>(random()) : kAlphabet[random() % kAlphabet.size()];
    const auto spec = parse_dev_config(text);
    if (spec) {
      EXPECT_FALSE(spec->pool.empty() || spec->image.empty());
      continue;
    }
    EXPECT_LT(spec.error().size(), 400U);
    for (const char c : spec.error()) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << text;
  }
}

}  // namespace
}  // namespace tcmurbd
