// SPDX-License-Identifier: Apache-2.0
// The metrics over HTTP, as clients see it: good ones, wrong ones, silent ones, and many.
#include "rbd_handler/daemon/metrics_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <random>
#include <thread>
#include <vector>

#include "common/unique_fd.h"

namespace tcmurbd {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The server on a loop of its own, as in the daemon; clients in the test's thread.
class MetricsServerTest : public ::testing::Test {
 protected:
  MetricsServerTest() : thread_([this] { control_.run(); }) {
    on_loop([this] {
      server_ = std::make_unique<MetricsServer>(
          control_, [this](metrics::Format format, MetricsServer::Reply reply) {
            ++asked_;
            const bool open = format == metrics::Format::kOpenMetrics;
            reply(body_.empty() ? (open ? "open\n" : "text\n") : body_);
          });
      server_->serve_any_port("127.0.0.1");
      port_ = server_->port();
    });
    EXPECT_NE(port_, 0);
  }
  ~MetricsServerTest() override {
    on_loop([this] { server_.reset(); });
    guard_.reset();
    control_.stop();
  }

  // Runs it on the server's loop, and waits.
  void on_loop(const std::function<void()>& fn) {
    std::promise<void> done;
    boost::asio::post(control_, [&] {
      fn();
      done.set_value();
    });
    done.get_future().wait();
  }
  UniqueFd connect(uint16_t port = 0) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port == 0 ? port_ : port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{.tv_sec = 30, .tv_usec = 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return UniqueFd();
    return fd;
  }
  static std::string read_all(const UniqueFd& fd) {
    std::string text;
    char buffer[65536];
    for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(n));
    return text;
  }
  static void send(const UniqueFd& fd, std::string_view text) {
    ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  std::string ask(std::string_view request) const {
    const UniqueFd fd = connect();
    send(fd, request);
    return read_all(fd);
  }
  std::string get(const std::string& target, const std::string& headers = "") const {
    return ask("GET " + target + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n");
  }

  boost::asio::io_context control_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{
      control_.get_executor()};
  std::unique_ptr<MetricsServer> server_;
  std::string body_;
  std::atomic<int> asked_ = 0;
  uint16_t port_ = 0;
  std::jthread thread_;
};

TEST_F(MetricsServerTest, AnswersAScrape) {
  const std::string answer = get("/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\ntext\n"));
}

TEST_F(MetricsServerTest, AnswersInTheFormatThatIsAskedFor) {
  const std::string answer = get(
      "/metrics?x=1", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/openmetrics-text; version=1.0.0"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nopen\n"));
}

TEST_F(MetricsServerTest, HeadHasNoBody) {
  const std::string answer = ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(MetricsServerTest, ThereIsNothingElse) {
  for (const char* target : {"/", "/metrics/", "/metric", "/healthz", "/../metrics", "*"})
    EXPECT_THAT(get(target), StartsWith("HTTP/1.1 404 ")) << target;
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"}) {
    const std::string answer =
        ask(std::string(method) + " /metrics HTTP/1.1\r\nContent-Length: 100000\r\n\r\nxxxx");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n"));
  }
  EXPECT_EQ(asked_, 0) << "nobody was asked for these";
}

TEST_F(MetricsServerTest, WhatIsNotHttpIsRefused) {
  EXPECT_THAT(ask("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(std::string("GET /metrics HTTP/1.1\r\nA\x01: x\r\n\r\n")),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get("/metrics"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, AHeaderIsBounded) {
  const std::string large(MetricsServer::kHeaderBytesMax + 1, 'x');
  EXPECT_THAT(get("/metrics", "X: " + large + "\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(get("/" + large), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(get("/metrics", "X: " + large.substr(0, 4000) + "\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, AnyBytesLeaveItServing) {
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    std::string bytes = random() % 2 == 0 ? "GET /metrics HTTP/1.1\r\n" : "";
    for (size_t length = random() % 300; length > 0; --length)
      bytes += static_cast<char>(random() % 4 == 0 ? "\r\n: /"[random() % 5] : random());
    const UniqueFd fd = connect();
    send(fd, bytes);
    ::shutdown(fd.get(), SHUT_WR);
    if (random() % 2 == 0) read_all(fd);
  }
  EXPECT_THAT(get("/metrics"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, ALargeAnswerArrives) {
  on_loop([this] { body_.assign(16U << 20U, 'm'); });
  EXPECT_GT(get("/metrics").size(), body_.size());
}

// Connections beyond the bound wait until one of those that are served ends.
TEST_F(MetricsServerTest, SoManyConnectionsAtATime) {
  std::vector<UniqueFd> silent;
  for (size_t i = 0; i < MetricsServer::kConnectionsMax; ++i) silent.push_back(connect());
  // Served in the order of their arrival: once the last one is, all are.
  const UniqueFd waiting = connect();
  send(waiting, "GET /metrics HTTP/1.1\r\n\r\n");
  send(silent.back(), "GET /metrics HTTP/1.1\r\n\r\n");
  std::string first(512, '\0');
  EXPECT_GT(::recv(silent.back().get(), first.data(), first.size(), 0), 0);
  EXPECT_EQ(asked_, 1) << "the one that waits is not served";
  silent.front() = UniqueFd();
  EXPECT_THAT(read_all(waiting), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, ASilentClientIsDropped) {
  const UniqueFd silent = connect();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(read_all(silent), "");
  const auto life = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(life, MetricsServer::kConnectionLife + std::chrono::seconds(10));
  EXPECT_GT(life, MetricsServer::kConnectionLife / 2);
}

TEST_F(MetricsServerTest, APortInUseIsNoFailure) {
  MetricsServer second(control_, [](metrics::Format, const MetricsServer::Reply&) {});
  on_loop([&] { second.serve({.address = "127.0.0.1", .port = port_}); });
  EXPECT_EQ(second.port(), 0);
  EXPECT_THAT(get("/metrics"), StartsWith("HTTP/1.1 200 "));
  on_loop([this] { server_->serve({.address = "192.0.2.1", .port = 1}); });
  EXPECT_EQ(server_->port(), 0) << "not an address of this host";
}

TEST_F(MetricsServerTest, ServesElsewhereAfterAReload) {
  const UniqueFd before = connect();
  on_loop([this] {
    server_->serve({.port = 0});
    EXPECT_EQ(server_->port(), 0);
  });
  EXPECT_FALSE(connect().valid());
  uint16_t port = 0;
  on_loop([&] {
    server_->serve_any_port("127.0.0.1");
    port = server_->port();
  });
  const UniqueFd after = connect(port);
  ASSERT_TRUE(after.valid());
  send(after, "GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(read_all(after), StartsWith("HTTP/1.1 200 "));
}

// Its reply comes when the server is gone.
TEST_F(MetricsServerTest, ALateReplyIsNoFailure) {
  MetricsServer::Reply late;
  std::promise<void> asked;
  std::unique_ptr<MetricsServer> server;
  on_loop([&] {
    server = std::make_unique<MetricsServer>(control_, [&](metrics::Format, auto reply) {
      late = std::move(reply);
      asked.set_value();
    });
    server->serve_any_port("127.0.0.1");
    port_ = server->port();
  });
  const UniqueFd fd = connect();
  send(fd, "GET /metrics HTTP/1.1\r\n\r\n");
  asked.get_future().wait();
  on_loop([&] { server.reset(); });
  on_loop([&] { std::exchange(late, nullptr)("late"); });
  EXPECT_THAT(read_all(fd), EndsWith("late"));
}

}  // namespace
}  // namespace tcmurbd
