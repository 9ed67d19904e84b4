// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/daemon/runner_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

namespace tcmurbd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

RunnerFlags parse(std::vector<std::string> arguments) {
  CLI::App app;
  RunnerFlags flags;
  flags.add_to(app);
  std::ranges::reverse(arguments);  // CLI11 takes them from the end.
  app.parse(arguments);
  return flags;
}

TEST(RunnerFlagsTest, TheNameIsTheLastPartOfThePath) {
  EXPECT_TRUE(called_as_runner("tcmu-runner"));
  EXPECT_TRUE(called_as_runner("/usr/bin/tcmu-runner"));
  EXPECT_TRUE(called_as_runner("./tcmu-runner"));
  EXPECT_FALSE(called_as_runner(""));
  EXPECT_FALSE(called_as_runner("/usr/bin/tcmu-rbd"));
  EXPECT_FALSE(called_as_runner("/opt/tcmu-runner/tcmu-rbd"));
  EXPECT_FALSE(called_as_runner("/opt/tcmu-runner/"));
  EXPECT_FALSE(called_as_runner("not-tcmu-runner"));
}

TEST(RunnerFlagsTest, WithoutFlagsNothingChanges) {
  const RunnerFlags flags = parse({});
  Config config;
  flags.apply_to(config);
  EXPECT_EQ(config.log.level, LogLevel::kInfo);
  rlimit files{.rlim_cur = 10, .rlim_max = 20};
  flags.apply_to(files);
  EXPECT_EQ(files.rlim_cur, 10u);
  EXPECT_EQ(files.rlim_max, 20u);
  EXPECT_THAT(flags.without_effect(), IsEmpty());
}

TEST(RunnerFlagsTest, DebugIsAboveTheFile) {
  for (const char* flag : {"-d", "--debug"}) {
    Config config;
    config.log.level = LogLevel::kError;
    parse({flag}).apply_to(config);
    EXPECT_EQ(config.log.level, LogLevel::kDebug) << flag;
  }
}

TEST(RunnerFlagsTest, NofileRaisesTheLimitsAndNeverLowersThem) {
  rlimit files{.rlim_cur = 1024, .rlim_max = 4096};
  parse({"-f", "1000000"}).apply_to(files);
  EXPECT_EQ(files.rlim_cur, 1000000u);
  EXPECT_EQ(files.rlim_max, 1000000u);
  parse({"--nofile=10"}).apply_to(files);
  EXPECT_EQ(files.rlim_cur, 1000000u);
  EXPECT_EQ(files.rlim_max, 1000000u);
}

TEST(RunnerFlagsTest, NofileIsANumber) {
  EXPECT_THROW(parse({"-f", "many"}), CLI::ParseError);
  EXPECT_THROW(parse({"-f", "-1"}), CLI::ParseError);
  EXPECT_THROW(parse({"-f"}), CLI::ParseError);
}

TEST(RunnerFlagsTest, WhatHasNoEffectIsSaid) {
  EXPECT_THAT(parse({"-l", "/var/log"}).without_effect(), ElementsAre(HasSubstr("--tcmu-log-dir")));
  EXPECT_THAT(parse({"--tcmu-log-dir=/var/log", "--handler-path", "/usr/lib64/tcmu-runner"})
                  .without_effect(),
              ElementsAre(HasSubstr("--tcmu-log-dir"), HasSubstr("--handler-path")));
}

}  // namespace
}  // namespace tcmurbd
