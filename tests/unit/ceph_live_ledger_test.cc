// SPDX-License-Identifier: Apache-2.0
// The ledger of fenced instances, and the guard that keeps them on the blocklist.
#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <iostream>

#include "ceph_live_gateway.h"
#include "rbd_handler/ceph/map_watch.h"

namespace tcmurbd::ceph {
namespace {

using std::chrono::seconds;
using testing::Contains;
using testing::Not;

class Ledger : public LiveTest {
 protected:
  std::unique_ptr<Gateway> gateway(const std::string& image) {
    std::string conf = conf_;
    for (int i = 0; i < gateways_; ++i) conf.insert(conf.rfind('/'), "/.");
    ++gateways_;
    return std::make_unique<Gateway>(conf, image, Gateway::Manner::kReleases);
  }

  // Not of an instance; different for each test.
  static std::string new_address() {
    static int nonce = 4711;
    return "10.1.2.3:0/" + std::to_string(nonce++);
  }
  const std::string fenced_ = new_address();

  // Returns the seconds until it is true.
  static double seconds_until(const std::function<bool()>& so, double limit = 10) {
    const auto begin = steady_clock::now();
    while (!so() && seconds_since(begin) < limit)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(so());
    return seconds_since(begin);
  }

  void remove_entry(const std::string& address) {
    const std::string command = "ceph -c " + conf_ + " osd blocklist rm " + address + " 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0);
  }

  // How often a client has read the blocklist, of its last commands.
  size_t reads_of(const std::string& client) {
    const std::string command = "ceph -c " + conf_ + " log last 1000 debug audit | grep '" +
                                client + "' | grep -c 'osd blocklist ls'";
    FILE* pipe = ::popen(command.c_str(), "r");
    size_t count = 0;
    EXPECT_EQ(std::fscanf(pipe, "%zu", &count), 1);
    ::pclose(pipe);
    return count;
  }

  static bool listed(Gateway& gateway, const std::string& address) {
    return gateway.control->blocklisted().value().contains(address);
  }

