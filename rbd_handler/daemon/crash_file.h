// SPDX-License-Identifier: Apache-2.0
// The file in paths.state_dir that a crash of this daemon is written to (common/crash_dump.h), and
// those of its predecessors. One daemon at a time.
#pragma once

#include <expected>
#include <string>

#include "common/unique_fd.h"

namespace tcmurbd {

// Crashes that are kept.
inline constexpr size_t kCrashFilesMax = 4;

struct CrashFile {
  UniqueFd fd;       // Empty.
  std::string path;  // To be removed at a clean end.
  // If the last daemon crashed: where its file is now, as STATE_DIR/crash-TIME.trace, and why.
  std::string kept{};
  std::string reason{};
};

// Makes the folder if it is missing. The error is one line with the path.
std::expected<CrashFile, std::string> prepare_crash_file(const std::string& state_dir);

}  // namespace tcmurbd
