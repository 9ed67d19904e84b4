// SPDX-License-Identifier: Apache-2.0
// The keys are those that Ceph's dashboard (services/tcmu_service.py) and ceph-iscsi
// (device_status.py) read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rbd_handler/ceph/service_entry.h"

namespace tcmurbd::ceph {
namespace {

using std::string_literals::operator""s;
using testing::ElementsAre;
using testing::Pair;

TEST(ServiceEntry, IdHasHostPoolAndImage) {
  EXPECT_EQ(service_id("gw1", {.pool = "rbd", .image = "disk"}), "gw1:rbd/disk");
  EXPECT_EQ(service_id("gw1", {.pool = "rbd", .name_space = "ns", .image = "disk"}),
            "gw1:rbd/ns/disk");
}

TEST(ServiceEntry, MetadataHasPlainNames) {
  EXPECT_THAT(
      service_metadata("gw1", {.pool = "rbd", .name_space = "ns", .image = "disk"}, "10af"),
      ElementsAre(Pair("pool_name", "rbd"), Pair("image_name", "disk"), Pair("image_id", "10af"),
                  Pair("daemon_type", "portal"), Pair("daemon_prefix", "gw1"),
                  Pair("handler", "tcmu-rbd"), Pair("namespace", "ns")));
}

TEST(ServiceEntry, StatusHasTheFourKeysThatGwcliReads) {
  EXPECT_THAT(
      service_status(
          {.lock_owner = true, .locks_lost = 1, .connections_lost = 2, .commands_timed_out = 3}),
      ElementsAre(Pair("lock_owner", "true"), Pair("lock_lost_cnt", "1"),
                  Pair("conn_lost_cnt", "2"), Pair("cmd_timed_out_cnt", "3")));
  EXPECT_EQ(service_status({})[0].second, "false");
}

TEST(ServiceEntry, EncodingEndsWithTwoZeroes) {
  EXPECT_EQ(service_encoding({{"a", "1"}, {"bc", ""}}), "a\0001\0bc\0\0\0"s);
  EXPECT_EQ(service_encoding({}), "\0"s);
}

}  // namespace
}  // namespace tcmurbd::ceph
