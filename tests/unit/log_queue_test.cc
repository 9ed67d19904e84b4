// SPDX-License-Identifier: Apache-2.0
#include "common/log_queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <latch>
#include <string>
#include <vector>

#include "common/unique_fd.h"

namespace tcmurbd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr LogMessage kLine{"", spdlog::level::info, "{}", "", ""};
constexpr LogMessage kLost{"", spdlog::level::warn, "{} lines lost", "", ""};

// Writes each line to a descriptor, as for stderr, and blocks without a reader.
class PipeWriter : public LogWriter {
 public:
  explicit PipeWriter(int fd) : fd_(fd) {}
  void wait_until_entered() const { entered_.wait(); }
  void write(const LogLine& line) override {
    entered_.count_down(entered_.try_wait() ? 0 : 1);
    const std::string text = line.text + "\n";
    if (::write(fd_, text.data(), text.size()) < 0) throw std::runtime_error("write");
  }

 private:
  const int fd_;
  std::latch entered_{1};
};

LogLine line_of(const std::string& text) {
  return {&kLine, std::chrono::system_clock::now(), text, {}};
}

class LogQueueTest : public ::testing::Test {
 protected:
  LogQueueTest() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    read_end_ = UniqueFd(ends[0]);
    write_end_ = UniqueFd(ends[1]);
  }
  static void log(LogQueue& queue, const std::string& line) { queue.push(line_of(line)); }
  // The capacity of the pipe.
  void fill_pipe() {
    const int capacity = fcntl(write_end_.get(), F_GETPIPE_SZ);
    const std::string text(static_cast<size_t>(capacity) - 1, '.');
    ASSERT_EQ(write(write_end_.get(), text.data(), text.size()), capacity - 1);
    ASSERT_EQ(write(write_end_.get(), "\n", 1), 1);
  }
  // The next `count` lines that are written.
  std::vector<std::string> read_lines(size_t count) {
    std::vector<std::string> lines;
    for (std::string line; lines.size() < count;) {
      char c = 0;
      if (read(read_end_.get(), &c, 1) != 1) break;
      if (c != '\n') {
        line += c;
        continue;
      }
      lines.push_back(std::exchange(line, {}));
    }
    return lines;
  }

  UniqueFd read_end_;
  UniqueFd write_end_;
};

TEST_F(LogQueueTest, WritesAllInOrder) {
  LogQueue queue(std::make_shared<PipeWriter>(write_end_.get()), kLost);
  for (int i = 0; i < 100; ++i) log(queue, std::to_string(i));
  EXPECT_TRUE(queue.drain(seconds(60)));
  const auto lines = read_lines(100);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(lines[i], std::to_string(i));
}

// It would not come back from log() if it waited for the pipe.
TEST_F(LogQueueTest, AFullPipeHoldsUpNobodyAndWhatIsLostIsCounted) {
  fill_pipe();
  const auto writer = std::make_shared<PipeWriter>(write_end_.get());
  LogQueue queue(writer, kLost);
  log(queue, "stuck");
  writer->wait_until_entered();
  for (size_t i = 0; i < LogQueue::kLinesMax + 10; ++i) log(queue, std::to_string(i));
  EXPECT_FALSE(queue.drain(milliseconds(1)));

  EXPECT_EQ(read_lines(1).at(0).front(), '.');
  EXPECT_THAT(read_lines(3), ElementsAre("stuck", "10 lines lost", "10"));
  read_lines(LogQueue::kLinesMax - 1);
  EXPECT_TRUE(queue.drain(seconds(60)));
}

TEST_F(LogQueueTest, EndsWithAPipeThatIsStuck) {
  fill_pipe();
  {
    LogQueue queue(std::make_shared<PipeWriter>(write_end_.get()), kLost);
    log(queue, "stuck");
  }
  EXPECT_EQ(read_lines(1).at(0).front(), '.');
  EXPECT_THAT(read_lines(1), ElementsAre("stuck"));
}

TEST_F(LogQueueTest, AsksForMoreLinesByItself) {
  LogQueue queue(
      std::make_shared<PipeWriter>(write_end_.get()), kLost,
      [] { return std::vector{line_of("more")}; }, milliseconds(1));
  EXPECT_THAT(read_lines(2), ElementsAre("more", "more"));
}

}  // namespace
}  // namespace tcmurbd
