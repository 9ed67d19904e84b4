// SPDX-License-Identifier: Apache-2.0
#include "common/log_writer.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <syslog.h>
// The file and the line of this call would be those of each message.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <cerrno>
#include <system_error>
#include <vector>

namespace tcmurbd {
namespace {

class StderrWriter : public LogWriter {
 public:
  StderrWriter() { sink_.set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v"); }
  void write(const LogLine& line) override {
    sink_.log(spdlog::details::log_msg(line.time, {}, "", line.message->level, line.text));
    sink_.flush();
  }

 private:
  spdlog::sinks::stderr_sink_st sink_;
};

int priority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug:
      return LOG_DEBUG;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::err:
      return LOG_ERR;
    default:
      return LOG_INFO;
  }
}

}  // namespace

std::unique_ptr<LogWriter> stderr_writer() { return std::make_unique<StderrWriter>(); }

JournalWriter::JournalWriter() : JournalWriter(sd_journal_sendv) {}

void JournalWriter::write(const LogLine& line) {
  std::vector<std::string> fields;
  const auto add = [&fields](std::string_view name, std::string_view value) {
    if (!value.empty()) fields.push_back(fmt::format("{}={}", name, value));
  };
  add("MESSAGE", line.text);
  add("PRIORITY", std::to_string(priority(line.message->level)));
  add("SYSLOG_IDENTIFIER", "tcmu-rbd");
  add("MESSAGE_ID", line.message->id);
  add("LUN", line.fields.lun);
  add("IMAGE", line.fields.image);
  add("OBJECT", line.fields.object);
  add("PG", line.fields.pg);
  for (const int osd : line.fields.osds) add("OSDS", std::to_string(osd));
  add("INITIATOR_TASK", line.fields.initiator_task);
  std::vector<iovec> parts;
  parts.reserve(fields.size());
  for (std::string& field : fields) parts.push_back({field.data(), field.size()});
  if (const int error = send_(parts.data(), static_cast<int>(parts.size())); error < 0)
    throw std::system_error(-error, std::generic_category(), "the journal");
}

}  // namespace tcmurbd
