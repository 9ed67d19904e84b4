// SPDX-License-Identifier: Apache-2.0
// Decides whether commands may be submitted to the image, and when to acquire or release the lock
// or to fence the client instance. Adds to the table of lock_state.h: time, requests of peers, and
// the number of ops in librbd. Pure: takes events and time, returns actions and answers. If the
// cluster cannot fence (kStuck), the gate stays open: locked ranges alone keep hung writes in
// order, all other I/O is served, and the fence is retried until it works or all hung writes have
// ended. Hung reads cause a fence only if they use up the 256 ops of an instance or block a
// release, since librbd's release waits for reads too.
//
// Thread: the reactor that owns the LUN.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/units.h"
#include "rbd_handler/lock/fence_cause.h"
#include "rbd_handler/lock/lock_state.h"
#include "rbd_handler/lock/peer_answer.h"

namespace tcmurbd::lock {

// The outcome of an action.
enum class Outcome : uint8_t {
  kAcquired,      // From another gateway.
  kAcquiredFree,  // No other gateway had it.
  kAcquireFailed,
  kAcquireLost,     // This instance is blocklisted.
  kAcquireDemoted,  // The image was demoted and cannot be written here.
  kReleased,
  kReleaseFailed,
  kFenced,
  kFenceFailed,
  kReopened,
  kReopenFailed,  // It is retried automatically.
};

struct PeerReply {
  uint64_t request = 0;
  PeerAnswer answer = PeerAnswer::kNotOwner;
  bool operator==(const PeerReply&) const = default;
};

struct GateSettings {
  // A write that is detached for this long causes a fence, so that a gateway that can reach the OSD
  // can take over. ESXi gives up a VMFS heartbeat after about 8 s.
  Duration fence_after = std::chrono::seconds(5);
  // Each fence for age pauses the whole LUN, and gains less and less while the OSD stays hung. So
  // the limit doubles with each fence, up to sixteenfold, and is reset when there was none for this
  // long.
  Duration fence_calm = std::chrono::minutes(2);
  // After a LUN RESET: the time that aborted writes may take to end before the fence.
  Duration release_after = std::chrono::milliseconds(250);
  // The time that ops in flight may delay a peer. Together with hold_min it is less than the second
  // after which the peer breaks the lock. Fences caused by peers and LUN RESETs are spaced together
  // with those for age: the first is immediate, the next one waits for fence_after, then half as
  // long again each time, up to eightfold. The host at the other gateway waits for as long: less
  // than 20 s in the first minute, with five fences. RADOS gives up hung ops after two minutes;
  // until then there are seven fences, and so many instances may hang (reactor::kInstancesMax).
  Duration drain_patience = std::chrono::milliseconds(700);
  // Limits ping-pong: an owner keeps the lock for at least this long, and a gateway that handed it
  // over waits as long before it requests the lock again. A peer on a slow cluster takes longer to
  // acquire it. So the wait doubles each time the peer did not acquire the lock meanwhile, up to
  // yield_max.
  Duration hold_min = std::chrono::milliseconds(200);
  Duration yield_max = std::chrono::milliseconds(1600);
  // Delay before a failed fence, reopen or acquire is retried.
  Duration fence_retry = std::chrono::seconds(5);
  Duration acquire_retry = std::chrono::milliseconds(300);
  // A release that takes longer is hung, and this instance is fenced. librbd's release waits for
  // its notification that it acquired the lock, which takes 5 s (ImageWatcher, NOTIFY_TIMEOUT)
  // while a dead gateway still watches the image; peers get the answer kWait meanwhile.
  Duration release_patience = std::chrono::seconds(8);
  // Commands wait this long for any other action (acquire, fence, reopen), then they get BUSY until
  // it has ended. Breaking a dead owner's lock takes at most two seconds with healthy monitors.
  Duration action_patience = std::chrono::seconds(5);
  // How long lacks_lock() remembers a failure. Hosts retry after BUSY within seconds.
  Duration failure_memory = std::chrono::seconds(30);
};

// The device's load, as far as the gate needs it.
struct Load {
  uint32_t waiting_changes = 0;   // Waiting at the gate.
  uint32_t in_librbd = 0;         // In librbd: reads and changes, answered or not.
  uint32_t detached_changes = 0;  // Of these, the detached changes.
  Duration oldest_detached{};     // Age of the oldest op whose age can cause a fence.
};

// The gate at one moment, for an operator who asks.
struct GateView {
  State state = State::kUnowned;
  Duration in_state{-1};  // Negative: since the LUN was opened.
  bool refuses = false;   // Waiting and new changes get BUSY.
  bool unsure = false;    // Another gateway may have the lock.
  bool retries = false;   // kFencing is a retry in kStuck: what was served there still is.
  uint32_t peers = 0;     // Gateways that wait for an answer.
  // How long until what comes next, unless ops end before; no value: it does not come.
  std::optional<Duration> fence_in{};
  std::optional<Duration> retry_in{};  // Of the action that failed.
  std::optional<Duration> busy_in{};   // Then waiting commands get BUSY.
};

class Gate {
 public:
  explicit Gate(const GateSettings& settings)
      : settings_(settings), spacing_(settings.fence_after), yield_(settings.hold_min) {}

