// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/kernel/small_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include "common/quote.h"
#include "common/unique_fd.h"

namespace tcmurbd::kernel {

std::string errno_text(std::string_view what, int error) {
  return fmt::format("{}: {}", what, std::generic_category().message(error));
}

std::string below(const std::string& root, std::string_view path) {
  const std::string_view base = root.ends_with('/')
                                    ? std::string_view(root).substr(0, root.size() - 1)
                                    : std::string_view(root);
  return fmt::format("{}{}", base, path);
}

std::expected<std::string, FileError> read_small_file_or_errno(const std::string& path) {
  const auto failed = [&path](int error) {
    return std::unexpected(FileError{error, errno_text(path, error)});
  };
  // Nonblocking: a pipe or a device in its place would block.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return failed(errno);
  std::array<char, kSmallFileBytesMax + 1> buffer;
  size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t got = ::read(fd.get(), buffer.data() + filled, buffer.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  if (filled > kSmallFileBytesMax) {
    return std::unexpected(
        FileError{EFBIG, fmt::format("{}: more than {} bytes", path, kSmallFileBytesMax)});
  }
  std::string content(buffer.data(), filled);
  if (content.ends_with('\n')) content.pop_back();
  return content;
}

std::expected<std::string, std::string> read_small_file(const std::string& path) {
  auto content = read_small_file_or_errno(path);
  if (!content) return std::unexpected(std::move(content.error().text));
  return std::move(*content);
}

std::expected<void, std::string> write_small_file(const std::string& path,
                                                  std::string_view content) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return std::unexpected(errno_text(path, errno));
  const ssize_t put = ::write(fd.get(), content.data(), content.size());
  if (put < 0) {
    return std::unexpected(errno_text(fmt::format("writing '{}' to {}", content, path), errno));
  }
  if (static_cast<size_t>(put) != content.size()) {
    return std::unexpected(fmt::format("{} took {} bytes of '{}'", path, put, content));
  }
  return {};
}

std::expected<int64_t, std::string> parse_number(std::string_view text, std::string_view what) {
  const bool hex = text.starts_with("0x");
  const std::string_view digits = hex ? text.substr(2) : text;
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return std::unexpected(fmt::format("{}: {} is not a number", what, quoted(text)));
  }
  return value;
}

}  // namespace tcmurbd::kernel
