// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/native/control.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "tests/bench/native/genl.h"

namespace tcmurbd::bench {

Control::Control(std::vector<KernelRing*> rings) : rings_(std::move(rings)) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  end_ = UniqueFd(ends[0]);
  daemon_end_ = UniqueFd(ends[1]);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Control::run(const std::stop_token& stop) {
  constexpr int kLookMs = 200;  // For the stop.
  while (!stop.stop_requested()) {
    std::vector<pollfd> waits{{end_.get(), POLLIN, 0}};
    for (const auto& [fd, name] : channels_) waits.push_back({fd, POLLIN, 0});
    if (poll(waits.data(), waits.size(), kLookMs) <= 0) continue;
    if ((waits[0].revents & POLLIN) != 0) {
      take_message();
    } else if (waits[0].revents != 0) {
      return;  // The daemon has ended.
    }
    for (size_t i = 1; i < waits.size(); ++i)
      if (waits[i].revents != 0) take_from(waits[i].fd);
  }
}

void Control::take_message() {
  std::array<char, 256> text{};
  std::array<char, CMSG_SPACE(sizeof(int))> extra{};
  iovec part{text.data(), text.size() - 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = extra.data();
  message.msg_controllen = extra.size();
  if (recvmsg(end_.get(), &message, MSG_CMSG_CLOEXEC) <= 0) return;
  const std::string what(text.data());
  if (what.starts_with("MAP ")) mapped_.insert(what.substr(4));
  count_served();
  if (const cmsghdr* const header = CMSG_FIRSTHDR(&message)) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    channels_[fd] = what;
  }
}

void Control::take_from(int fd) {
  std::array<uint8_t, 65536> bytes{};
  const ssize_t got = recv(fd, bytes.data(), bytes.size() - 1, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    close(fd);
    channels_.erase(fd);
    return;
  }
  const std::string& name = channels_.at(fd);
  if (name == "NETLINK")
    answer_netlink(fd, {bytes.data(), static_cast<size_t>(got)});
  else
    act(name, std::strtol(reinterpret_cast<const char*>(bytes.data()), nullptr, 0));
}

void Control::act(const std::string& what, long value) {
  const size_t space = what.rfind(' ');
  const std::string action = what.substr(0, space);
  const std::string device = what.substr(space + 1);
  if (action == "ACTION block_dev") {
    if (value != 0)
      blocked_.insert(device);
    else
      blocked_.erase(device);
    count_served();
  }
  const size_t number = std::stoul(device);
  if (number >= rings_.size()) return;
  KernelRing& ring = *rings_[number];
  const std::lock_guard lock(ring.mutex);
  if (action == "ACTION block_dev") ring.set_blocked(value != 0);
  if (action == "ACTION reset_ring") ring.reset();
  if (action == "ACTION free_kept_buf") {
    ring.take_completions();
    ring.free_kept(static_cast<uint32_t>(value));
  }
}

void Control::count_served() {
  served_ = static_cast<size_t>(std::ranges::count_if(
      mapped_, [this](const std::string& device) { return !blocked_.contains(device); }));
}

}  // namespace tcmurbd::bench
