// SPDX-License-Identifier: Apache-2.0
// The socket behind tcmu-rbdctl. One request a connection: a line of text in, a JSON document out,
// then it is closed. Root only (mode 0600). Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "common/log.h"

namespace tcmurbd::admin {

class ControlSocket {
 public:
  using Reply = std::function<void(std::string answer)>;
  // Gets the line without its line end; calls `reply`, now or later, with the data to send. Must
  // not block.
  using Handler = std::function<void(std::string_view request, Reply reply)>;

  // Replaces the socket of a dead daemon (which does not hold the instance lock). Throws
  // boost::system::system_error if the path cannot be bound.
  ControlSocket(boost::asio::io_context& control, std::string path, Handler handler);
  // Removes the socket's file.
  ~ControlSocket();

 private:
  void accept();
  void accept_later(const boost::system::error_code& why);

  const std::string path_;
  const Handler handler_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer again_;
  Log log_{"control socket"};
};

}  // namespace tcmurbd::admin
