// SPDX-License-Identifier: Apache-2.0
// Requests of tcmu-rbdctl, from the line to the JSON document, over LUNs between fakes.
#include "rbd_handler/daemon/control_requests.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/unit/lun_fixture.h"

namespace tcmurbd {
namespace {

using nlohmann::json;
using testing::CephStep;
using ::testing::HasSubstr;

class RequestsTest : public testing::LunFixture {
 protected:
  void serve_two() {
    serve("disk1");
    serve("disk2");
    map_ = {{0, luns_.at("disk1")}, {1, luns_.at("disk2")}};
  }
  json ask(const std::string& request) {
    std::optional<std::string> answer;
    ControlRequests(map_, [](const ControlRequests::Reply& metrics) {
      metrics("# EOF\n");
    }).answer(request, [&](std::string text) {
      EXPECT_FALSE(answer.has_value()) << "answered twice";
      answer = std::move(text);
    });
    until([&] { return answer.has_value(); });
    return json::parse(answer.value_or("null"));
  }
  std::string error(const std::string& request) { return ask(request).value("error", "none"); }

  ControlRequests::Luns map_;
};

TEST_F(RequestsTest, OneThatIsNotKnown) {
  EXPECT_EQ(
      error("dance"),
      "unknown request; known: status, metrics, ops, slow, trace, explain, fences, release-lock");
  EXPECT_THAT(error(""), HasSubstr("unknown request"));
  EXPECT_THAT(error(" ops"), HasSubstr("unknown request"));
}

TEST_F(RequestsTest, NoLunsAtAll) {
  for (const char* request : {"status", "ops", "slow", "fences"})
    EXPECT_EQ(ask(request).at("devices"), json::array()) << request;
}

TEST_F(RequestsTest, AllLunsInTheirOrder) {
  serve_two();
  for (const char* request : {"status", "ops", "slow", "fences"}) {
    const json devices = ask(request).at("devices");
    ASSERT_EQ(devices.size(), 2U) << request;
    EXPECT_EQ(devices[0].at("name"), "user_0/disk1") << request;
    EXPECT_EQ(devices[1].at("name"), "user_0/disk2") << request;
  }
}

TEST_F(RequestsTest, EachNameOfALun) {
  serve_two();
  for (const char* name : {"user_0/disk2", "disk2", "pool/disk2"}) {
    const json devices = ask(std::string("ops ") + name).at("devices");
    ASSERT_EQ(devices.size(), 1U) << name;
    EXPECT_EQ(devices[0].at("name"), "user_0/disk2");
  }
  EXPECT_EQ(error("ops disk3"), "no LUN 'disk3' is served here");
  EXPECT_EQ(error("explain disk3"), "no LUN 'disk3' is served here");
  EXPECT_EQ(error("explain"), "the name of a LUN is missing");
  EXPECT_EQ(error("release-lock"), "the name of a LUN is missing");
}

TEST_F(RequestsTest, ANameOfTwoLuns) {
  serve_two();
  map_[2] = luns_.at("disk1");
  EXPECT_EQ(error("explain disk1"), "'disk1' means 2 LUNs: name it as HBA/DEVICE");
}

TEST_F(RequestsTest, StatusHasTheLoad) {
  serve_two();
  device().write(9);
  until([&] { return !ceph_->served("disk1")->pending.empty(); });
  const json shown = ask("status").at("devices").at(0);
  EXPECT_EQ(shown.at("in_flight"), 1);
  EXPECT_EQ(shown.at("hung"), 0);
  EXPECT_GE(shown.at("oldest"), 0.0);
  EXPECT_EQ(shown.at("full"), false);
  EXPECT_EQ(shown.at("primary"), true);
  EXPECT_EQ(shown.at("lock"), "owned");
  EXPECT_EQ(shown.at("counters").at("writes"), 1);
  EXPECT_EQ(ask("status").at("devices").at(1).at("oldest"), nullptr);
}

TEST_F(RequestsTest, ExplainAndOpsNameTheCommand) {
  serve_two();
  device().write(9);
  until([&] { return !ceph_->served("disk1")->pending.empty(); });
  EXPECT_THAT(ask("explain disk1").at("text").get<std::string>(), HasSubstr("1 in librbd"));
  EXPECT_EQ(ask("ops disk1").at("devices").at(0).at("ops").at(0).at("stage"), "in-librbd");
  EXPECT_THAT(ask("explain disk2").at("text").get<std::string>(), HasSubstr("is idle"));
}

TEST_F(RequestsTest, ALunThatOpens) {
  ceph_->hang(CephStep::kOpenImage);
  open();
  map_ = {{0, luns_.at("disk1")}};
  EXPECT_THAT(ask("explain disk1").at("text").get<std::string>(), HasSubstr("not served yet"));
  EXPECT_EQ(ask("ops").at("devices").at(0).at("state"), "opening");
  EXPECT_EQ(ask("slow").at("devices").at(0).at("Ops"), json::array());
  EXPECT_EQ(error("release-lock disk1"), "user_0/disk1 does not serve its image now");
}

// All at once would keep the control thread for seconds, and its absence quarantines changes.
// Of this thread: others on the machine do not matter.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST_F(RequestsTest, TheTracesOfAllLunsTakeManyShortTurns) {
  constexpr uint32_t kLuns = 8;
  constexpr uint32_t kCommands = 150;
  for (uint32_t lun = 0; lun < kLuns; ++lun) {
    const std::string name = "disk" + std::to_string(lun);
    map_[lun] = (serve(name), luns_.at(name));
    for (uint32_t i = 0; i < kCommands; ++i) {
      const uint64_t tag = device(name).read(1);
      until([&] { return finish_all() && device(name).kernel().take_result(tag).has_value(); });
    }
  }
  double share = 1;  // Of the longest turn, the best of some.
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::optional<std::string> answer;
    ControlRequests(map_, {}).answer("trace", [&](std::string text) { answer = std::move(text); });
    double all = 0;
    double longest = 0;
    while (!answer) {
      const double begin = cpu_seconds();
      loop_.run_one();
      const double turn = cpu_seconds() - begin;
      all += turn;
      longest = std::max(longest, turn);
    }
    EXPECT_EQ(json::parse(*answer).at("devices").size(), kLuns);
    EXPECT_GE(json::parse(*answer).at("devices").at(7).at("stories").size(), kCommands);
    share = std::min(share, longest / all);
  }
  EXPECT_LT(share, 0.3);
}

TEST_F(RequestsTest, ReleasesTheLock) {
  serve_two();
  EXPECT_EQ(ask("release-lock disk1").at("outcome"), "not-owner");
  serves_a_write();
  EXPECT_EQ(ask("release-lock disk1").at("outcome"), "released");
}

}  // namespace
}  // namespace tcmurbd
