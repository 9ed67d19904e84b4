// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/ctl/ask.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <iterator>
#include <nlohmann/json.hpp>

namespace tcmurbd {
namespace {

using boost::asio::local::stream_protocol;

constexpr std::chrono::seconds kPatience{10};

}  // namespace

std::expected<std::string, std::string> ask(const std::string& path, const std::string& request) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return std::unexpected("the path of the control socket is too long: " + path);
  stream_protocol::iostream daemon;
  const auto failed = [&](const char* what) {
    return std::unexpected(fmt::format("{} {}: {}", what, path, daemon.error().message()));
  };
  daemon.expires_after(kPatience);
  daemon.connect(stream_protocol::endpoint(path));
  if (!daemon) return failed("no daemon at");
  daemon << request + '\n' << std::flush;
  if (!daemon) return failed("sending to");
  std::string answer{std::istreambuf_iterator<char>(daemon), {}};
  if (daemon.error() && daemon.error() != boost::asio::error::eof) return failed("reading from");
  return answer;
}

std::expected<nlohmann::json, std::string> ask_json(const std::string& path,
                                                    const std::string& request) {
  const auto answer = ask(path, request);
  if (!answer) return std::unexpected(answer.error());
  return read_answer(request, *answer);
}

}  // namespace tcmurbd
