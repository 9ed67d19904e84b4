// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rbd_handler/ceph/object_place.h"

namespace tcmurbd::ceph {
namespace {

TEST(LocationRequest, NamesPoolNamespaceAndObject) {
  const auto request =
      nlohmann::json::parse(location_request("p\"ool", "n\u00e4", "rbd_data.1").value());
  EXPECT_EQ(request.at("prefix"), "osd map");
  EXPECT_EQ(request.at("pool"), "p\"ool");
  EXPECT_EQ(request.at("nspace"), "n\u00e4");
  EXPECT_EQ(request.at("object"), "rbd_data.1");
}

// A dev_config takes any bytes.
TEST(LocationRequest, ANameThatIsNotUtf8CannotBeAskedFor) {
  EXPECT_EQ(location_request("pool\xff", "", "o"), std::nullopt);
  EXPECT_EQ(location_request("pool", "\xc3", "o"), std::nullopt);
  EXPECT_EQ(location_request("pool", "", "o\xed\xa0\x80"), std::nullopt);
}

}  // namespace
}  // namespace tcmurbd::ceph
