// SPDX-License-Identifier: Apache-2.0
// The exclusive lock between gateways: healthy, stuck, frozen and foreign ones.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>

#include "ceph_live_gateway.h"

namespace tcmurbd::ceph {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using Manner = Gateway::Manner;

double ms_since(steady_clock::time_point begin) { return seconds_since(begin) * 1000; }

class Lock : public LiveTest {
 protected:
  std::unique_ptr<Gateway> gateway(const std::string& image, Manner manner = Manner::kReleases) {
    // Another name for the same file.
    std::string conf = conf_;
    for (int i = 0; i < gateways_; ++i) conf.insert(conf.rfind('/'), "/.");
    ++gateways_;
    return std::make_unique<Gateway>(conf, image, manner);
  }

  // Acquires and says how, in how many ms.
  Acquired acquired(Gateway& gateway, const std::string& what,
                    std::span<const std::string> fenced = {}) {
    const auto begin = steady_clock::now();
    auto taken = gateway.acquire(fenced);
    const double ms = ms_since(begin);
    EXPECT_TRUE(taken.has_value()) << taken.error().text;
    if (!taken) return Acquired::kFree;
    std::cout << what << ": " << ms << " ms; " << taken->detail << std::endl;
    detail_ = taken->detail;
    return taken->how;
  }

  bool blocklisted(const std::string& address) {
    const std::string command = "ceph -c " + conf_ + " osd blocklist ls 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string all;
    char chunk[4096];
    while (const size_t got = std::fread(chunk, 1, sizeof chunk, pipe)) all.append(chunk, got);
    EXPECT_EQ(::pclose(pipe), 0) << all;
    return all.find(address) != all.npos;
  }

  std::string detail_;

 private:
  int gateways_ = 0;
};

TEST_F(Lock, AnOpWithoutTheLockFailsAtOnceOnAFreshHandle) {
  const auto a = gateway(make_image());
  const auto begin = steady_clock::now();
  EXPECT_EQ(a->write(1), -EROFS);
  std::cout << "write without the lock: " << ms_since(begin) << " ms" << std::endl;
  EXPECT_EQ(a->target->zero(0, 4096), -EROFS);
  EXPECT_EQ(a->target->write_same({0, 4096}, Bytes(512, 1)), -EROFS);
  Bytes back(4096, 9);
  EXPECT_EQ(a->target->read(0, back), 0);
  EXPECT_EQ(back, Bytes(4096));
  EXPECT_EQ(a->channel->holder(), std::nullopt);
}

TEST_F(Lock, AcquiredReleasedAcquired) {
  const auto a = gateway(make_image());
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  EXPECT_EQ(a->write(1), 0);
  EXPECT_EQ(a->channel->holder().value().value().address, a->target->image->address());
  EXPECT_EQ(acquired(*a, "acquire, owned"), Acquired::kFree);
  const auto begin = steady_clock::now();
  ASSERT_TRUE(a->target->image->release_lock().has_value());
  std::cout << "release: " << ms_since(begin) << " ms" << std::endl;
  EXPECT_EQ(a->channel->holder(), std::nullopt);
  EXPECT_EQ(a->write(2), -EROFS);
  EXPECT_TRUE(a->target->image->release_lock().has_value()) << "nothing to release";
  EXPECT_EQ(acquired(*a, "acquire again"), Acquired::kFree);
  EXPECT_EQ(a->write(3), 0);
}

TEST_F(Lock, HandedOverBetweenHealthyGateways) {
  const std::string image = make_image();
  const auto a = gateway(image);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  EXPECT_EQ(a->write(1), 0);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(acquired(*b, "handed over"), Acquired::kHandedOver);
    EXPECT_THAT(detail_, HasSubstr(a->target->image->address()));
    EXPECT_EQ(b->write(2), 0);
    EXPECT_EQ(a->write(3), -EROFS);
    EXPECT_EQ(acquired(*a, "handed back"), Acquired::kHandedOver);
    EXPECT_EQ(a->write(4), 0);
    EXPECT_EQ(b->write(5), -EROFS);
  }
  EXPECT_EQ(a->asked(), 5U);
  EXPECT_EQ(b->asked(), 5U);
  EXPECT_FALSE(blocklisted(a->target->image->address()));
  EXPECT_FALSE(blocklisted(b->target->image->address()));
}

