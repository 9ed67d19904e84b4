// SPDX-License-Identifier: Apache-2.0
// The control client and the lock channel: permissions, locations of objects, and failures of a
// channel.
#include <gmock/gmock.h>

#include <fstream>
#include <iostream>

#include "ceph_live_gateway.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::seconds;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;

// A CephX user with a ceph.conf that finds its key.
class User {
 public:
  User(const std::string& conf, const std::string& id, const std::string& caps)
      : name(id), admin_(conf), files_(testing::TempDir() + id) {
    run("auth get-or-create client." + name + " " + caps + " -o " + files_ + ".keyring");
    std::ifstream from(conf);
    std::ofstream to(files_ + ".conf");
    std::string line;
    while (std::getline(from, line))
      to << (line.starts_with("keyring") ? "keyring = " + files_ + ".keyring" : line) << '\n';
  }
  ~User() {
    run("auth rm client." + name);
    ::unlink((files_ + ".keyring").c_str());
    ::unlink((files_ + ".conf").c_str());
  }
  std::string conf() const { return files_ + ".conf"; }

  const std::string name;

 private:
  void run(const std::string& command) {
    const std::string all = "ceph -c " + admin_ + " " + command + " 2>&1";
    EXPECT_EQ(std::system(all.c_str()), 0) << all;
  }

  const std::string admin_;
  const std::string files_;
};

class Control : public LiveTest {
 protected:
  std::shared_ptr<ControlClient> control(const std::string& user = "") {
    auto got = ControlClient::get(conf_, user);
    EXPECT_TRUE(got.has_value()) << got.error();
    return got.value_or(nullptr);
  }

  std::unique_ptr<LockChannel> channel(const std::string& image_id,
                                       std::function<void(PeerRequest)> on_request,
                                       std::function<void()> on_watch_lost = {}) {
    auto opened = LockChannel::open(
        control(), {.pool = "rbd", .image = "any"}, image_id,
        {.on_request = std::move(on_request), .on_watch_lost = std::move(on_watch_lost)});
    EXPECT_TRUE(opened.has_value()) << opened.error();
    return std::move(*opened);
  }

  // Repeats the request until the answer is `wanted`; returns the seconds it took.
  double seconds_until(LockChannel& asker, const std::string& holder, Asked wanted, double limit) {
    const auto begin = steady_clock::now();
    double passed = 0;
    while (asker.ask(holder, seconds(1)) != wanted && passed < limit) passed = seconds_since(begin);
    EXPECT_LT(passed, limit);
    return passed;
  }
};

TEST_F(Control, IsSharedByWhoNamesTheSame) {
  const auto first = control();
  EXPECT_EQ(first, control());
  const std::string address = first->client().address();
  EXPECT_FALSE(ControlClient::get(conf_, "nosuch").has_value());
  EXPECT_EQ(control()->client().address(), address);
}

TEST_F(Control, BlocklistingNeedsPermission) {
  const User weak(conf_, "tcmu-rbd-weak", "mon 'allow r' osd 'profile rbd'");
  const auto client = ControlClient::get(weak.conf(), weak.name);
  ASSERT_TRUE(client.has_value()) << client.error();
  const auto done = (*client)->blocklist("10.1.2.3:0/77");
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().error, -EACCES);
  EXPECT_EQ(done.error().text,
            "client.tcmu-rbd-weak: blocklisting 10.1.2.3:0/77: permission denied; the user's caps "
            "need mon 'profile rbd', or gateways cannot be fenced");
}

TEST_F(Control, WhetherItMayBlocklistIsKnownBeforehand) {
  struct Case {
    const char* caps;
    bool may;
  };
  for (const Case& one :
       {Case{"mon 'profile rbd' osd 'profile rbd'", true}, Case{"mon 'allow *'", true},
        Case{"mon 'allow r'", false}, Case{"mon 'allow rx' osd 'allow *'", false},
        Case{R"(mon 'allow r, allow command "osd blocklist"')", true}}) {
    const User user(conf_, "tcmu-rbd-may", one.caps);
    const auto client = ControlClient::get(user.conf(), user.name);
    ASSERT_TRUE(client.has_value()) << client.error();
    const auto may = (*client)->may_blocklist();
    ASSERT_TRUE(may.has_value()) << may.error().text;
    EXPECT_EQ(*may, one.may) << one.caps;
    EXPECT_EQ((*client)->blocklist("10.1.2.3:0/77").has_value(), one.may) << one.caps;
  }
}

TEST_F(Control, ProfileRbdIsEnoughForAllOfIt) {
  const User usual(conf_, "tcmu-rbd-usual", "mon 'profile rbd' osd 'profile rbd'");
  const std::string dev_config =
      "rbd/rbd/" + make_image() + ";conf=" + usual.conf() + ";id=" + usual.name;
  const auto victim = Target::open(dev_config);
  const auto next = Target::open_unlocked(dev_config);
  ASSERT_TRUE(victim && next);
  const auto client = ControlClient::get(usual.conf(), usual.name);
  ASSERT_TRUE(client.has_value()) << client.error();
  const auto opened = LockChannel::open(*client, *parse_dev_config(dev_config),
                                        next->image->info().id, {.on_request = [](PeerRequest) {}});
  ASSERT_TRUE(opened.has_value()) << opened.error();
  const auto guard = FenceGuard::of(*client);
  const auto ledger = guard->open_ledger(*parse_dev_config(dev_config), next->image->info().id,
                                         std::make_shared<Log>());
  ASSERT_TRUE(ledger.has_value()) << ledger.error();
  const auto taken = acquire_lock(*next->image, **opened, **client, **ledger, {});
  ASSERT_TRUE(taken.has_value()) << taken.error().text;
  EXPECT_EQ(taken->how, Acquired::kBroken);
  EXPECT_EQ(next->write(0, Bytes(4096, 1)), 0);
  EXPECT_THAT((*client)->blocklisted().value(), testing::Contains(victim->image->address()));
  EXPECT_THAT((*client)->locate({.pool = "rbd", .object = "x"}).value().acting,
              Not(testing::IsEmpty()));
}

