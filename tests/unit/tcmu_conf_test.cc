// SPDX-License-Identifier: Apache-2.0
#include "config/tcmu_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tcmurbd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::optional<LogLevel> level_in(std::string_view text) {
  const auto conf = parse_tcmu_conf(text, "tcmu.conf");
  EXPECT_TRUE(conf.has_value()) << conf.error();
  return conf ? conf->level : std::nullopt;
}

std::string refusal(std::string_view text) {
  const auto conf = parse_tcmu_conf(text, "tcmu.conf");
  EXPECT_FALSE(conf.has_value()) << "accepted: " << text;
  return conf ? "" : conf.error();
}

// The result of adding "debug", "(kept)" or the error.
std::string added(std::string_view text) {
  const auto done = add_log_level(text, "x.yaml", LogLevel::kDebug);
  if (!done) return done.error();
  return done->value_or("(kept)");
}

TEST(TcmuConf, MapsEachLevel) {
  const LogLevel expected[] = {LogLevel::kError, LogLevel::kError, LogLevel::kWarning,
                               LogLevel::kInfo,  LogLevel::kDebug, LogLevel::kDebug};
  for (size_t level = 0; level < std::size(expected); ++level)
    EXPECT_EQ(level_in("log_level = " + std::to_string(level)), expected[level]) << level;
}

TEST(TcmuConf, ReadsTheLayoutsThatTcmuRunnerReads) {
  EXPECT_EQ(level_in(""), std::nullopt);
  EXPECT_EQ(level_in("# Logging Controls\n#    0: CRIT\n# log_level = 3\n"), std::nullopt);
  EXPECT_EQ(level_in("\t log_level=4\r\n"), LogLevel::kDebug);
  EXPECT_EQ(level_in("log_level = 4 # as usual"), LogLevel::kDebug);
  EXPECT_EQ(level_in("log_level = 4\nlog_level = 2\n"), LogLevel::kWarning);  // The last one.
}

TEST(TcmuConf, NamesWhatHasNoEffectOnce) {
  const auto conf = parse_tcmu_conf(
      "log_dir = \"/var/log\"\nlog_dir_path = '/x'\nlog_dir = \"/y\"\nulimit = 4\ncolour\n",
      "tcmu.conf");
  ASSERT_TRUE(conf.has_value()) << conf.error();
  EXPECT_THAT(conf->without_effect,
              ElementsAre(StartsWith("tcmu.conf:1: log_dir has no effect: there is no log file"),
                          StartsWith("tcmu.conf:2: log_dir_path has no effect: there is no log"),
                          StartsWith("tcmu.conf:4: ulimit has no effect: the systemd unit"),
                          "tcmu.conf:5: colour has no effect: tcmu-rbd has no such setting"));
  EXPECT_EQ(conf->level, std::nullopt);
}

TEST(TcmuConf, RefusesBadInputWithItsLine) {
  for (const char* value : {"6", "-1", "debug", "\"4\"", "", "4 5", "99999999999999999999"}) {
    const std::string text = std::string("\nlog_level = ") + value + "\n";
    EXPECT_THAT(refusal(text), StartsWith("tcmu.conf:2: log_level: '")) << value;
    EXPECT_THAT(refusal(text), HasSubstr("expected a number from 0 to 5")) << value;
  }
  EXPECT_THAT(refusal("log_level\n"), HasSubstr("expected a number"));
  EXPECT_THAT(refusal("log_level = 3\n[section]\n"), StartsWith("tcmu.conf:2: '[section]' is no"));
  EXPECT_THAT(refusal(std::string("\x7f"
                                  "ELF\0\1",
                                  6)),
              StartsWith("tcmu.conf:1: "));
  EXPECT_THAT(refusal(std::string(kConfigBytesMax + 1, '#')), HasSubstr("larger than"));
}

TEST(AddLogLevel, ToAFileWithoutTheSection) {
  EXPECT_EQ(added(""), "log:\n  level: debug\n");
  EXPECT_EQ(added("# nothing"), "# nothing\nlog:\n  level: debug\n");
  EXPECT_EQ(added("device:\n  fence_after_s: 7  # slow\n"),
            "device:\n  fence_after_s: 7  # slow\nlog:\n  level: debug\n");
}

TEST(AddLogLevel, ToTheSection) {
  EXPECT_EQ(added("log:\n  burst: 7\n"), "log:\n  level: debug\n  burst: 7\n");
  EXPECT_EQ(added("log:  # loud\n\n  # lines\n    burst: 7\n"),
            "log:  # loud\n    level: debug\n\n  # lines\n    burst: 7\n");
  EXPECT_EQ(added("log:\n# level: info\nreactor:\n    threads: 2\n"),
            "log:\n  level: debug\n# level: info\nreactor:\n    threads: 2\n");
  EXPECT_EQ(added("reactor:\n  threads: 2\nlog:"), added("reactor:\n  threads: 2\nlog:\n"));
}

TEST(AddLogLevel, NeverChangesASetting) {
  EXPECT_EQ(added("log:\n  level: error\n"), "(kept)");
  EXPECT_EQ(added("{log: {level: error}}"), "(kept)");
}

TEST(AddLogLevel, RefusesALayoutThatItCannotExtend) {
  for (const char* text : {"{}", "{log: {burst: 7}}", "log: {burst: 7}\n", "\"log\":\n  burst: 7\n",
                           "device:\n  fence_after_s: 7\n...\n"})
    EXPECT_THAT(added(text), HasSubstr("by hand")) << text;
  EXPECT_EQ(added("log:\n  burst: 7\n...\n"), "log:\n  level: debug\n  burst: 7\n...\n");
}

TEST(AddLogLevel, RefusesAnInvalidFile) {
  EXPECT_THAT(added("log:\n  colour: blue\n"), StartsWith("x.yaml:2: unknown key"));
}

}  // namespace
}  // namespace tcmurbd
