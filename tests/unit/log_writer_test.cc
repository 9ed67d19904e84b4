// SPDX-License-Identifier: Apache-2.0
// journal_test.py runs JournalWriter.SendsLines within reach of a real journal.
#include "common/log_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <system_error>
#include <vector>

namespace tcmurbd {
namespace {

using ::testing::ElementsAre;

constexpr LogMessage kMessage{"0123456789abcdef0123456789abcdef", spdlog::level::warn, "{}", "",
                              ""};

LogLine line_of(std::string text, LogFields fields) {
  return {&kMessage, {}, std::move(text), std::move(fields)};
}

// Values that come from outside: an image's name may have any bytes.
const LogLine kHostile =
    line_of("two\nlines", {.lun = "user_0/disk", .image = std::string("rbd/a\nLUN=other\0b", 17)});
const LogLine kFull = line_of("hung", {.lun = "user_0/disk",
                                       .image = "rbd/image",
                                       .object = "rbd_data.1.0",
                                       .pg = "1.2f",
                                       .osds = {2, 0},
                                       .initiator_task = "7"});

class Sent {
 public:
  JournalWriter writer(int result = 0) {
    return JournalWriter([this, result](const iovec* fields, int count) {
      for (int i = 0; i < count; ++i)
        fields_.emplace_back(static_cast<const char*>(fields[i].iov_base), fields[i].iov_len);
      return result;
    });
  }
  const std::vector<std::string>& fields() const { return fields_; }

 private:
  std::vector<std::string> fields_;
};

TEST(JournalWriter, SendsEachFieldThatIsThere) {
  Sent sent;
  sent.writer().write(kFull);
  EXPECT_THAT(sent.fields(),
              ElementsAre("MESSAGE=hung", "PRIORITY=4", "SYSLOG_IDENTIFIER=tcmu-rbd",
                          "MESSAGE_ID=0123456789abcdef0123456789abcdef", "LUN=user_0/disk",
                          "IMAGE=rbd/image", "OBJECT=rbd_data.1.0", "PG=1.2f", "OSDS=2", "OSDS=0",
                          "INITIATOR_TASK=7"));
}

TEST(JournalWriter, KeepsAValueInItsField) {
  Sent sent;
  sent.writer().write(kHostile);
  EXPECT_THAT(sent.fields(),
              ElementsAre("MESSAGE=two\nlines", "PRIORITY=4", "SYSLOG_IDENTIFIER=tcmu-rbd",
                          "MESSAGE_ID=0123456789abcdef0123456789abcdef", "LUN=user_0/disk",
                          std::string("IMAGE=rbd/a\nLUN=other\0b", 23)));
}

TEST(JournalWriter, ThrowsIfTheJournalRefuses) {
  Sent sent;
  EXPECT_THROW(sent.writer(-E2BIG).write(kFull), std::system_error);
}

TEST(JournalWriter, SendsLines) {
  JournalWriter writer;
  writer.write(kFull);
  writer.write(kHostile);
}

}  // namespace
}  // namespace tcmurbd
