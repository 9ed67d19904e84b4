// SPDX-License-Identifier: Apache-2.0
// Against a bus of its own: Debian's dbus-daemon, on a socket in the test's directory.
#include "rbd_handler/daemon/bus_service.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cstdlib>
#include <fstream>
#include <future>
#include <optional>
#include <thread>

#include "common/unique_fd.h"

namespace tcmurbd {
namespace {

using std::chrono::milliseconds;

constexpr const char* kName = "org.kernel.TCMUService1";
constexpr const char* kObject = "/org/kernel/TCMUService1/rbd";

// A system bus on which anybody may do anything.
class PrivateBus {
 public:
  explicit PrivateBus(const std::string& directory)
      : config_(directory + ".conf"), socket_(directory + ".socket") {
    std::ofstream(config_) << "<busconfig><type>system</type><listen>unix:path=" << socket_
                           << "</listen><auth>EXTERNAL</auth><policy context='default'>"
                              "<allow send_destination='*'/><allow receive_sender='*'/>"
                              "<allow own='*'/><allow user='*'/></policy></busconfig>";
    setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + socket_).c_str(), 1);
  }
  ~PrivateBus() {
    stop();
    unlink(config_.c_str());
    unlink(socket_.c_str());
  }
  // Returns when it accepts connections: it prints its address then.
  void start() {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const UniqueFd out(ends[0]);
    UniqueFd in(ends[1]);
    child_ = fork();
    if (child_ == 0) {
      dup2(in.get(), STDOUT_FILENO);
      execlp("dbus-daemon", "dbus-daemon", ("--config-file=" + config_).c_str(), "--nofork",
             "--nopidfile", "--print-address=1", nullptr);
      _exit(127);
    }
    in.reset();
    char byte = 0;
    ASSERT_EQ(read(out.get(), &byte, 1), 1) << "is the package dbus installed?";
  }
  void stop() {
    if (child_ <= 0) return;
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  const std::string config_, socket_;
  pid_t child_ = 0;
};

struct Reply {
  bool good;
  std::string text;
};

// A connection of targetcli's, so to speak. Its calls block.
class Caller {
 public:
  Caller() { EXPECT_GE(sd_bus_open_system(&bus_), 0); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller() { sd_bus_flush_close_unref(bus_); }

  // Until the name has an owner: the bus reports it.
  void wait_for_owner() {
    std::string match = std::string("type='signal',member='NameOwnerChanged',arg0='") + kName + "'";
    ASSERT_GE(sd_bus_add_match(bus_, nullptr, match.c_str(), nullptr, nullptr), 0);
    while (sd_bus_get_name_creds(bus_, kName, 0, nullptr) < 0) {
      sd_bus_wait(bus_, UINT64_MAX);
      while (sd_bus_process(bus_, nullptr) > 0) {
      }
    }
  }
  std::optional<Reply> check(const char* dev_config) {
    sd_bus_message* reply = nullptr;
    if (sd_bus_call_method(bus_, kName, kObject, kName, "CheckConfig", nullptr, &reply, "s",
                           dev_config) < 0)
      return std::nullopt;
    int good = -1;
    const char* text = "";
    EXPECT_GE(sd_bus_message_read(reply, "bs", &good, &text), 0);
    Reply result{good == 1, text};
    sd_bus_message_unref(reply);
    return result;
  }
  sd_bus* get() { return bus_; }

 private:
  sd_bus* bus_ = nullptr;
};

class BusServiceTest : public ::testing::Test {
 protected:
  BusServiceTest() : bus_(::testing::TempDir() + "bus-" + std::to_string(getpid())) {}
  void serve(BusService::Check check, BusService::Times times = {}) {
    service_.emplace(control_, std::move(check), times);
    thread_ = std::jthread([this] { control_.run(); });
  }
  void TearDown() override {
    boost::asio::post(control_, [this] {
      service_.reset();
      control_.stop();
    });
    if (thread_.joinable()) thread_.join();
  }
  // Runs on the control thread, and returns after it has.
  void on_control(const std::function<void()>& what) {
    std::promise<void> done;
    boost::asio::post(control_, [&] {
      what();
      done.set_value();
    });
    done.get_future().wait();
  }
  static void say_good(const std::string&, const BusService::Reply& answer) { answer({}); }