TEST_F(Lock, OneThatHoldsDetachedWritesIsBrokenWithoutWaiting) {
  const std::string image = make_image();
  const auto a = gateway(image, Manner::kHoldsDetached);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  EXPECT_EQ(acquired(*b, "holds detached writes"), Acquired::kBroken);
  EXPECT_EQ(b->write(2), 0);
  EXPECT_THAT(a->write(1), AnyOf(-ESHUTDOWN, -EROFS));
  EXPECT_TRUE(blocklisted(a->target->image->address()));
}

TEST_F(Lock, OneThatMustWaitKeepsIt) {
  const std::string image = make_image();
  const auto a = gateway(image, Manner::kMustWait);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  const auto refused = b->acquire();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().error, kHolderWaits) << refused.error().text;
  EXPECT_EQ(a->write(1), 0);
  EXPECT_FALSE(blocklisted(a->target->image->address()));
}

// A gateway of an older release, as the channel sees it: it watches, and only acknowledges.
class OlderPeer {
 public:
  OlderPeer(rados_ioctx_t pool, const std::string& image_id)
      : pool_(pool), object_("tcmu-rbd.lock." + image_id) {
    EXPECT_EQ(rados_watch2(pool_, object_.c_str(), &cookie_, &OlderPeer::on_notify, nullptr, this),
              0);
  }
  ~OlderPeer() { rados_unwatch2(pool_, cookie_); }

 private:
  static void on_notify(void* self, uint64_t notify_id, uint64_t cookie, uint64_t, void* data,
                        size_t length) {
    const auto* peer = static_cast<OlderPeer*>(self);
    const bool asked = std::string_view(static_cast<char*>(data), length).ends_with(":0/5");
    rados_notify_ack(peer->pool_, peer->object_.c_str(), notify_id, cookie, asked ? "d" : "n", 1);
  }

  const rados_ioctx_t pool_;
  const std::string object_;
  uint64_t cookie_ = 0;
};

TEST_F(Lock, AnOlderPeerThatOnlyAcknowledgesIsUnderstood) {
  const auto a = gateway(make_image());
  const OlderPeer older(pool_, a->target->image->info().id);
  EXPECT_EQ(a->channel->ask("1.2.3.4:0/5", std::chrono::seconds(1)), Asked::kHoldsDetached);
  EXPECT_EQ(a->channel->ask("1.2.3.4:0/6", std::chrono::seconds(1)), Asked::kNobody);
}

TEST_F(Lock, OneThatDoesNotAnswerIsBroken) {
  const std::string image = make_image();
  const auto a = gateway(image, Manner::kSilent);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  EXPECT_EQ(acquired(*b, "no answer"), Acquired::kBroken);
  EXPECT_THAT(detail_, HasSubstr("the owner did not answer"));
  EXPECT_EQ(b->write(2), 0);
  EXPECT_THAT(a->write(1), AnyOf(-ESHUTDOWN, -EROFS));
  // The previous owner detects it at its next acquire as well, and does not disturb others.
  const auto again = a->acquire();
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().error, -ESHUTDOWN) << again.error().text;
  EXPECT_EQ(b->write(3), 0);
}

TEST_F(Lock, OneThatTookItAgainMeanwhileIsHealthy) {
  const std::string image = make_image();
  const auto a = gateway(image, Manner::kTakesAgain);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  EXPECT_EQ(acquired(*b, "taken again, then handed over"), Acquired::kHandedOver);
  EXPECT_EQ(a->asked(), 2U);
  EXPECT_FALSE(blocklisted(a->target->image->address()));
}

