// SPDX-License-Identifier: Apache-2.0
// The daemon's settings, read from YAML at start and on SIGHUP. config/tcmu-rbd.yaml has the
// default, unit and reason of every key; a test compares it with this struct.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <set>
#include <string>
#include <string_view>

namespace tcmurbd {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct Config {
  struct Log {
    LogLevel level = LogLevel::kInfo;  // log.level: debug, info, warning, error. Reloadable.
    uint32_t burst = 20;       // log.burst: lines of one kind per device at once. Reloadable.
    uint32_t per_minute = 60;  // log.per_minute: lines per minute after the burst. Reloadable.
    bool operator==(const Log&) const = default;
  } log;
  struct Paths {
    std::string lock_file = "/run/tcmu-rbd.lock";       // paths.lock_file: one instance per host.
    std::string control_socket = "/run/tcmu-rbd.sock";  // paths.control_socket: for tcmu-rbdctl.
    // paths.state_dir: the client instance of each device, for the successor after a crash.
    std::string state_dir = "/run/tcmu-rbd";
    bool operator==(const Paths&) const = default;
  } paths;
  struct Reactor {
    uint32_t threads = 1;               // reactor.threads: 1 to 64
    std::chrono::microseconds poll{0};  // reactor.poll_us: 0 to 1000, busy polling after activity
    bool operator==(const Reactor&) const = default;
  } reactor;
  struct Device {
    // device.open_timeout_s: 1 to 600. An enable fails after it. Reloadable.
    std::chrono::seconds open_timeout{20};
    // device.drain_timeout_s: 1 to 600. Bound of SIGTERM's drain. Reloadable.
    std::chrono::seconds drain_timeout{10};
    // device.command_deadline_s: 0 to 600, for devices without osd_op_timeout. Reloadable.
    std::chrono::seconds command_deadline{15};
    // device.fence_after_s: 1 to 60. See lock/gate.h, also for the next one.
    std::chrono::seconds fence_after{5};
    std::chrono::milliseconds release_after{250};  // device.release_after_ms: 0 to 10000.
    bool reads_need_lock = false;                  // device.reads_need_lock: yes or no.
    // device.slow_after_ms: 1 to 600000, what `tcmu-rbdctl slow` shows. Reloadable.
    std::chrono::milliseconds slow_after{1000};
    bool operator==(const Device&) const = default;
  } device;

  struct Metrics {
    // metrics.address: an IPv4 or IPv6 address to serve metrics on. Reloadable.
    std::string address = "127.0.0.1";
    uint32_t port = 0;  // metrics.port: 0 to 65535, 0: not served. Reloadable.
    bool operator==(const Metrics&) const = default;
  } metrics;

  bool operator==(const Config&) const = default;
};

// Maximum size of the file; larger files are refused.
inline constexpr size_t kConfigBytesMax = size_t{64} * 1024;

// Parses YAML text. `name` is the prefix of messages: "NAME:LINE: unknown key 'log.levl'; known:
// level, burst, per_minute". An empty document is all defaults. Never throws; any YAML error, alias
// bomb or bad value is a message.
std::expected<Config, std::string> parse_config(std::string_view text, std::string_view name);

// The sections ("log") and keys ("log.level") that the text names. Errors as above.
std::expected<std::set<std::string>, std::string> config_keys_in(std::string_view text,
                                                                 std::string_view name);

// Where the daemon looks without --config.
inline constexpr const char* kConfigPathDefault = "/etc/tcmu-rbd/tcmu-rbd.yaml";

// The content of a settings file, unparsed: a regular file of at most kConfigBytesMax. Errors begin
// with the path.
std::expected<std::string, std::string> read_config_text(const std::string& path);

// Reads a file. A missing file is an error here; the caller decides whether that means defaults.
std::expected<Config, std::string> load_config(const std::string& path);

}  // namespace tcmurbd