  PrivateBus bus_;
  boost::asio::io_context control_;
  std::optional<BusService> service_;
  std::jthread thread_;
};

TEST_F(BusServiceTest, AnswersCheckConfigWithTheReason) {
  bus_.start();
  std::string asked;
  serve([&](const std::string& dev_config, const BusService::Reply& answer) {
    asked = dev_config;
    answer(dev_config == "rbd/pool/disk"
               ? BusService::Verdict{}
               : BusService::Verdict(std::unexpected("pool 'nosuch' does not exist")));
  });
  Caller caller;
  caller.wait_for_owner();
  auto reply = caller.check("rbd/pool/disk");
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->good);
  EXPECT_EQ(asked, "rbd/pool/disk");
  reply = caller.check("rbd/nosuch/disk");
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->good);
  EXPECT_EQ(reply->text, "pool 'nosuch' does not exist");
}

// What targetcli reads to list its user:* backstores, and `help create` prints.
TEST_F(BusServiceTest, ListsTheHandlerWithItsConfigDesc) {
  bus_.start();
  serve(say_good);
  Caller caller;
  caller.wait_for_owner();
  sd_bus_message* reply = nullptr;
  ASSERT_GE(sd_bus_call_method(caller.get(), kName, "/org/kernel/TCMUService1",
                               "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", nullptr,
                               &reply, ""),
            0);
  ASSERT_GT(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}"), 0);
  ASSERT_GT(sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}"), 0);
  const char* path = "";
  ASSERT_GT(sd_bus_message_read(reply, "o", &path), 0);
  EXPECT_STREQ(path, kObject);
  sd_bus_message_unref(reply);
  char* text = nullptr;
  ASSERT_GE(
      sd_bus_get_property_string(caller.get(), kName, kObject, kName, "ConfigDesc", nullptr, &text),
      0);
  EXPECT_EQ(std::string(text).rfind("rbd/POOL[/NAMESPACE]/IMAGE", 0), 0U);
  free(text);
}

TEST_F(BusServiceTest, ACheckThatHangsIsAnsweredAndBounded) {
  bus_.start();
  std::vector<BusService::Reply> hung;
  serve(
      [&](const std::string& dev_config, const BusService::Reply& answer) {
        if (dev_config == "rbd/p/hangs") {
          hung.push_back(answer);
        } else {
          answer({});
        }
      },
      {.patience = milliseconds(50), .reconnect = std::chrono::seconds(10)});
  Caller caller;
  caller.wait_for_owner();
  for (int i = 0; i < BusService::kChecksMax; ++i) {
    const auto reply = caller.check("rbd/p/hangs");
    ASSERT_TRUE(reply);
    EXPECT_FALSE(reply->good);
    EXPECT_EQ(reply->text.rfind("the cluster has not answered within", 0), 0U) << reply->text;
  }
  auto reply = caller.check("rbd/p/disk");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text, "too many checks are under way");
  // One that ends late gives its place back; no caller waits for its verdict.
  on_control([&] { hung.front()({}); });
  reply = caller.check("rbd/p/disk");
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->good) << reply->text;
  on_control([&] {
    for (size_t i = 1; i < hung.size(); ++i) hung[i]({});
    hung.clear();
  });
}

TEST_F(BusServiceTest, ABusThatComesLaterOrRestartsIsFound) {
  serve(say_good, {.patience = std::chrono::seconds(20), .reconnect = milliseconds(10)});
  for (int life = 0; life < 2; ++life) {
    bus_.start();
    Caller caller;
    caller.wait_for_owner();
    EXPECT_TRUE(caller.check("rbd/p/disk"));
    bus_.stop();
  }
}

TEST_F(BusServiceTest, TakesTheNameWhenItsOwnerEnds) {
  bus_.start();
  std::optional<Caller> other(std::in_place);
  ASSERT_GE(sd_bus_request_name(other->get(), kName, 0), 0);
  serve(say_good);
  Caller caller;
  other.reset();
  caller.wait_for_owner();
  EXPECT_TRUE(caller.check("rbd/p/disk"));
}

}  // namespace
}  // namespace tcmurbd
