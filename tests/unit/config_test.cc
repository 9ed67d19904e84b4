// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "config/keys.h"

namespace tcmurbd {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

Config parsed(std::string_view text) {
  auto config = parse_config(text, "test.yaml");
  EXPECT_TRUE(config.has_value()) << config.error();
  return config.value_or(Config{});
}

std::string refusal(std::string_view text) {
  const auto config = parse_config(text, "test.yaml");
  EXPECT_FALSE(config.has_value()) << "accepted: " << text.substr(0, 200);
  return config.has_value() ? "" : config.error();
}

std::string repeated(std::string_view what, size_t bytes) {
  std::string text;
  while (text.size() + what.size() <= bytes) text += what;
  return text;
}

TEST(Config, NothingSaidIsAllDefaults) {
  for (const auto* text : {"", "\n", "# only a comment\n", "---\n", "---\n...\n", "{}", "log:\n",
                           "log: {}\n", "\xef\xbb\xbf", "\xef\xbb\xbflog:\n  burst: 20\n"})
    EXPECT_EQ(parsed(text), Config{}) << text;
}

TEST(Config, EveryKeyReachesItsField) {
  const Config config = parsed(
      "log: {level: warning, burst: 1, per_minute: 10000}\n"
      "paths:\n  lock_file: /a/lock\n  control_socket: \"/a/socket\"\n  state_dir: /a/state\n"
      "reactor:\n  threads: 64\n  poll_us: 1000\n"
      "device:\n  open_timeout_s: 600\n  drain_timeout_s: 1\n  command_deadline_s: 0\n"
      "  fence_after_s: 60\n  release_after_ms: 0\n  reads_need_lock: yes\n"
      "  slow_after_ms: 1\n"
      "metrics:\n  address: '::'\n  port: 65535\n");
  Config expected;
  expected.log = {.level = LogLevel::kWarning, .burst = 1, .per_minute = 10000};
  expected.paths = {.lock_file = "/a/lock", .control_socket = "/a/socket", .state_dir = "/a/state"};
  expected.reactor = {.threads = 64, .poll = microseconds(1000)};
  expected.device = {.open_timeout = seconds(600),
                     .drain_timeout = seconds(1),
                     .command_deadline = seconds(0),
                     .fence_after = seconds(60),
                     .release_after = std::chrono::milliseconds(0),
                     .reads_need_lock = true,
                     .slow_after = std::chrono::milliseconds(1)};
  expected.metrics = {.address = "::", .port = 65535};
  EXPECT_EQ(config, expected);
}

TEST(Config, YesAndNo) {
  EXPECT_TRUE(parsed("device: {reads_need_lock: yes}").device.reads_need_lock);
  EXPECT_FALSE(parsed("device: {reads_need_lock: no}").device.reads_need_lock);
  EXPECT_EQ(refusal("device:\n  reads_need_lock: maybe\n"),
            "test.yaml:2: device.reads_need_lock: 'maybe' is not allowed; expected yes or no");
}

TEST(Config, EveryLogLevel) {
  EXPECT_EQ(parsed("log: {level: debug}").log.level, LogLevel::kDebug);
  EXPECT_EQ(parsed("log: {level: info}").log.level, LogLevel::kInfo);
  EXPECT_EQ(parsed("log: {level: warning}").log.level, LogLevel::kWarning);
  EXPECT_EQ(parsed("log: {level: error}").log.level, LogLevel::kError);
}

TEST(Config, AnAddressIsInNumbers) {
  for (const char* address : {"0.0.0.0", "192.0.2.7", "::1", "fe80::1:2"})
    EXPECT_EQ(parsed("metrics: {address: '" + std::string(address) + "'}").metrics.address,
              address);
  for (const char* address : {"localhost", "1.2.3", "1.2.3.4:80", "[::1]", "1.2.3.4\\0", "' '"})
    EXPECT_THAT(refusal("metrics: {address: \"" + std::string(address) + "\"}"),
                HasSubstr("expected an IPv4 or IPv6 address in numbers"))
        << address;
  EXPECT_THAT(refusal("metrics: {port: 65536}"),
              HasSubstr("expected a whole number from 0 to 65535"));
}

TEST(Config, MessagesNameFileLineKeyAndWhatIsAllowed) {
  EXPECT_EQ(refusal("log:\n  levl: info\n"),
            "test.yaml:2: unknown key 'log.levl'; known: level, burst, per_minute");
  EXPECT_EQ(refusal("\n\nlogs: {}\n"),
            "test.yaml:3: unknown section 'logs'; known: log, paths, reactor, device, metrics");
  EXPECT_EQ(refusal("log:\n  level: loud\n"),
            "test.yaml:2: log.level: 'loud' is not allowed; expected one of debug, info, warning, "
            "error");
  EXPECT_EQ(refusal("reactor:\n  threads: 65\n"),
            "test.yaml:2: reactor.threads: '65' is not allowed; expected a whole number of threads "
            "from 1 to 64");
  EXPECT_EQ(refusal("paths:\n  lock_file: run/lock\n"),
            "test.yaml:2: paths.lock_file: 'run/lock' is not allowed; expected an absolute path "
            "without a '/' at its end, at most 4095 bytes");
}

TEST(Config, NumbersAreWholeDecimalAndInRange) {
  for (const auto* bad : {"0", "65", "-1", "+1", "1.0", "1e1", "0x1", "4294967297", "1 2", "one",
                          "yes", "'1 '", "''", "99999999999999999999"})
    EXPECT_THAT(refusal(std::string("reactor:\n  threads: ") + bad),
                StartsWith("test.yaml:2: reactor.threads: "))
        << bad;
}

TEST(Config, PathsAreAbsoluteFilesAndFit) {
  EXPECT_EQ(
      parsed("paths: {control_socket: /" + std::string(106, 's') + "}").paths.control_socket.size(),
      107U);
  EXPECT_THAT(refusal("paths: {control_socket: /" + std::string(107, 's') + "}"),
              HasSubstr("at most 107 bytes"));
  EXPECT_THAT(refusal("paths: {lock_file: /run/}"), HasSubstr("'/run/' is not allowed"));
  EXPECT_THAT(refusal("paths: {lock_file: \"/run/x\\0.lock\"}"),
              HasSubstr("'/run/x\\x00.lock' is not allowed"));
}

TEST(Config, WrongShapes) {
  EXPECT_THAT(refusal("just text"), HasSubstr("test.yaml:1: the file is not a map of sections"));
  EXPECT_THAT(refusal("- log\n"), HasSubstr("not a map of sections"));
  EXPECT_THAT(refusal("[]"), HasSubstr("not a map of sections"));
  EXPECT_THAT(refusal("log: 3\n"), HasSubstr("section 'log' is not a map of keys"));
  EXPECT_THAT(refusal("log: [level]\n"), HasSubstr("section 'log' is not a map of keys"));
  EXPECT_THAT(refusal("log:\n  level: [info]\n"),
              HasSubstr("log.level takes one value, not a list"));
  EXPECT_THAT(refusal("log:\n  level: {a: b}\n"),
              HasSubstr("log.level takes one value, not a map"));
  EXPECT_THAT(refusal("log:\n  level:\n"), HasSubstr("log.level has no value"));
  EXPECT_THAT(refusal("log:\n  level: ~\n"), HasSubstr("log.level has no value"));
  EXPECT_THAT(refusal("? [a]\n: b\n"), HasSubstr("a list instead of a key's name"));
  EXPECT_THAT(refusal("~: b\n"), HasSubstr("a key without a name"));
  EXPECT_THAT(refusal("log: {}\n---\nlog: {}\n"), HasSubstr("test.yaml:2: a second document"));
}

TEST(Config, NothingTwice) {
  EXPECT_EQ(refusal("log:\n  burst: 5\n  burst: 5\n"), "test.yaml:3: log.burst appears twice");
  EXPECT_EQ(refusal("log:\n  burst: 5\npaths:\nlog:\n"), "test.yaml:4: section log appears twice");
}

TEST(Config, AnchorsAliasesAndMergesAreRefused) {
  const std::string bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]\nlog: *d\n";
  EXPECT_THAT(refusal(bomb), StartsWith("test.yaml:1: unknown section 'a'"));
  EXPECT_THAT(refusal("log: &l\n  burst: 5\n"), HasSubstr("anchors and aliases"));
  EXPECT_THAT(refusal("log:\n  burst: &n 5\n  per_minute: *n\n"),
              HasSubstr("test.yaml:2: anchors"));
  EXPECT_THAT(refusal("log:\n  burst: *n\n"), StartsWith("test.yaml:2: "));
  EXPECT_THAT(refusal("&r\nlog: *r\n"), HasSubstr("anchors and aliases"));
  EXPECT_THAT(refusal("log:\n  <<: {burst: 5}\n"), HasSubstr("unknown key 'log.<<'"));
}

