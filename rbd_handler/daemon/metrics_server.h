// SPDX-License-Identifier: Apache-2.0
// HTTP for Prometheus: GET and HEAD of /metrics, and nothing else. Any bytes may come in: the
// number of connections, the size of a request and the life of a connection are bounded. One
// request a connection. Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/log.h"
#include "config/config.h"
#include "rbd_handler/metrics/exposition.h"

namespace tcmurbd {

class MetricsServer {
 public:
  // More wait in the kernel's queue until one of these ends.
  static constexpr size_t kConnectionsMax = 8;
  static constexpr size_t kHeaderBytesMax = 8192;
  // For request and answer together.
  static constexpr std::chrono::seconds kConnectionLife{10};

  using Reply = std::function<void(std::string text)>;
  // Calls `reply` once, now or later. Must not block.
  using Handler = std::function<void(metrics::Format format, Reply reply)>;

  MetricsServer(boost::asio::io_context& control, Handler handler);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // Serves there instead of where it did; connections go on. If it cannot, or the port is 0, it
  // serves nowhere; an error is one line in the log.
  void serve(const Config::Metrics& settings);
  // The port; 0: nowhere. For tests, which serve with the kernel's choice.
  uint16_t port() const;
  // As serve(), but any free port.
  void serve_any_port(const std::string& address);

 private:
  struct Connection;
  struct Open;  // What connections need after the server is gone, too.
  void listen(const std::string& address, uint16_t port);
  void accept();
  void accept_later(const boost::system::error_code& why);

  boost::asio::io_context& control_;
  const std::shared_ptr<Open> open_;
  std::optional<boost::asio::ip::tcp::acceptor> acceptor_;
  boost::asio::steady_timer again_;
  bool accepting_ = false;
  uint64_t served_ = 0;  // Calls of serve(): what an earlier one began has no effect.
  Log log_{"metrics"};
};

}  // namespace tcmurbd
