// SPDX-License-Identifier: Apache-2.0
// What is logged: messages, what a line is about, and lines. Plain values.
#pragma once

#include <spdlog/common.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace tcmurbd {

// A message with its documentation, a constant; rbd_handler/messages/ has those of the daemon.
struct LogMessage {
  std::string_view id;  // MESSAGE_ID in the journal: 32 hexadecimal digits, `systemd-id128 new`.
  spdlog::level::level_enum level;
  std::string_view text;     // For fmt::format.
  std::string_view meaning;  // For an operator, as is the next; Markdown.
  std::string_view action;   // What to do; empty: nothing.
  // There may be thousands at once, one for each command: see LogLimiter.
  bool of_command = false;
};

// What a line is about: fields of the journal, of the same names in upper case. Empty: of none.
struct LogFields {
  std::string lun{};    // As for tcmu-rbdctl: user_0/disk1.
  std::string image{};  // pool/namespace/image@snapshot
  std::string object{};
  std::string pg{};
  std::vector<int> osds{};       // OSDS appears once for each.
  std::string initiator_task{};  // The id of the command in TCMU's ring, which is all it has of it.
};

struct LogLine {
  const LogMessage* message = nullptr;
  std::chrono::system_clock::time_point time;
  std::string text;  // Any bytes.
  LogFields fields{};
};

}  // namespace tcmurbd
