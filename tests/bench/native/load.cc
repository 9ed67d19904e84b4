// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/native/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <thread>

namespace tcmurbd::bench {
namespace {

constexpr uint32_t kBlockBytes = 512;
constexpr uint32_t kBytesMax = 4U << 20U;
constexpr uint64_t kPatienceNs = 30'000'000'000;
constexpr int kReadyTries = 600;
constexpr std::chrono::milliseconds kReadyPause{100};

// READ(16) and WRITE(16).
void set_cdb(Command& command, bool writes, uint64_t lba, uint32_t blocks) {
  command.cdb.assign(16, 0);
  command.cdb[0] = writes ? 0x8a : 0x88;
  for (size_t i = 0; i < 8; ++i) command.cdb[2 + i] = static_cast<uint8_t>(lba >> (56 - 8 * i));
  for (size_t i = 0; i < 4; ++i) command.cdb[10 + i] = static_cast<uint8_t>(blocks >> (24 - 8 * i));
}

double percentile(std::vector<uint32_t>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(part * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(at));
  return values[at] / 1e3;
}

bool parse_number(std::string_view text, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::expected<Case, std::string> parse_case(std::string_view text) {
  const size_t first = text.find(':');
  const size_t second = text.find(':', first == text.npos ? first : first + 1);
  const std::string error = fmt::format("not KIND:BYTES:DEPTH: {}", text);
  if (second == text.npos) return std::unexpected(error);
  std::string_view kind = text.substr(0, first);
  Case parsed;
  parsed.random = kind.starts_with("rand");
  if (parsed.random) kind.remove_prefix(4);
  parsed.writes = kind == "write";
  if (!parsed.writes && kind != "read") return std::unexpected(error);
  if (!parse_number(text.substr(first + 1, second - first - 1), parsed.bytes) ||
      !parse_number(text.substr(second + 1), parsed.depth))
    return std::unexpected(error);
  if (parsed.bytes == 0 || parsed.bytes % kBlockBytes != 0 || parsed.bytes > kBytesMax ||
      parsed.depth == 0)
    return std::unexpected(error);
  return parsed;
}

Load::Load(KernelRing& ring, DaemonProcess& daemon, uint64_t device_bytes)
    : ring_(ring), daemon_(daemon), device_bytes_(device_bytes) {
  ring_.on_end = [this](Command& command) { ended(command); };
}

void Load::prepare(const Case& what) {
  free_.clear();
  commands_.clear();
  last_end_ns_ = now_ns();
  failed_ = 0;
  buffers_.assign(what.depth, std::vector<uint8_t>(what.bytes));
  for (auto& buffer : buffers_) {
    std::ranges::generate(buffer, [this] { return static_cast<uint8_t>(random_()); });
    commands_.push_back(std::make_unique<Command>());
    commands_.back()->data = buffer;
    free_.push_back(commands_.back().get());
  }
}

void Load::ended(Command& command) {
  free_.push_back(&command);
  last_end_ns_ = command.ended_ns;
  if (&command == aborted_) {
    aborted_ = nullptr;
    answer_ = {.at_ns = command.ended_ns, .status = command.status};
    return;
  }
  failed_ += command.status != 0;
  if (!measures_) return;
  const uint64_t taken = command.ended_ns - command.queued_ns;
  latencies_.push_back(
      static_cast<uint32_t>(std::min<uint64_t>(taken, std::numeric_limits<uint32_t>::max())));
}

// One wake-up for all, as a fabric's plug does it.
void Load::fill_ring(const Case& what) {
  const std::lock_guard lock(ring_.mutex);
  const uint64_t units = device_bytes_ / what.bytes;
  const uint32_t blocks = what.bytes / kBlockBytes;
  bool queued = false;
  while (!free_.empty()) {
    Command& command = *free_.back();
    const uint64_t unit = what.random ? random_() % units : next_++ % units;
    set_cdb(command, what.writes, unit * blocks, blocks);
    command.direction = what.writes ? Direction::kToDevice : Direction::kFromDevice;
    if (!ring_.queue(command)) break;
    free_.pop_back();
    queued = true;
  }
  if (queued) ring_.notify();
}

void Load::step() {
  if (!ring_.wait_for_doorbell() || !daemon_.alive())
    throw std::runtime_error("the daemon has ended");
  const std::lock_guard lock(ring_.mutex);
  ring_.take_completions();
  if (ring_.in_flight() != 0 && now_ns() - last_end_ns_ > kPatienceNs)
    throw std::runtime_error(
        fmt::format("no answer for 30 s, {} commands are open", ring_.in_flight()));
}

void Load::drain() {
  while (ring_.in_flight() != 0) step();
}

bool Load::abort_newest(bool notified) {
  const std::lock_guard lock(ring_.mutex);
  answer_.reset();
  aborted_ = nullptr;
  for (const auto& command : commands_)
    if (command->id != 0 && (aborted_ == nullptr || command->queued_ns > aborted_->queued_ns))
      aborted_ = command.get();
  if (aborted_ == nullptr || !notified) return aborted_ != nullptr;
  if (!ring_.queue_abort(*aborted_)) throw std::runtime_error("the ring has no room for an abort");
  ring_.notify();
  return true;
}

void Load::wait_until_ready() {
  const Case one{.writes = false, .random = false, .bytes = 4096, .depth = 1};
  for (int tries = 0; tries < kReadyTries; ++tries) {
    prepare(one);
    fill_ring(one);
    if (ring_.in_flight() != 0) {
      drain();
      if (failed_ == 0) return;
    }
    if (!daemon_.alive()) throw std::runtime_error("the daemon has ended");
    std::this_thread::sleep_for(kReadyPause);
  }
  throw std::runtime_error("the device was not ready within a minute");
}

Outcome Load::run(const Case& what, std::chrono::duration<double> warm,
                  std::chrono::duration<double> measured) {
  prepare(what);
  latencies_.clear();
  const auto run_for = [&](std::chrono::duration<double> time) {
    const uint64_t end = now_ns() + static_cast<uint64_t>(time.count() * 1e9);
    last_end_ns_ = now_ns();
    while (now_ns() < end) {
      fill_ring(what);
      step();
    }
  };
  run_for(warm);
  const Usage before = daemon_.usage();
  const uint64_t kicks_before = ring_.doorbells();
  const uint64_t begin = now_ns();
  measures_ = true;
  run_for(measured);
  measures_ = false;
  const double seconds = static_cast<double>(now_ns() - begin) / 1e9;
  const Usage after = daemon_.usage();
  const uint64_t kicks = ring_.doorbells() - kicks_before;
  drain();
  const double ios = std::max<double>(1, static_cast<double>(latencies_.size()));
  return {.seconds = seconds,
          .ios = latencies_.size(),
          .failed = failed_,
          .cpu_us = static_cast<double>(after.cpu_ns - before.cpu_ns) / 1e3 / ios,
          .switches = static_cast<double>(after.switches - before.switches) / ios,
          .kicks = static_cast<double>(kicks) / ios,
          .p50_us = percentile(latencies_, 0.5),
          .p99_us = percentile(latencies_, 0.99)};
}

}  // namespace tcmurbd::bench
