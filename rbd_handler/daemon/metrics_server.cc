// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/metrics_server.h"

#include <array>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <string_view>
#include <utility>

#include "rbd_handler/messages/daemon.h"

namespace tcmurbd {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

namespace {

// After an accept failed for lack of descriptors or memory: the connection stays in the queue, so
// that the next attempt would fail at once.
constexpr std::chrono::milliseconds kAcceptAgain{250};

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct MetricsServer::Open {
  Handler handler;
  size_t connections = 0;
  std::function<void()> on_closed;  // Empty: the server is gone.
};

struct MetricsServer::Connection : std::enable_shared_from_this<Connection> {
  Connection(Tcp::socket accepted, std::shared_ptr<Open> of)
      : stream(std::move(accepted)), open(std::move(of)) {
    ++open->connections;
    parser.header_limit(kHeaderBytesMax);
  }
  ~Connection() {
    --open->connections;
    if (open->on_closed) open->on_closed();
  }

  void run() {
    stream.expires_after(kConnectionLife);
    http::async_read_header(stream, buffer, parser,
                            [self = shared_from_this()](const error_code& error, size_t) {
                              error ? self->refuse_if_http(error) : self->answer();
                            });
  }

  // A connection that failed or ended has no answer.
  void refuse_if_http(const error_code& error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return refuse(http::status::request_header_fields_too_large);
    if (error == http::error::end_of_stream || error == http::error::partial_message) return;
    const error_code any_of_http = http::error::bad_method;
    if (error.category() == any_of_http.category()) refuse(http::status::bad_request);
  }

  // The body of a request, if there is one, is not read: no answer depends on it.
  void answer() {
    const auto& request = parser.get();
    const std::string_view target = view(request.target());
    if (target.substr(0, target.find('?')) != "/metrics") return refuse(http::status::not_found);
    if (request.method() != http::verb::get && request.method() != http::verb::head)
      return refuse(http::status::method_not_allowed);
    const auto format = metrics::negotiate(view(request[http::field::accept]));
    open->handler(format, [self = shared_from_this(), format](std::string text) {
      self->response.result(http::status::ok);
      self->send(std::move(text), metrics::content_type(format));
    });
  }

  void refuse(http::status status) {
    response.result(status);
    if (status == http::status::method_not_allowed) response.set(http::field::allow, "GET, HEAD");
    send(std::string(view(http::obsolete_reason(status))) +
             (status == http::status::not_found ? "; there is /metrics\n" : "\n"),
         "text/plain; charset=utf-8");
  }

  void send(std::string text, std::string_view type) {
    response.version(11);
    response.set(http::field::content_type, beast::string_view(type.data(), type.size()));
    response.keep_alive(false);
    response.content_length(text.size());
    if (parser.is_header_done() && parser.get().method() == http::verb::head) text.clear();
    response.body() = std::move(text);
    http::async_write(stream, response,
                      [self = shared_from_this()](const error_code&, size_t) { self->end(); });
  }

  // The client reads to the end, also if it has sent what was not read here.
  void end() {
    error_code gone;
    if (stream.socket().shutdown(Tcp::socket::shutdown_send, gone)) return;
    stream.async_read_some(asio::buffer(rest),
                           [self = shared_from_this()](const error_code& error, size_t) {
                             if (!error) self->end();
                           });
  }

  beast::tcp_stream stream;
  const std::shared_ptr<Open> open;
  beast::flat_buffer buffer{2 * kHeaderBytesMax};
  http::request_parser<http::empty_body> parser;
  http::response<http::string_body> response;
  std::array<char, 4096> rest{};
};

MetricsServer::MetricsServer(asio::io_context& control, Handler handler)
    : control_(control), open_(std::make_shared<Open>()), again_(control) {
  open_->handler = std::move(handler);
  open_->on_closed = [this] { accept(); };
}

MetricsServer::~MetricsServer() { open_->on_closed = nullptr; }

void MetricsServer::serve(const Config::Metrics& settings) {
  acceptor_.reset();
  ++served_;
  accepting_ = false;
  again_.cancel();
  if (settings.port != 0) listen(settings.address, static_cast<uint16_t>(settings.port));
}

void MetricsServer::serve_any_port(const std::string& address) { listen(address, 0); }

uint16_t MetricsServer::port() const {
  return acceptor_ ? acceptor_->local_endpoint().port() : uint16_t{0};
}

void MetricsServer::listen(const std::string& address, uint16_t port) {
  try {
    const Tcp::endpoint endpoint(asio::ip::make_address(address), port);
    acceptor_.emplace(control_, endpoint);
    acceptor_->non_blocking(true);
    log_.write<messages::kMetricsServed>(address, acceptor_->local_endpoint().port());
    accept();
  } catch (const boost::system::system_error& error) {
    acceptor_.reset();
    log_.write<messages::kMetricsNotServed>(address, port, error.code().message());
  }
}

void MetricsServer::accept() {
  if (!acceptor_ || accepting_ || open_->connections >= kConnectionsMax) return;
  accepting_ = true;
  acceptor_->async_accept(
      [this, open = open_, served = served_](const error_code& error, Tcp::socket socket) {
        if (!open->on_closed || served != served_) return;
        accepting_ = false;
        if (error && error != asio::error::connection_aborted) return accept_later(error);
        if (!error) std::make_shared<Connection>(std::move(socket), open_)->run();
        accept();
      });
}

void MetricsServer::accept_later(const error_code& why) {
  log_.write<messages::kNoConnection>(why.message());
  accepting_ = true;
  again_.expires_after(kAcceptAgain);
  again_.async_wait([this, open = open_, served = served_](const error_code& error) {
    if (error || !open->on_closed || served != served_) return;
    accepting_ = false;
    accept();
  });
}

}  // namespace tcmurbd
