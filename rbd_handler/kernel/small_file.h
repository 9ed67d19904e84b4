// SPDX-License-Identifier: Apache-2.0
// Files of sysfs and configfs: one value each, read and written by one system call. Any thread.
// Errors are one line that names the file and the reason.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace tcmurbd::kernel {

// sysfs and configfs files have at most one page.
inline constexpr size_t kSmallFileBytesMax = 4096;

// The content without its trailing newline. More than kSmallFileBytesMax is an error.
std::expected<std::string, std::string> read_small_file(const std::string& path);

// The same, with the errno: EFBIG for more than kSmallFileBytesMax.
struct FileError {
  int error = 0;
  std::string text;
};
std::expected<std::string, FileError> read_small_file_or_errno(const std::string& path);

// Writes all of `content` at once to a file that exists.
std::expected<void, std::string> write_small_file(const std::string& path,
                                                  std::string_view content);

// The whole of `text` as a number, decimal or with 0x. `what` begins the message.
std::expected<int64_t, std::string> parse_number(std::string_view text, std::string_view what);

// "what: why" for an errno.
std::string errno_text(std::string_view what, int error);

// root + "/sys/...", joined with one slash.
std::string below(const std::string& root, std::string_view path);

}  // namespace tcmurbd::kernel
