// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/control_socket.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "rbd_handler/messages/daemon.h"

namespace tcmurbd::admin {

namespace asio = boost::asio;
using boost::system::error_code;
using Protocol = asio::local::stream_protocol;

namespace {

// Requests are one or two words; a longer line is an error.
constexpr size_t kRequestBytesMax = 4096;
// Timeout of a client that does not send or read.
constexpr std::chrono::seconds kConnectionLife{10};
// Delay after an accept failed for lack of descriptors or memory: the connection stays in the
// queue, so that the next attempt would fail at once.
constexpr std::chrono::milliseconds kAcceptAgain{250};

struct Connection : std::enable_shared_from_this<Connection> {
  Connection(Protocol::socket accepted, const ControlSocket::Handler& handle)
      : socket(std::move(accepted)),
        life(socket.get_executor(), kConnectionLife),
        handler(handle) {}

  void run() {
    life.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error) self->socket.close();
    });
    asio::async_read_until(socket, request, '\n',
                           [self = shared_from_this()](const error_code& error, size_t length) {
                             if (error) return void(self->life.cancel());
                             self->reply(length);
                           });
  }

  void reply(size_t length) {
    const std::string_view line(static_cast<const char*>(request.data().data()), length - 1);
    handler(line, [self = shared_from_this()](std::string text) {
      self->answer = std::move(text);
      asio::async_write(self->socket, asio::buffer(self->answer),
                        [self](const error_code&, size_t) { self->life.cancel(); });
    });
  }

  Protocol::socket socket;
  asio::steady_timer life;
  ControlSocket::Handler handler;
  asio::streambuf request{kRequestBytesMax};
  std::string answer;
};

}  // namespace

ControlSocket::ControlSocket(asio::io_context& control, std::string path, Handler handler)
    : path_(std::move(path)), handler_(std::move(handler)), acceptor_(control), again_(control) {
  unlink(path_.c_str());
  const mode_t before = umask(0177);  // The file must never exist with a wider mode.
  error_code error;
  acceptor_.open();
  error = acceptor_.bind(Protocol::endpoint(path_), error);
  umask(before);
  if (error) throw boost::system::system_error(error, "control socket " + path_);
  acceptor_.listen();
  accept();
}

ControlSocket::~ControlSocket() { unlink(path_.c_str()); }

void ControlSocket::accept() {
  acceptor_.async_accept([this](const error_code& error, Protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error && error != asio::error::connection_aborted) return accept_later(error);
    if (!error) std::make_shared<Connection>(std::move(socket), handler_)->run();
    accept();
  });
}

void ControlSocket::accept_later(const error_code& why) {
  log_.write<messages::kNoConnection>(why.message());
  again_.expires_after(kAcceptAgain);
  again_.async_wait([this](const error_code& error) {
    if (!error) accept();
  });
}

}  // namespace tcmurbd::admin
