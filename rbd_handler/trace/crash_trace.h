// SPDX-License-Identifier: Apache-2.0
// The flight recorders in the file that a crash of the daemon leaves (common/crash_dump.h).
// Pure, any thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "rbd_handler/trace/lun_trace.h"

namespace tcmurbd {

struct CrashTrace {
  std::string program;  // "tcmu-rbd 1.0.0".
  std::string reason;   // "SIGSEGV", "device.cc:7: CHECK failed: ...".
  std::chrono::system_clock::time_point wall{};
  std::vector<LunTrace> luns{};
};

bool is_crash_file(std::string_view bytes);
// Takes any bytes; the error is one line. Events that make no sense are left out.
std::expected<CrashTrace, std::string> read_crash(std::string_view bytes);
// As trace_json(), with {"crash": {"time", "program", "reason"}}.
std::string crash_json(const CrashTrace& crash);

}  // namespace tcmurbd