TEST_F(Control, TellsWhereAnObjectLies) {
  const ObjectPlace place{.pool = "rbd", .object = "rbd_data.1.0000000000000000"};
  const auto where = control()->locate(place);
  ASSERT_TRUE(where.has_value()) << where.error();
  std::cout << describe(*where) << std::endl;
  EXPECT_THAT(describe(*where), ContainsRegex("^pg [0-9]+\\.[0-9a-f]+, acting osd\\.[0-9]+"));
  EXPECT_NE(control()->locate({place.pool, "space", place.object}), *where);
  EXPECT_THAT(control()->locate({.pool = "nosuch", .object = "x"}).error(),
              StartsWith("object x of pool 'nosuch': "));
}

TEST_F(Control, AChannelWhoseObjectIsRemovedWatchesAgain) {
  std::atomic<int> requests = 0;
  std::atomic<int> lost = 0;
  LockChannel* owner = nullptr;
  const auto owns = channel(
      "gone",
      [&](PeerRequest request) {
        ++requests;
        owner->answer(request, lock::PeerAnswer::kReleased);
      },
      [&] { ++lost; });
  owner = owns.get();
  owns->serve_as("1.2.3.4:0/5");
  const auto asks = channel("gone", [](PeerRequest) { ADD_FAILURE() << "not the owner"; });
  EXPECT_EQ(asks->ask("1.2.3.4:0/5", seconds(1)), Asked::kReleased);
  EXPECT_EQ(asks->ask("1.2.3.4:0/6", seconds(1)), Asked::kNobody);
  EXPECT_EQ(requests, 1);
  EXPECT_EQ(owns->own_watch(), OwnWatch::kThere);
  EXPECT_EQ(lost, 0);
  ASSERT_EQ(rados_remove(pool_, "tcmu-rbd.lock.gone"), 0);
  std::cout << "watches again after s: "
            << seconds_until(*asks, "1.2.3.4:0/5", Asked::kReleased, 10) << std::endl;
  EXPECT_EQ(owns->own_watch(), OwnWatch::kThere);
  EXPECT_EQ(lost, 1) << "the watch was lost, whatever came of it";
  asks->serve_as("1.2.3.4:0/7");
  EXPECT_EQ(asks->ask("1.2.3.4:0/7", seconds(1)), Asked::kNobody) << "asked itself";
}

TEST_F(Control, AChannelSurvivesAHungOsd) {
  LockChannel* owner = nullptr;
  auto owns = channel("hung", [&](PeerRequest request) {
    owner->answer(request, lock::PeerAnswer::kHoldsDetached);
  });
  owner = owns.get();
  owns->serve_as("1.2.3.4:0/5");
  auto asks = channel("hung", [](PeerRequest) {});
  {
    const Frozen osd(pid_from("TCMU_RBD_TEST_OSD_PID"));
    const auto begin = steady_clock::now();
    EXPECT_EQ(asks->ask("1.2.3.4:0/5", seconds(1)), Asked::kNoAnswer);
    EXPECT_LT(seconds_since(begin), 2);
    EXPECT_EQ(asks->own_watch(), OwnWatch::kUnknown) << "says nothing about us";
    EXPECT_LT(seconds_since(begin), 4);
    // Two laps of the control client's watch pings. Not longer than a placement group's read lease
    // (16 s): with one OSD, ops that came while it was over may never be served again.
    std::this_thread::sleep_for(seconds(10));
  }
  std::cout << "answers again after s: "
            << seconds_until(*asks, "1.2.3.4:0/5", Asked::kHoldsDetached, 15) << std::endl;
  const Frozen osd(pid_from("TCMU_RBD_TEST_OSD_PID"));
  const auto begin = steady_clock::now();
  asks.reset();
  std::cout << "closed with a hung OSD, s: " << seconds_since(begin) << std::endl;
  EXPECT_LT(seconds_since(begin), 25);
}

TEST_F(Control, WithoutMonitorsNobodyIsFenced) {
  const std::string name = make_image();
  const auto target = Target::open(dev_config(name));
  const auto client = control();
  std::thread waiter;
  std::atomic<bool> newest = false;
  {
    const Frozen monitor(pid_from("TCMU_RBD_TEST_MON_PID"));
    waiter = std::thread([&] {
      const auto begin = steady_clock::now();
      EXPECT_TRUE(target->image->wait_for_latest_map().has_value());
      std::cout << "waited for a map, s: " << seconds_since(begin) << std::endl;
      newest = true;
    });
    auto begin = steady_clock::now();
    const auto done = client->blocklist("10.1.2.3:0/78");
    ASSERT_FALSE(done.has_value());
    std::cout << "gave up after s: " << seconds_since(begin) << std::endl;
    EXPECT_EQ(done.error().error, -ETIMEDOUT);
    EXPECT_THAT(done.error().text,
                HasSubstr("the monitors did not answer in time; they seem to have no quorum"));
    EXPECT_THAT(client->locate({.pool = "rbd", .object = "x"}).error(),
                HasSubstr("no answer in time"));
    EXPECT_FALSE(newest);
  }
  waiter.join();
  const auto done = client->blocklist("10.1.2.3:0/78");
  EXPECT_TRUE(done.has_value()) << done.error().text;
}

}  // namespace
}  // namespace tcmurbd::ceph
