// SPDX-License-Identifier: Apache-2.0
// Where lines go: stderr, or systemd's journal. Both may block; LogQueue keeps callers from that.
#pragma once

#include <sys/uio.h>

#include <functional>
#include <memory>

#include "common/log_line.h"

namespace tcmurbd {

class LogWriter {
 public:
  virtual ~LogWriter() = default;
  // One thread. Throws a std::exception on failure.
  virtual void write(const LogLine& line) = 0;
};

// As text: time, level, text.
std::unique_ptr<LogWriter> stderr_writer();

// With the message's id and the line's fields; see systemd.journal-fields(7).
class JournalWriter : public LogWriter {
 public:
  // As sd_journal_sendv(3). Its entries have a length, so values may have any bytes.
  using Send = std::function<int(const iovec* fields, int count)>;
  JournalWriter();
  explicit JournalWriter(Send send) : send_(std::move(send)) {}
  void write(const LogLine& line) override;

 private:
  const Send send_;
};

}  // namespace tcmurbd