TEST_F(Lock, OneThatWasFencedIsBrokenWithoutAsking) {
  const std::string image = make_image();
  const auto a = gateway(image, Manner::kSilent);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  const std::string fenced[] = {a->target->image->address()};
  ASSERT_TRUE(b->control->blocklist(fenced[0]).has_value());
  EXPECT_EQ(acquired(*b, "fenced before", fenced), Acquired::kBroken);
  EXPECT_THAT(detail_, testing::EndsWith("the owner was fenced"));
  EXPECT_EQ(a->asked(), 0U);
  EXPECT_EQ(b->write(2), 0);
}

TEST_F(Lock, AFenceThatSomebodyRemovedIsPutBackBeforeTheLockIsBroken) {
  const std::string image = make_image();
  const auto a = gateway(image, Manner::kSilent);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*a, "acquire, free"), Acquired::kFree);
  const std::string fenced[] = {a->target->image->address()};
  EXPECT_EQ(acquired(*b, "entry removed", fenced), Acquired::kBroken);
  EXPECT_THAT(detail_, HasSubstr("its blocklist entry had been removed"));
  EXPECT_TRUE(blocklisted(fenced[0]));
  EXPECT_EQ(a->asked(), 0U);
  EXPECT_EQ(b->write(2), 0);
}

// librbd in its automatic mode, as qemu and the rbd tool have it.
TEST_F(Lock, AStrangerIsBroken) {
  const std::string image = make_image();
  rados_t cluster = nullptr;
  ASSERT_EQ(rados_create(&cluster, "admin"), 0);
  ASSERT_EQ(rados_conf_read_file(cluster, conf_.c_str()), 0);
  ASSERT_EQ(rados_connect(cluster), 0);
  rados_ioctx_t pool = nullptr;
  ASSERT_EQ(rados_ioctx_create(cluster, "rbd", &pool), 0);
  rbd_image_t other = nullptr;
  ASSERT_EQ(rbd_open(pool, image.c_str(), &other, nullptr), 0);
  ASSERT_EQ(rbd_write(other, 0, 4, "abcd"), 4);
  const auto b = gateway(image);
  EXPECT_EQ(acquired(*b, "a stranger"), Acquired::kBroken);
  EXPECT_THAT(detail_, HasSubstr("not on the lock channel"));
  EXPECT_EQ(b->write(2), 0);
  EXPECT_EQ(rbd_write(other, 0, 4, "abcd"), -ESHUTDOWN);
  rbd_close(other);
  rados_ioctx_destroy(pool);
  rados_shutdown(cluster);
}

TEST_F(Lock, AnImageWithoutTheFeature) {
  const auto a = gateway(make_image({.features = RBD_FEATURE_LAYERING}));
  EXPECT_EQ(a->write(1), 0);
  EXPECT_EQ(acquired(*a, "without the feature"), Acquired::kFree);
  EXPECT_EQ(a->write(2), 0);
  EXPECT_TRUE(a->target->image->release_lock().has_value());
}

// Started by Lock.AProcessThatEnds and similar tests: this program again, as a gateway that
// acquires the lock, reports it, writes, and runs until it is killed. No effect in a normal run.
TEST_F(Lock, TheOtherProcess) {
  const char* image = std::getenv("TCMU_RBD_TEST_PEER");
  if (image == nullptr) return;
  const auto a = gateway(image);
  ASSERT_TRUE(a->acquire().has_value());
  ASSERT_EQ(a->write(1), 0);
  std::cout << "\nholding " << a->target->image->address() << std::endl;
  for (;;) ::pause();
}