  // Whether an op may be submitted to the image now. Otherwise it waits, unless refuses().
  bool lets_through(bool changes_image) const;
  // The wait may be long: waiting and new commands get BUSY.
  bool refuses() const { return refuses_; }

  // --- events ---
  // Ignored for a release that a fence has superseded meanwhile.
  void on_outcome(Outcome outcome, TimePoint now);
  // The outcome of an op is unknown.
  void must_fence();
  // An op was refused because the lock was broken.
  void on_lock_gone();
  // This instance is blocklisted, as the result of an op shows, or is not usable any more. Waiting
  // commands, and new ones until the new instance is open, get BUSY.
  void on_lost();
  // This gateway was away: another gateway may have the lock now.
  void on_away();
  void on_peer_asks(uint64_t request);
  // An operator wants the lock released. Unlike a peer it never causes a fence: if ops hang, or do
  // not end in time, the answer is kWait and the lock is kept.
  void on_operator_asks(uint64_t request);
  void on_lun_reset(TimePoint now);

  // Applies time and load. Called after each batch of events.
  void advance(TimePoint now, const Load& load);

  // --- effects ---
  // An action to start now, at most one at a time; its outcome comes back as one of the events
  // above.
  Action take_action();
  // Appends the answers to peers.
  void take_replies(std::vector<PeerReply>& replies);
  // True once after an instance was given up: the results of its ops are irrelevant then.
  bool take_given_up();
  // Why it was.
  FenceCause fence_cause() const { return fence_cause_; }

  State state() const { return state_; }
  // Changes get BUSY since the lock, or a new client instance, cannot be had; for a while after the
  // last attempt too, since the next one is made only for the next change.
  bool lacks_lock(TimePoint now) const;
  GateView view(TimePoint now, const Load& load) const;
  // Whether advance() must be called as time passes.
  bool needs_time() const;

 private:
  // Takes the table's step.
  void apply(Event event);
  // The step of a fence, or of one of its equals.
  void fence(Event event, FenceCause cause);
  // Outcomes, one by one.
  void on_acquired(bool free, TimePoint now);
  void on_acquire_failed(bool lost, TimePoint now);
  void on_released(TimePoint now);
  void on_fence_failed(TimePoint now);
  void on_reopened(TimePoint now);
  void on_reopen_failed(TimePoint now);
  // Answers all peers that wait.
  void answer_all(PeerAnswer answer);
  // Whether the fence under way is a retry in kStuck. Without quorum it takes as long as librados
  // waits for the monitors; what is served in kStuck is served meanwhile.
  bool retries_fence() const { return state_ == State::kFencing && retry_; }
  // Remembers since when the state is what it is.
  void note_state(TimePoint now);
  // What time and load lead to in this state.
  void go_on(TimePoint now, const Load& load);
  // Whether what is detached has to be fenced for its age.
  // REQUIRES: the caller fences if it is so.
  bool too_old(TimePoint now, const Load& load);
  // Whether a fence may be forced now: two gateways whose hosts write to the same hung OSD would
  // else fence each other in turn until neither can open another instance.
  // REQUIRES: the caller fences if it is so.
  bool may_force(TimePoint now);
  // Resets the distance of fences when there was none for a while.
  void calm_down(TimePoint now);
  // Whether there was none for a while.
  bool calm(TimePoint now) const { return now - spaced_ >= settings_.fence_calm; }
  // The next fence for age, or by force, is further away.
  void space_fences(TimePoint now);
  // Somebody wants the lock, and what is under way does not end.
  void fence_or_keep(TimePoint now);
  // Keeps the lock that it was about to release.
  void keep();
  // Bounds how long commands wait for an action.
  void watch_action(TimePoint now);
  // go_on() of kOwned,
  void advance_owned(TimePoint now, const Load& load);
  // and of kDraining.
  void advance_draining(TimePoint now, const Load& load);

  const GateSettings settings_;
  State state_ = State::kUnowned;
  Action action_ = Action::kNone;
  bool refuses_ = false;
  bool given_up_ = false;
  FenceCause fence_cause_{};  // Of the last one.
  bool reset_ = false;        // A LUN RESET requires a release.
  bool retry_ = false;        // Of the last fence: see retries_fence().
  bool retry_reopen_ = false;
  bool unsure_ = false;              // If the fence fails, another gateway may have the lock.
  bool slow_release_ = false;        // Reads no longer wait for the release.
  bool verify_again_ = false;        // This gateway was away during the current acquire.
  std::vector<uint64_t> asking_;     // Requests of peers without an answer yet.
  std::vector<uint64_t> operators_;  // The same of operators.
  std::vector<PeerReply> replies_;
  // The current limit for fences by age, by peers and by LUN RESETs.
  Duration spacing_;
  Duration forced_gap_{};          // The minimum distance of forced fences.
  TimePoint spaced_{};             // The last such fence.
  State timed_ = State::kUnowned;  // The state since `since_`, as of the last advance().
  TimePoint since_{};
  TimePoint owned_since_{};
  TimePoint yield_by_{};    // When draining becomes fencing.
  TimePoint not_before_{};  // Time of the next retry.
  TimePoint failed_at_{};   // The last failed attempt to acquire, if none was successful since.
  Duration yield_;          // After a release for a peer.
  bool yielded_ = false;    // The last release was for a peer.
};

}  // namespace tcmurbd::lock
