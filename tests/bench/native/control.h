// SPDX-License-Identifier: Apache-2.0
// What the shim (shim.cc) sends from within the daemon: that a device was mapped, writes to the
// action files, netlink messages. A thread of its own answers them. The first devices have rings;
// the others are idle.
//
// Each message on the control socket is one line; "MAP device" is news; "ACTION name device", "UIO
// device" and NETLINK carry a descriptor on which the writes, or the messages, follow.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/unique_fd.h"
#include "tests/bench/native/ring.h"

namespace tcmurbd::bench {

class Control {
 public:
  // `rings`: by device; they must outlive this.
  explicit Control(std::vector<KernelRing*> rings);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  int daemon_end() const { return daemon_end_.get(); }
  void close_daemon_end() { daemon_end_.reset(); }
  // Devices that are mapped and not blocked. Any thread.
  size_t served() const { return served_.load(); }

 private:
  void run(const std::stop_token& stop);
  void take_message();
  void take_from(int fd);
  void count_served();
  void act(const std::string& what, long value);

  const std::vector<KernelRing*> rings_;
  UniqueFd end_;
  UniqueFd daemon_end_;
  std::atomic<size_t> served_{0};
  // The thread's.
  std::map<int, std::string> channels_;
  std::set<std::string> mapped_;
  std::set<std::string> blocked_;
  std::jthread thread_;
};

}  // namespace tcmurbd::bench
