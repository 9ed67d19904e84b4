// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "common/log_queue.h"
#include "common/log_writer.h"

namespace tcmurbd {
namespace {

std::atomic<LogLimiter::Limits> limits_now{LogLimiter::Limits{}};
std::atomic<spdlog::level::level_enum> level_now{spdlog::level::info};

// Never destroyed: a line may come from a thread that is left at exit.
LogLimiter& limiter() {
  static auto* const one = new LogLimiter;
  return *one;
}

// Set by start(), never destroyed either.
std::atomic<LogQueue*> queue_now{nullptr};

// JOURNAL_STREAM has the device and inode of the stream that systemd made (systemd.exec(5)); stderr
// may have been redirected since.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st{};
  if (stream == nullptr || fstat(STDERR_FILENO, &st) != 0) return false;
  return fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

std::vector<LogLine> summaries(const std::vector<LogLimiter::Suppressed>& all) {
  std::vector<LogLine> lines;
  lines.reserve(all.size());
  for (const auto& each : all) lines.push_back(summary(each));
  return lines;
}

std::vector<LogLine> due_summaries() {
  return summaries(limiter().take_due(std::chrono::steady_clock::now(), limits_now.load()));
}

std::string prefix_of(const LogTag& tag) { return tag.prefix.empty() ? "" : tag.prefix + ": "; }

}  // namespace

std::string outline(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const char c = text.front();
    if (text.starts_with("{{") || text.starts_with("}}")) {
      out += c;
      text.remove_prefix(2);
    } else if (c == '{') {
      if (!out.ends_with("...")) out += "...";
      text.remove_prefix(std::min(text.find('}'), text.size() - 1) + 1);
    } else {
      out += c;
      text.remove_prefix(1);
    }
  }
  return out;
}

LogLine summary(const LogLimiter::Suppressed& suppressed) {
  return {suppressed.message, std::chrono::system_clock::now(),
          fmt::format("{}{} similar lines suppressed: {}", prefix_of(suppressed.tag),
                      suppressed.lines, outline(suppressed.message->text)),
          suppressed.tag.fields};
}

void Log::start(const LogMessage& lost, std::shared_ptr<LogWriter> writer) {
  if (!writer && stderr_is_journal()) writer = std::make_shared<JournalWriter>();
  if (!writer) writer = stderr_writer();
  queue_now = new LogQueue(std::move(writer), lost, due_summaries);
}

void Log::drain(std::chrono::milliseconds patience) {
  LogQueue* const queue = queue_now.load();
  if (queue == nullptr) return;
  for (LogLine& line : summaries(limiter().take_all())) queue->push(std::move(line));
  queue->drain(patience);
}

void Log::set_level(spdlog::level::level_enum level) { level_now = level; }

void Log::set_limits(LogLimiter::Limits limits) { limits_now = limits; }

bool Log::shown(const LogMessage& message) { return message.level >= level_now.load(); }

int64_t Log::admit(const LogMessage& message) const {
  return limiter().admit(message, tag_, std::chrono::steady_clock::now(), limits_now.load());
}

void Log::emit(const LogMessage& message, LogFields fields, std::string text,
               int64_t left_out) const {
  if (fields.lun.empty()) fields.lun = tag_.fields.lun;
  if (fields.image.empty()) fields.image = tag_.fields.image;
  text = prefix_of(tag_) + text;
  if (left_out > 0) text += fmt::format(" ({} similar lines suppressed)", left_out);
  LogLine line{&message, std::chrono::system_clock::now(), std::move(text), std::move(fields)};
  if (LogQueue* const queue = queue_now.load()) {
    queue->push(std::move(line));
  } else {
    stderr_writer()->write(line);
  }
}

}  // namespace tcmurbd