 private:
  int gateways_ = 0;
};

TEST_F(Ledger, OthersHearOfAFenceAndOfItsEnd) {
  const std::string image = make_image();
  const auto a = gateway(image);
  const auto b = gateway(image);
  EXPECT_TRUE(a->ledger->empty());
  ASSERT_TRUE(a->control->blocklist(fenced_).has_value());
  a->ledger->add(fenced_, FenceReason::kHungOps);
  EXPECT_TRUE(a->ledger->contains(fenced_)) << "at once";
  std::cout << "heard after s: " << seconds_until([&] { return b->ledger->contains(fenced_); })
            << std::endl;
  const auto c = gateway(image);  // Comes later, and reads it.
  seconds_until([&] { return c->ledger->contains(fenced_); });
  a->ledger->remove(fenced_);
  EXPECT_FALSE(a->ledger->contains(fenced_));
  seconds_until([&] { return b->ledger->empty() && c->ledger->empty(); });
}

TEST_F(Ledger, AnEntryThatSomebodyRemovesIsPutBack) {
  const std::string image = make_image();
  auto a = gateway(image);
  const auto b = gateway(image);
  ASSERT_TRUE(a->control->blocklist(fenced_).has_value());
  a->ledger->add(fenced_, FenceReason::kHungOps);
  seconds_until([&] { return b->ledger->contains(fenced_); });
  for (const char* who : {"two gateways", "one gateway"}) {
    remove_entry(fenced_);
    std::cout << who
              << ", put back after s: " << seconds_until([&] { return listed(*b, fenced_); }, 5)
              << std::endl;
    a.reset();  // The fencing gateway is gone; the other one maintains it.
  }
  b->ledger->remove(fenced_);
}

TEST_F(Ledger, TheLatestMapIsKnownWithoutACommand) {
  const auto a = gateway(make_image());
  MapWatch map(a->control);
  const auto before = map.latest(seconds(2));
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(map.latest(seconds(2)), before);
  ASSERT_TRUE(a->control->blocklist(fenced_).has_value());
  const auto after = map.latest(seconds(2));
  EXPECT_GT(after, before);
  remove_entry(fenced_);
  EXPECT_GT(map.latest(seconds(2)), after);
}

// librados waits for them without a bound.
TEST_F(Ledger, WithoutAQuorumNobodyWaitsForTheMap) {
  const auto a = gateway(make_image());
  auto map = std::make_unique<MapWatch>(a->control);
  ASSERT_TRUE(map->latest(seconds(2)).has_value());
  {
    const Frozen monitor(pid_from("TCMU_RBD_TEST_MON_PID"));
    const auto begin = steady_clock::now();
    EXPECT_FALSE(map->latest(seconds(1)).has_value());
    map.reset();
    const double ended = seconds_since(begin);
    std::cout << "asked in vain and closed, s: " << ended << std::endl;
    EXPECT_LT(ended, 10);
  }
  EXPECT_TRUE(MapWatch(a->control).latest(seconds(10)).has_value());
}

// Each read makes the monitors commit their log, and a fence waits for that.
TEST_F(Ledger, WhileTheMapIsTheSameTheMonitorsAreNotAsked) {
  const auto a = gateway(make_image());
  const std::string& client = a->control->client().address();
  ASSERT_TRUE(a->control->blocklist(fenced_).has_value());
  a->ledger->add(fenced_, FenceReason::kHungOps);
  seconds_until([&] { return reads_of(client) != 0; });
  const size_t reads = reads_of(client);
  std::this_thread::sleep_for(seconds(3));  // It looks three times.
  EXPECT_LE(reads_of(client), reads + 1) << "other clients may change the map";
  remove_entry(fenced_);
  seconds_until([&] { return listed(*a, fenced_); });
}

// `ceph osd blocklist clear` removes those of many LUNs. The monitors commit once a second.
TEST_F(Ledger, ManyEntriesAreRestoredTogether) {
  constexpr size_t kMany = 40;
  const auto a = gateway(make_image());
  std::vector<std::string> fenced;
  while (fenced.size() < kMany) fenced.push_back(new_address());
  // The guard adds the entries: they were never there.
  for (const std::string& address : fenced) a->ledger->add(address, FenceReason::kHungOps);
  const auto all_listed = [&] {
    const auto blocklist = a->control->blocklisted().value();
    return std::ranges::all_of(fenced, [&](const auto& each) { return blocklist.contains(each); });
  };
  std::cout << "added after s: " << seconds_until(all_listed, 10) << std::endl;
  for (const std::string& address : fenced) a->ledger->remove(address);
}

TEST_F(Ledger, AnAcquireThatBreaksAPeerLooksAfterItsEntry) {
  const std::string image = make_image();
  const auto a = gateway(image);
  const auto b = gateway(image);
  const auto c = gateway(image);
  ASSERT_TRUE(a->acquire().has_value());
  const std::string broken = a->target->image->address();
  a->channel.reset();
  ASSERT_TRUE(b->acquire().has_value());
  EXPECT_TRUE(b->ledger->contains(broken));
  seconds_until([&] { return c->ledger->contains(broken); });
  // Its lock would be broken without a request, and its entry restored.
  remove_entry(broken);
  seconds_until([&] { return listed(*b, broken); }, 5);
}

TEST_F(Ledger, RubbishInTheObjectIsRemovedAndHarmsNobody) {
  const std::string image = make_image();
  const auto a = gateway(image);
  const std::string object = "tcmu-rbd.lock." + a->target->image->info().id;
  const std::string old = "10.1.2.3:0/1";
  const char* keys[] = {"no address", old.c_str(), fenced_.c_str(), "10.1.2.3:0/2"};
  const char* values[] = {"1 99999999999", "1 1700000000", "1 99999999999", "rubbish"};
  const size_t lengths[] = {13, 12, 13, 7};
  rados_write_op_t op = rados_create_write_op();
  rados_write_op_omap_set(op, keys, values, lengths, 4);
  ASSERT_EQ(rados_write_op_operate(op, pool_, object.c_str(), nullptr, 0), 0);
  rados_release_write_op(op);
  a->ledger->refresh();
  seconds_until([&] { return a->ledger->contains(fenced_); });
  EXPECT_FALSE(a->ledger->contains(old));
  // It was never blocklisted: now it is.
  seconds_until([&] { return listed(*a, fenced_); }, 5);
  const auto count = [&] {
    rados_omap_iter_t iterator = nullptr;
    unsigned char more = 0;
    int result = 0;
    rados_read_op_t read = rados_create_read_op();
    rados_read_op_omap_get_vals2(read, "", "", 100, &iterator, &more, &result);
    EXPECT_EQ(rados_read_op_operate(read, pool_, object.c_str(), 0), 0);
    const unsigned int size = rados_omap_iter_size(iterator);
    rados_omap_get_end(iterator);
    rados_release_read_op(read);
    return size;
  };
  seconds_until([&] { return count() == 1; });
  a->ledger->remove(fenced_);
  seconds_until([&] { return count() == 0; });
}

TEST_F(Ledger, AHungOsdKeepsNobodyWaiting) {
  const std::string image = make_image();
  auto a = gateway(image);
  seconds_until([&] { return a->ledger->empty(); });
  const Frozen osd(pid_from("TCMU_RBD_TEST_OSD_PID"));
  const auto begin = steady_clock::now();
  a->ledger->add(fenced_, FenceReason::kHungOps);
  a->ledger->refresh();
  EXPECT_TRUE(a->ledger->contains(fenced_));
  EXPECT_LT(seconds_since(begin), 0.1);
  EXPECT_LT(seconds_until([&] { return listed(*a, fenced_); }, 5), 5) << "the guard needs no OSD";
}

}  // namespace
}  // namespace tcmurbd::ceph
