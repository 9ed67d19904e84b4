// SPDX-License-Identifier: Apache-2.0
// Replaces a small file as a whole. Any thread; BLOCKS as the file system does.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace tcmurbd {

// A reader, and a machine that loses power, has the old content or the new one; the new one is on
// the disk when this returns. Missing folders are made. An existing file keeps its owner and mode;
// of a symbolic link, the file that it leads to is replaced. Uses PATH.new, so one writer at a
// time. The error is one line with the path.
std::expected<void, std::string> replace_file(const std::string& path, std::string_view text);

}  // namespace tcmurbd
