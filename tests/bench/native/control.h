// SPDX-License-Identifier: Apache-2.0
// What the shim (shim.cc) sends from within the daemon: that the device was opened and mapped,
// writes to the action files, netlink messages. A thread of its own answers them.
//
// Each message on the control socket is one line; OPEN and MAP are news, "ACTION name" and NETLINK
// carry a descriptor on which the writes, or the messages, follow.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "common/unique_fd.h"
#include "tests/bench/native/ring.h"

namespace tcmurbd::bench {

class Control {
 public:
  // `ended`: for commands that a reset of the ring ends; called with the ring's mutex.
  Control(KernelRing& ring, KernelRing::Ended ended);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  int daemon_end() const { return daemon_end_.get(); }
  void close_daemon_end() { daemon_end_.reset(); }
  bool mapped() const { return mapped_.load(); }

 private:
  void run(const std::stop_token& stop);
  void take_message();
  void take_from(int fd);
  void act(const std::string& action, long value);

  KernelRing& ring_;
  const KernelRing::Ended ended_;
  UniqueFd end_;
  UniqueFd daemon_end_;
  std::atomic<bool> mapped_{false};
  std::map<int, std::string> channels_;  // The thread's.
  std::jthread thread_;
};

}  // namespace tcmurbd::bench
