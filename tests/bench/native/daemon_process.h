// SPDX-License-Identifier: Apache-2.0
// The daemon that is measured: started with the shim, and what the kernel counts of it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace tcmurbd::bench {

// Of all its threads, since its start.
struct Usage {
  uint64_t cpu_ns = 0;
  uint64_t switches = 0;
};

class DaemonProcess {
 public:
  struct Options {
    std::string command;               // For sh.
    std::vector<std::string> preload;  // The shim, and what else.
    std::string shim;                  // Its variable, see shim.cc.
    std::string log;                   // Of its output; empty: as ours.
  };
  // `inherited`: the descriptors that it gets.
  DaemonProcess(const Options& options, const std::vector<int>& inherited);
  ~DaemonProcess() { stop(std::chrono::seconds(15)); }
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  // Asks it to end, kills it after `patience`.
  void stop(std::chrono::seconds patience);
  bool alive();
  pid_t pid() const { return pid_; }
  Usage usage() const;

 private:
  pid_t pid_ = -1;
};

}  // namespace tcmurbd::bench
