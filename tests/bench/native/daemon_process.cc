// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/native/daemon_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

namespace tcmurbd::bench {
namespace {

[[noreturn]] void become(const DaemonProcess::Options& options, const std::vector<int>& inherited) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int fd : inherited) fcntl(fd, F_SETFD, 0);
  if (const int null = open("/dev/null", O_RDONLY); null >= 0) dup2(null, STDIN_FILENO);
  if (!options.log.empty()) {
    const int log = open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (log >= 0) dup2(log, STDERR_FILENO);
  }
  dup2(STDERR_FILENO, STDOUT_FILENO);
  setenv("TCMU_SHIM", options.shim.c_str(), 1);
  setenv("LD_PRELOAD", fmt::format("{}", fmt::join(options.preload, ":")).c_str(), 1);
  // exec: the pid that we know is to be the daemon's.
  const std::string command = "exec " + options.command;
  execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
  _exit(127);
}

uint64_t switches_of(const std::filesystem::path& status) {
  std::ifstream file(status);
  uint64_t sum = 0;
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find("voluntary_ctxt_switches:");  // And the nonvoluntary ones.
    if (at != std::string::npos) sum += std::stoull(line.substr(line.find(':') + 1));
  }
  return sum;
}

}  // namespace

DaemonProcess::DaemonProcess(const Options& options, const std::vector<int>& inherited)
    : pid_(fork()) {
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) become(options, inherited);
}

void DaemonProcess::stop(std::chrono::seconds patience) {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  const auto end = std::chrono::steady_clock::now() + patience;
  while (alive() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool DaemonProcess::alive() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

Usage DaemonProcess::usage() const {
  Usage usage;
  clockid_t clock = 0;
  timespec time{};
  if (clock_getcpuclockid(pid_, &clock) == 0 && clock_gettime(clock, &time) == 0)
    usage.cpu_ns =
        static_cast<uint64_t>(time.tv_sec) * 1000000000U + static_cast<uint64_t>(time.tv_nsec);
  std::error_code error;
  const std::filesystem::directory_iterator tasks(fmt::format("/proc/{}/task", pid_), error);
  for (const auto& task : tasks) usage.switches += switches_of(task.path() / "status");
  return usage;
}

}  // namespace tcmurbd::bench
