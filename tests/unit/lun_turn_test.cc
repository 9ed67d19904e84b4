// SPDX-License-Identifier: Apache-2.0
// Completions that come on threads of their own, as librbd's do: what the thread that brings one
// may do of the LUN's work, and what it must leave to the reactor.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "tests/unit/lun_fixture.h"

namespace tcmurbd {
namespace {

using std::chrono::milliseconds;
using testing::FakeResult;
using testing::FakeServed;

constexpr uint8_t kBusy = 0x08;

class LunTurnTest : public testing::LunFixture {
 protected:
  // The oldest op ends, on another thread. The loop does not run meanwhile.
  static void finish_elsewhere(FakeServed& image) {
    std::jthread([&image] { image.finish(); }).join();
  }
  // As the kernel at a doorbell.
  std::optional<FakeResult> answer(uint64_t tag) {
    device().kernel().doorbell();
    return device().kernel().take_result(tag);
  }
  void until_pending(const FakeServed& image, size_t ops) {
    until([&] { return image.pending.size() == ops; });
    settle();
  }
  // Whether a read was answered while the loop did not run. A machine that is slow enough makes the
  // reactor look as if it were away, so it has a few attempts.
  bool answers_elsewhere(FakeServed& image) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      const uint64_t tag = device().read(1);
      until_pending(image, 1);
      finish_elsewhere(image);
      const auto at_once = answer(tag);
      if (at_once) return at_once->status == 0;
      result(tag);
    }
    return false;
  }
  // A write in the image and one that waits for it.
  uint64_t queue_two_writes(FakeServed& image) {
    device().write(5);
    until_pending(image, 1);
    const uint64_t second = device().write(5);
    until([&] { return status().commands_open == 2; });
    return second;
  }
  // The loop does not run for so long. No wait for an event: this time itself is the test's input.
  static void stand_still(milliseconds duration) { std::this_thread::sleep_for(duration); }
};

TEST_F(LunTurnTest, TheThreadThatBringsACompletionAnswersTheKernel) {
  FakeServed& image = serve();
  EXPECT_TRUE(answers_elsewhere(image));
}

TEST_F(LunTurnTest, WithManyCommandsOpenTheReactorAnswers) {
  FakeServed& image = serve();
  const uint64_t first = device().read(1);
  for (uint8_t lba = 2; lba < 10; ++lba) device().read(lba);
  until_pending(image, 9);
  finish_elsewhere(image);
  EXPECT_FALSE(answer(first)) << "one doorbell for each op";
  EXPECT_EQ(result(first).status, 0);
}

TEST_F(LunTurnTest, AChangeThatWaitedBeginsWhenTheReactorIsThere) {
  FakeServed& image = serve();
  const uint64_t second = queue_two_writes(image);
  finish_elsewhere(image);
  until_pending(image, 1);
  image.finish();
  EXPECT_EQ(result(second).status, 0);
}

TEST_F(LunTurnTest, AfterTheReactorWasAwayNoChangeBeginsElsewhere) {
  device().set_file("attrib/cmd_time_out", "1\n");  // Away after a third of it.
  FakeServed& image = serve();
  const uint64_t second = queue_two_writes(image);
  stand_still(milliseconds(450));
  finish_elsewhere(image);
  EXPECT_TRUE(image.pending.empty()) << "the kernel may have given it up";
  EXPECT_EQ(result(second).status, kBusy);
  EXPECT_TRUE(image.pending.empty());
}

TEST_F(LunTurnTest, AnOpThatEndsWithinSubmitIsAnswered) {
  FakeServed& image = serve();
  image.on_submit = [&image](OpToken token) { image.end(token); };
  EXPECT_EQ(result(device().read(1)).status, 0);
  EXPECT_EQ(result(device().write(1)).status, 0);
}

TEST_F(LunTurnTest, AnOpThatBeginsAndEndsWithinATurnElsewhereIsAnswered) {
  FakeServed& image = serve();
  const uint64_t second = queue_two_writes(image);
  image.on_submit = [&image](OpToken token) { image.end(token); };
  finish_elsewhere(image);
  EXPECT_EQ(result(second).status, 0);
}

TEST_F(LunTurnTest, ABufferThatWasKeptIsFreedByTheReactor) {
  FakeServed& image = serve();
  const uint64_t tag = device().read(3);
  until_pending(image, 1);
  device().kernel().abort(tag);
  device().wake();
  EXPECT_EQ(result(tag).how, FakeResult::How::kAborted);
  finish_elsewhere(image);
  EXPECT_TRUE(device().file("action/free_kept_buf").starts_with('0'));
  until([&] { return device().file("action/free_kept_buf").starts_with('1'); });
}

TEST_F(LunTurnTest, ARingThatWasResetIsFoundAndMended) {
  FakeServed& image = serve();
  device().read(3);
  until_pending(image, 1);
  device().kernel().reset_ring();
  finish_elsewhere(image);
  until([&] { return device().was_reset() && !device().blocked(); });
  serves_a_write();
}

TEST_F(LunTurnTest, TheLastOpOfADeviceThatIsRemovedEndsOnTheReactor) {
  FakeServed& image = serve();
  device().read(3);
  until_pending(image, 1);
  const Status removed = remove();
  settle();
  finish_elsewhere(image);
  EXPECT_EQ(ceph_->images_open(), 1U);
  ends(removed, 0);
}

// Ends ops on a thread of its own, in the order in which they came.
class Finisher {
 public:
  explicit Finisher(FakeServed& image)
      : image_(image), thread_([this](const std::stop_token& stop) { run(stop); }) {}

  void add(OpToken token) {
    const std::lock_guard lock(mutex_);
    tokens_.push_back(token);
    arrived_.notify_one();
  }

 private:
  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (arrived_.wait(lock, stop, [this] { return !tokens_.empty(); })) {
      const OpToken token = tokens_.front();
      tokens_.pop_front();
      lock.unlock();
      image_.end(token);
      lock.lock();
    }
  }

  FakeServed& image_;
  std::mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<OpToken> tokens_;
  std::jthread thread_;
};

// Reactor and two threads of librbd take turns; TSan looks on. Writes of the same block wait for
// each other, so ops begin on all three.
TEST_F(LunTurnTest, EveryCommandIsAnsweredOnceWhoeverHasTheTurn) {
  FakeServed& image = serve();
  std::array<std::unique_ptr<Finisher>, 2> threads{std::make_unique<Finisher>(image),
                                                   std::make_unique<Finisher>(image)};
  image.on_submit = [&](OpToken token) { threads[token % 2]->add(token); };
  std::minstd_rand random(12);
  std::map<uint64_t, FakeResult> results;
  size_t queued = 0;
  size_t open = 0;
  const auto take = [&] {
    auto more = device().kernel().take_results();
    open -= more.size();
    results.merge(more);
    EXPECT_TRUE(more.empty()) << "answered twice";
  };
  while (queued < 4000) {
    const size_t depth = 1 + random() % 6;
    for (; open < depth; ++open, ++queued) {
      const auto lba = static_cast<uint8_t>(random() % 3);
      random() % 2 == 0 ? device().write(lba) : device().read(lba);
    }
    until([&] { return take(), open < depth; });
  }
  until([&] { return take(), open == 0; });
  EXPECT_EQ(results.size(), queued);
  for (const auto& [tag, result] : results) EXPECT_EQ(result.status, 0);
  ends(remove(), 0);  // Before the threads: they use the image.
}

}  // namespace
}  // namespace tcmurbd