class OtherProcess {
 public:
  explicit OtherProcess(const std::string& image) {
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    ::setenv("TCMU_RBD_TEST_PEER", image.c_str(), 1);
    pid_ = ::vfork();
    if (pid_ == 0) {
      ::dup2(pipe[1], 1);
      ::execl("/proc/self/exe", "peer", "--gtest_filter=Lock.TheOtherProcess", nullptr);
      ::_exit(1);
    }
    ::unsetenv("TCMU_RBD_TEST_PEER");
    ::close(pipe[1]);
    FILE* output = ::fdopen(pipe[0], "r");
    char line[256];
    while (std::fgets(line, sizeof line, output) != nullptr)
      if (const std::string text = line; text.starts_with("holding ")) {
        address_ = text.substr(8, text.size() - 9);
        break;
      }
    EXPECT_FALSE(address_.empty());
    std::fclose(output);
  }
  ~OtherProcess() { kill(); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    EXPECT_EQ(::waitpid(pid_, nullptr, 0), pid_);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }
  const std::string& address() const { return address_; }

 private:
  pid_t pid_ = -1;
  std::string address_;
};

TEST_F(Lock, AProcessThatEndedIsBroken) {
  const std::string image = make_image();
  const auto b = gateway(image);
  OtherProcess a(image);
  a.kill();
  EXPECT_EQ(acquired(*b, "dead"), Acquired::kBroken);
  EXPECT_THAT(detail_, HasSubstr(a.address()));
  EXPECT_TRUE(blocklisted(a.address()));
  EXPECT_EQ(b->write(2), 0);
  // Its watch stays at the OSD for half a minute, and must not be in the way of others.
  const auto c = gateway(image);
  for (Gateway* taker : {c.get(), b.get(), c.get()}) {
    const auto begin = steady_clock::now();
    EXPECT_EQ(acquired(*taker, "handed over beside a dead one"), Acquired::kHandedOver);
    EXPECT_LT(ms_since(begin), 300) << "the OSD waits for the dead one's acknowledgement for 1 s";
    EXPECT_EQ(taker->write(3), 0);
  }
}

TEST_F(Lock, AProcessThatIsFrozenIsBroken) {
  const std::string image = make_image();
  const auto b = gateway(image);
  OtherProcess a(image);
  {
    const Frozen frozen(a.pid());
    EXPECT_EQ(acquired(*b, "frozen"), Acquired::kBroken);
    EXPECT_THAT(detail_, HasSubstr("the owner did not answer"));
    EXPECT_EQ(b->write(2), 0);
    const auto d = gateway(image);
    const auto begin = steady_clock::now();
    EXPECT_EQ(acquired(*d, "handed over beside a frozen one"), Acquired::kHandedOver);
    EXPECT_LT(ms_since(begin), 300);
    EXPECT_EQ(acquired(*b, "handed back beside a frozen one"), Acquired::kHandedOver);
  }
  // When it runs again, its ops are refused, and it does not answer requests for a lock that it
  // lost.
  const auto c = gateway(image);
  EXPECT_EQ(acquired(*c, "handed over beside one that is awake again"), Acquired::kHandedOver);
}

// In each round both request the lock; each must get it, and neither may be fenced.
TEST_F(Lock, TwoTakersAtOnce) {
  const std::string image = make_image();
  const auto a = gateway(image);
  const auto b = gateway(image);
  const auto c = gateway(image);
  std::atomic<int> none = 0;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(c->acquire().has_value());
    const auto take = [&](Gateway& one) {
      const auto taken = one.acquire();
      if (taken) return;
      EXPECT_EQ(taken.error().error, -EAGAIN) << taken.error().text;
      ++none;
    };
    std::thread other([&] { take(*a); });
    take(*b);
    other.join();
  }
  std::cout << none << " of 20 got nothing" << std::endl;
  for (const auto* one : {a.get(), b.get(), c.get()})
    EXPECT_FALSE(blocklisted(one->target->image->address()));
}

}  // namespace
}  // namespace tcmurbd::ceph
