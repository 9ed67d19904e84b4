// SPDX-License-Identifier: Apache-2.0
// The initiator of one LUN: keeps a number of commands open for a time, and says what came of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/native/daemon_process.h"
#include "tests/bench/native/ring.h"

namespace tcmurbd::bench {

// KIND:BYTES:DEPTH, such as "randread:4096:16"; kinds are randread, randwrite, read and write.
struct Case {
  bool writes = false;
  bool random = false;
  uint32_t bytes = 0;
  uint32_t depth = 0;
};
std::expected<Case, std::string> parse_case(std::string_view text);

struct Outcome {
  double seconds = 0;
  uint64_t ios = 0;
  uint64_t failed = 0;  // With a status that is not GOOD.
  double cpu_us = 0;    // This and the next two per I/O.
  double switches = 0;
  double kicks = 0;
  double p50_us = 0;
  double p99_us = 0;
};

class Load {
 public:
  // The ring's commands are this one's from now on; both must outlive the daemon.
  Load(KernelRing& ring, DaemonProcess& daemon, uint64_t device_bytes);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Sends one command after the other until one is answered with GOOD; throws after a minute.
  void wait_until_ready();
  // Throws std::runtime_error if the daemon ends or answers nothing for 30 s.
  Outcome run(const Case& what, std::chrono::duration<double> warm,
              std::chrono::duration<double> measured);

  // The parts of run(), for one that has many loads.
  void prepare(const Case& what);
  // As many commands as are not open, with one wake-up.
  void fill_ring(const Case& what);
  // Readable when there are completions for step(), which waits up to 100 ms for them.
  int doorbell() const { return ring_.doorbell(); }
  void step();
  void drain();
  // Since prepare().
  uint64_t failed() const { return failed_; }

  // ABORT TASK of the open command that was sent last; the daemon gets a TMR entry only with
  // `notified`, as with attrib/tmr_notification. False: no command is open.
  bool abort_newest(bool notified);
  struct Answer {
    uint64_t at_ns = 0;
    uint8_t status = 0;
  };
  // Of the aborted command, when it has one.
  std::optional<Answer> abort_answer() const { return answer_; }

 private:
  void ended(Command& command);

  KernelRing& ring_;
  DaemonProcess& daemon_;
  const uint64_t device_bytes_;
  std::minstd_rand random_;
  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<std::unique_ptr<Command>> commands_;
  std::vector<Command*> free_;
  const Command* aborted_ = nullptr;
  std::optional<Answer> answer_;
  uint64_t next_ = 0;  // Of a sequential load, in units of its size.
  uint64_t last_end_ns_ = 0;
  bool measures_ = false;
  uint64_t failed_ = 0;
  std::vector<uint32_t> latencies_;  // Nanoseconds.
};

}  // namespace tcmurbd::bench
