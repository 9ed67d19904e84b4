// SPDX-License-Identifier: Apache-2.0
#include "common/check.h"
#include "config/config.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/targets.h"

namespace tcmurbd::fuzz {

void config(Bytes input) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  const auto parsed =
      parse_config({reinterpret_cast<const char*>(input.data()), input.size()}, "file");
  if (!parsed) {
    CHECK(is_message(parsed.error()) && parsed.error().starts_with("file:"));
    return;
  }
  const auto within = [](auto value, auto min, auto max) { return value >= min && value <= max; };
  CHECK(within(parsed->reactor.threads, 1u, 64u));
  CHECK(within(parsed->reactor.poll.count(), 0, 1000));
  CHECK(within(parsed->device.open_timeout, seconds(1), seconds(600)));
  CHECK(within(parsed->device.drain_timeout, seconds(1), seconds(600)));
  CHECK(within(parsed->device.command_deadline, seconds(0), seconds(600)));
  CHECK(within(parsed->device.fence_after, seconds(1), seconds(60)));
  CHECK(within(parsed->device.release_after, milliseconds(0), milliseconds(10000)));
  for (const std::string* path :
       {&parsed->paths.lock_file, &parsed->paths.control_socket, &parsed->paths.state_dir})
    CHECK(path->starts_with('/') && path->find('\0') == std::string::npos);
}

}  // namespace tcmurbd::fuzz