// yaml-cpp parses nesting by recursion.
TEST(Config, DeepNestingIsRefusedInTime) {
  const auto begin = std::chrono::steady_clock::now();
  for (const auto* opener : {"[", "{", "- ", "? ", "[{", "{a: ", "a: [", "!t ", "&a ", "'", "\"",
                             "|\n", "---\n", "a: b: "}) {
    const std::string text = repeated(opener, 60000);
    EXPECT_THAT(refusal(text), StartsWith("test.yaml")) << opener;
    EXPECT_THAT(refusal("log: " + text), StartsWith("test.yaml")) << opener;
    EXPECT_THAT(refusal("log:\n  level: " + text), StartsWith("test.yaml")) << opener;
  }
  std::string ladder;
  for (size_t indent = 0; ladder.size() < 60000; ++indent)
    ladder += std::string(indent, ' ') + "log:\n";
  EXPECT_THAT(refusal(ladder), HasSubstr("unknown key 'log.log'"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(60));
}

TEST(Config, ControlCharactersAreNamedByLine) {
  EXPECT_EQ(refusal("log:\n  burst: 5\n\x04"),
            "test.yaml:3: a control character; the file must be UTF-8 text");
  EXPECT_THAT(refusal(std::string_view("l\0o\0g\0", 6)), HasSubstr("a control character"));
  EXPECT_THAT(refusal("\x7f"
                      "ELF"),
              HasSubstr("a control character"));
  EXPECT_THAT(refusal("log:\n\tburst: 5\n"), StartsWith("test.yaml:"));  // A tab is no indent.
  // yaml-cpp's message names the byte.
  EXPECT_EQ(refusal("log: \"\\\xb5\""), "test.yaml:1: not YAML: 'unknown escape character: \\xb5'");
}

TEST(Config, MessagesArePrintableAndBounded) {
  EXPECT_EQ(refusal("log: {level: \"a\\x01\\e[2J\xff\"}").find('\x1b'), std::string::npos);
  EXPECT_LT(refusal("log: {level: " + std::string(50000, 'x') + "}").size(), 300U);
  EXPECT_LT(refusal(std::string(50000, 'x') + ": 1").size(), 300U);
}

TEST(Config, RandomBytesNeverThrow) {
  const uint32_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::string_view kAlphabet = "{}[]:,-?&*!|>'\"%@` \n\n#~.logburst0\x85\xe2";
  for (int round = 0; round < 3000; ++round) {
    std::string text(random() % 120, '\0');
    const bool any = round % 4 == 0;
    for (char& c : text)
      c = any ? static_cast<char>(random()) : kAlphabet[random() % kAlphabet.size()];
    const auto config = parse_config(text, "r");
    if (config) continue;
    EXPECT_THAT(config.error(), StartsWith("r:")) << text;
  }
}

class ConfigFile : public testing::Test {
 protected:
  void write(std::string_view text) { std::ofstream(path_) << text; }
  void TearDown() override { ::unlink(path_.c_str()); }

  const std::string path_ =
      testing::TempDir() + "tcmu-rbd-config-" + std::to_string(::getpid()) + ".yaml";
};

TEST_F(ConfigFile, IsRead) {
  write("log: {burst: 7}\n");
  EXPECT_EQ(load_config(path_).value().log.burst, 7U);
}

TEST_F(ConfigFile, ErrorsBeginWithItsPath) {
  write("log: {burst: x}\n");
  EXPECT_THAT(load_config(path_).error(), StartsWith(path_ + ":1: log.burst: 'x'"));
}

TEST_F(ConfigFile, MissingDirectoryAndPipe) {
  EXPECT_EQ(load_config(path_).error(), path_ + ": No such file or directory");
  EXPECT_EQ(load_config("/").error(), "/: not a regular file");
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(load_config(path_).error(), path_ + ": not a regular file");
}

TEST_F(ConfigFile, LargerThanTheLimitIsNotRead) {
  std::string comment(kConfigBytesMax, 'x');
  comment.front() = '#';
  comment.back() = '\n';
  write(comment);
  EXPECT_TRUE(load_config(path_).has_value());
  write(comment + "\n");
  EXPECT_EQ(load_config(path_).error(), path_ + ": larger than 65536 bytes");
  write(repeated("[", 10'000'000));
  EXPECT_EQ(load_config(path_).error(), path_ + ": larger than 65536 bytes");
  EXPECT_EQ(refusal(comment + "\n"), "test.yaml: larger than 65536 bytes");
}

// The sample is the keys' documentation, so it must be the defaults and it must be complete.
TEST(SampleConfig, IsTheDefaultsAndHasEveryKey) {
  const auto config = load_config(SAMPLE_CONFIG);
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_EQ(*config, Config{});

  std::ifstream file(SAMPLE_CONFIG);
  std::string section;
  std::string line;
  std::string comment;
  std::vector<std::string> found;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    if (line.starts_with("  #")) {
      comment += line;
    } else if (line.starts_with("  ")) {
      found.push_back(section + "." + line.substr(2, colon - 2));
      EXPECT_GT(comment.size(), 100U) << found.back() << " wants a reason";
      comment.clear();
    } else if (!line.empty() && line[0] != '#') {
      section = line.substr(0, colon);
    }
  }
  std::vector<std::string> known;
  for (const ConfigKey& key : config_keys()) known.push_back(key.full_name());
  EXPECT_EQ(found, known);
}

// The ranges in the comments match those of the keys.
TEST(SampleConfig, NamesEachRange) {
  std::ifstream file(SAMPLE_CONFIG);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const ConfigKey& key : config_keys()) {
    const auto* range = std::get_if<NumberRange>(&key.value);
    if (range == nullptr) continue;
    const size_t at = text.find(std::string("\n  ").append(key.name).append(": "));
    ASSERT_NE(at, std::string::npos);
    const size_t begin = text.rfind("\n\n", at);
    std::ostringstream limits;
    limits << range->min << " to " << range->max;
    EXPECT_THAT(text.substr(begin, at - begin), HasSubstr(limits.str())) << key.full_name();
  }
}

}  // namespace
}  // namespace tcmurbd
