// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/control_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "common/unique_fd.h"

namespace tcmurbd::admin {
namespace {

// The socket on a loop of its own, as in the daemon; clients in the test's thread.
class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() : path_(::testing::TempDir() + "control-" + std::to_string(getpid())) {}
  void start(ControlSocket::Handler handler) {
    socket_.emplace(control_, path_, std::move(handler));
    thread_ = std::jthread([this] { control_.run(); });
  }
  void TearDown() override {
    boost::asio::post(control_, [this] { socket_.reset(); });
    boost::asio::post(control_, [this] { control_.stop(); });
    if (thread_.joinable()) thread_.join();
  }
  UniqueFd connect() {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, path_.data(), path_.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string read_all(int fd) {
    std::string text;
    char buffer[512];
    for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(n));
    return text;
  }
  std::string ask(const std::string& line) {
    const UniqueFd fd = connect();
    EXPECT_EQ(::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(line.size()));
    return read_all(fd.get());
  }

  const std::string path_;
  boost::asio::io_context control_;
  std::optional<ControlSocket> socket_;
  std::jthread thread_;
};

TEST_F(ControlSocketTest, AnswersALineAndCloses) {
  start([](std::string_view request, ControlSocket::Reply reply) {
    reply("<" + std::string(request) + ">");
  });
  EXPECT_EQ(ask("status\n"), "<status>");
  EXPECT_EQ(ask("\n"), "<>");
}

TEST_F(ControlSocketTest, AnswersLater) {
  start([this](std::string_view, ControlSocket::Reply reply) {
    boost::asio::post(control_, [reply] { reply("later"); });
  });
  EXPECT_EQ(ask("x\n"), "later");
}

TEST_F(ControlSocketTest, ASilentClientHoldsUpNobodyAndRubbishIsDropped) {
  start([](std::string_view, ControlSocket::Reply reply) { reply("here"); });
  const UniqueFd silent = connect();
  const UniqueFd endless = connect();
  const std::string rubbish(100000,
                            'x');  // No line end within the limit: closed without an answer.
  (void)!::send(endless.get(), rubbish.data(), rubbish.size(), MSG_NOSIGNAL);
  EXPECT_EQ(read_all(endless.get()), "");
  EXPECT_EQ(ask("x\n"), "here");
}

// Each try to accept fails at once and leaves the connection in the queue: without a pause the loop
// would do nothing else.
TEST_F(ControlSocketTest, WithoutDescriptorsItDoesNotSpin) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan looks at objects through a pipe, which needs descriptors";
#endif
  socket_.emplace(control_, path_,
                  [](std::string_view, ControlSocket::Reply reply) { reply("here"); });
  const UniqueFd waiting = connect();
  ASSERT_EQ(::send(waiting.get(), "x\n", 2, MSG_NOSIGNAL), 2);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const size_t handlers = control_.run_for(std::chrono::milliseconds(300));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_LT(handlers, 10U);
  thread_ = std::jthread([this] { control_.run(); });
  EXPECT_EQ(read_all(waiting.get()), "here");
}

TEST_F(ControlSocketTest, IsForRootOnlyAndTakesADeadDaemonsPlace) {
  UniqueFd(::open(path_.c_str(), O_CREAT | O_WRONLY, 0644));
  start([](std::string_view, ControlSocket::Reply reply) { reply("here"); });
  struct stat st{};
  ASSERT_EQ(stat(path_.c_str(), &st), 0);
  EXPECT_TRUE(S_ISSOCK(st.st_mode));
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_EQ(ask("x\n"), "here");
}

}  // namespace
}  // namespace tcmurbd::admin
