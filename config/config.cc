// SPDX-License-Identifier: Apache-2.0
// The only file that uses yaml-cpp. It handles the parser's events without building a tree: the
// file has exactly two levels of maps, so deeper nesting, anchors and aliases are refused at once,
// and the work is bounded by the size of the text.
#include "config/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <cerrno>
#include <cstring>
#include <istream>
#include <set>
#include <spanstream>

#include "common/quote.h"
#include "common/unique_fd.h"
#include "config/keys.h"

namespace tcmurbd {
namespace {

// Ends the parse from within an event. Never leaves this file.
struct Refused {
  int line;  // From 1.
  std::string reason;
};

class Reader final : public YAML::EventHandler {
 public:
  const Config& config() const { return config_; }
  const std::set<std::string>& seen() const { return seen_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0)
      refuse(mark, "a second document; the file must be a single map of sections");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    switch (awaited_) {
      case Awaited::kRoot:  // An empty document, or comments alone: all defaults.
        return;
      case Awaited::kSection:  // "log:" with every key commented out.
        awaited_ = Awaited::kSectionName;
        return;
      case Awaited::kSectionName:
      case Awaited::kKeyName:
        refuse(mark, "a key without a name");
      case Awaited::kValue:
        refuse(mark, fmt::format("{} has no value", key_->full_name()));
    }
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "anchors and aliases are not supported");
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    switch (awaited_) {
      case Awaited::kRoot:
        refuse_root(mark);
      case Awaited::kSectionName:
        return begin_section(mark, value);
      case Awaited::kSection:
        refuse_section(mark);
      case Awaited::kKeyName:
        return begin_key(mark, value);
      case Awaited::kValue:
        return set_value(mark, value);
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    refuse_nesting(mark, "a list");
  }
  void OnSequenceEnd() override {}

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    if (awaited_ == Awaited::kRoot)
      awaited_ = Awaited::kSectionName;
    else if (awaited_ == Awaited::kSection)
      awaited_ = Awaited::kKeyName;
    else
      refuse_nesting(mark, "a map");
  }
  void OnMapEnd() override {
    awaited_ = awaited_ == Awaited::kKeyName ? Awaited::kSectionName : Awaited::kRoot;
  }

 private:
  // The expected next event.
  enum class Awaited { kRoot, kSectionName, kSection, kKeyName, kValue };

  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string reason) {
    throw Refused{mark.line + 1, std::move(reason)};
  }
  [[noreturn]] static void refuse_root(const YAML::Mark& mark) {
    refuse(mark, "the file is not a map of sections; known: " + config_section_names());
  }
  [[noreturn]] void refuse_section(const YAML::Mark& mark) const {
    refuse(mark, fmt::format("section {} is not a map of keys; known: {}", quoted(section_),
                             config_key_names(section_)));
  }
  [[noreturn]] void refuse_nesting(const YAML::Mark& mark, std::string_view what) const {
    switch (awaited_) {
      case Awaited::kRoot:
        refuse_root(mark);
      case Awaited::kSection:
        refuse_section(mark);
      case Awaited::kSectionName:
      case Awaited::kKeyName:
        refuse(mark, fmt::format("{} instead of a key's name", what));
      case Awaited::kValue:
        break;
    }
    refuse(mark, fmt::format("{} takes one value, not {}", key_->full_name(), what));
  }
  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) refuse(mark, "anchors and aliases are not supported");
  }

  void begin_section(const YAML::Mark& mark, const std::string& name) {
    if (config_key_names(name).empty())
      refuse(mark,
             fmt::format("unknown section {}; known: {}", quoted(name), config_section_names()));
    if (!seen_.insert(name).second) refuse(mark, fmt::format("section {} appears twice", name));
    section_ = name;
    awaited_ = Awaited::kSection;
  }

  void begin_key(const YAML::Mark& mark, const std::string& name) {
    key_ = find_config_key(section_, name);
    if (key_ == nullptr)
      refuse(mark, fmt::format("unknown key {}; known: {}", quoted(section_ + "." + name),
                               config_key_names(section_)));
    if (!seen_.insert(key_->full_name()).second)
      refuse(mark, fmt::format("{} appears twice", key_->full_name()));
    awaited_ = Awaited::kValue;
  }

  void set_value(const YAML::Mark& mark, const std::string& value) {
    auto set = set_config_key(config_, *key_, value);
    if (!set) refuse(mark, std::move(set.error()));
    awaited_ = Awaited::kKeyName;
  }

  Config config_;
  Awaited awaited_ = Awaited::kRoot;
  int documents_ = 0;
  std::string section_;
  const ConfigKey* key_ = nullptr;
  std::set<std::string> seen_;  // Sections, and keys by their full names.
};

// Control characters other than line ends and tabs: a binary file, UTF-16, or an 0x04 that the
// scanner would treat as the end of the file. Returns the line, 0 = none.
int line_of_control_character(std::string_view text) {
  int line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f) return line;
  }
  return 0;
}

std::string too_large(std::string_view name) {
  return fmt::format("{}: larger than {} bytes", name, kConfigBytesMax);
}

// Gives all of the text to `reader`.
std::expected<void, std::string> read_with(Reader& reader, std::string_view text,
                                           std::string_view name) {
  if (text.size() > kConfigBytesMax) return std::unexpected(too_large(name));
  if (const int line = line_of_control_character(text); line != 0)
    return std::unexpected(
        fmt::format("{}:{}: a control character; the file must be UTF-8 text", name, line));
  try {
    std::ispanstream stream{std::span<const char>(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(reader)) {
    }
    return {};
  } catch (const Refused& refused) {
    return std::unexpected(fmt::format("{}:{}: {}", name, refused.line, refused.reason));
  } catch (const YAML::Exception& error) {
    // Some of its messages end with a byte of the file.
    return std::unexpected(
        fmt::format("{}:{}: not YAML: {}", name, error.mark.line + 1, quoted(error.msg)));
  } catch (const std::exception& error) {
    return std::unexpected(fmt::format("{}: not YAML: {}", name, quoted(error.what())));
  }
}

}  // namespace

std::expected<Config, std::string> parse_config(std::string_view text, std::string_view name) {
  Reader reader;
  if (auto done = read_with(reader, text, name); !done) return std::unexpected(done.error());
  return reader.config();
}

std::expected<std::set<std::string>, std::string> config_keys_in(std::string_view text,
                                                                 std::string_view name) {
  Reader reader;
  if (auto done = read_with(reader, text, name); !done) return std::unexpected(done.error());
  return reader.seen();
}

std::expected<std::string, std::string> read_config_text(const std::string& path) {
  const auto failed = [&path](int error) {
    return std::unexpected(fmt::format("{}: {}", path, std::strerror(error)));
  };
  // O_NONBLOCK: the open of a named pipe would wait for its writer.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return failed(errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return failed(errno);
  if (!S_ISREG(status.st_mode)) return std::unexpected(path + ": not a regular file");
  if (static_cast<uint64_t>(status.st_size) > kConfigBytesMax)
    return std::unexpected(too_large(path));

  std::string text(kConfigBytesMax + 1,
                   '\0');  // One byte more, so that a file that grows meanwhile is detected.
  size_t bytes = 0;
  while (bytes < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + bytes, text.size() - bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno);
    if (got == 0) break;
    bytes += static_cast<size_t>(got);
  }
  text.resize(bytes);
  return text;
}

std::expected<Config, std::string> load_config(const std::string& path) {
  const auto text = read_config_text(path);
  if (!text) return std::unexpected(text.error());
  return parse_config(*text, path);
}

}  // namespace tcmurbd
