// SPDX-License-Identifier: Apache-2.0
// Decides whether commands may go to the image now, and when the lock is taken, given up or the
// client instance fenced. It wraps the table of lock_state.h with what the table does not know:
// time, the peers that ask, and how much is still with librbd. Pure: events and time come in, jobs
// and answers are taken out.
//
// Thread: the reactor that owns the LUN.
#pragma once

#include <cstdint>
#include <vector>

#include "common/units.h"
#include "rbd_handler/lock/lock_state.h"
#include "rbd_handler/lock/peer_answer.h"

namespace tcmurbd::lock {

// What a job came to.
enum class Outcome : uint8_t {
  kAcquired,
  kAcquireFailed,
  kAcquireLost,     // This instance is blocklisted.
  kAcquireDemoted,  // The image can't be written here: it was demoted.
  kReleased,
  kReleaseFailed,
  kFenced,
  kFenceFailed,
  kReopened,
  kReopenFailed,  // It is tried again by itself.
};

struct PeerReply {
  uint64_t request = 0;
  PeerAnswer answer = PeerAnswer::kNotOwner;
  bool operator==(const PeerReply&) const = default;
};

struct GateSettings {
  // A detached write that has not ended after this long has its instance fenced, so that a gateway
  // that sees the OSD can take over. ESXi gives a VMFS heartbeat up after about 8 s.
  Duration fence_after = std::chrono::seconds(5);
  // Each fence for age makes the whole LUN pause, and with an OSD that hangs on it brings less and
  // less: the limit doubles each time, up to sixteenfold, until there was none for this long.
  Duration fence_calm = std::chrono::minutes(2);
  // After a LUN RESET: how long what was aborted may take to end by itself before it is fenced.
  Duration release_after = std::chrono::milliseconds(250);
  // How long ops under way may keep a peer waiting. With hold_min below the second after which it
  // breaks the lock. Fences that peers and LUN RESETs force are spaced with those for age: the
  // first comes at once, the next not before fence_after, then twice that, ..., eightfold.
  Duration drain_patience = std::chrono::milliseconds(700);
  // Damps ping-pong: an owner keeps the lock for at least this long, and a gateway that has handed
  // it over lets the taker have it for a while before it asks again.
  Duration hold_min = std::chrono::milliseconds(200);
  // Between attempts to fence or reopen after a failure, and to acquire.
  Duration fence_retry = std::chrono::seconds(5);
  Duration acquire_retry = std::chrono::milliseconds(300);
  // Then a release hangs and this instance is fenced. librbd's release waits for its notification
  // of having acquired the lock, which takes 5 s (ImageWatcher, NOTIFY_TIMEOUT) while a gateway
  // that died still watches the image; peers are told to wait meanwhile.
  Duration release_patience = std::chrono::seconds(8);
  // Commands wait this long for any other job (acquire, fence, reopen); then they get BUSY until it
  // has ended. Breaking a dead owner's lock takes two seconds at the most when the monitors are
  // well.
  Duration job_patience = std::chrono::seconds(5);
};

// What the device has under way, as the gate needs to know it.
struct Load {
  uint32_t waiting_changes = 0;   // Parked at the gate.
  uint32_t in_librbd = 0;         // With librbd: reads and changes, answered or not.
  uint32_t detached_changes = 0;  // Of these, the changes that were answered.
  Duration oldest_detached{};     // Age of what should be fenced when it gets too old.
};

class Gate {
 public:
  explicit Gate(const GateSettings& settings)
      : settings_(settings), spacing_(settings.fence_after) {}

  // Whether an op may be given to the image now. What may not waits; see refuses().
  bool lets_through(bool changes_image) const;
  // The wait has no foreseeable end: who waits, and who comes, gets BUSY.
  bool refuses() const { return refuses_; }

  // --- events ---
  // Of a release nothing, if it was overtaken while its outcome was on its way.
  void on_outcome(Outcome outcome, TimePoint now);
  // An op's outcome is not known.
  void must_fence();
  // An op was refused for want of the lock: somebody has broken it.
  void on_lock_gone();
  // This instance is blocklisted, as an op's result tells, or is of no use any more. Who waits, and
  // who comes before the fresh instance is open, gets BUSY.
  void on_lost();
  // This gateway was away: the lock may be somebody else's by now.
  void on_away();
  void on_peer_asks(uint64_t request);
  void on_lun_reset(TimePoint now);

  // Lets time and load have their effect. Called after each batch of events.
  void advance(TimePoint now, const Load& load);

  // --- effects ---
  // A job to start now, at most one at a time; its outcome comes back as one of the events above.
  Job take_job();
  // Appends what peers are to be told.
  void take_replies(std::vector<PeerReply>& replies);
  // True once after each time that an instance was given up: nothing of its ops matters any more.
  bool take_given_up();

  State state() const { return state_; }
  // Whether advance() has something to do as time passes.
  bool needs_time() const;

 private:
  // Takes the table's step.
  void apply(Event event);
  // Outcomes, one by one.
  void on_acquired(TimePoint now);
  void on_acquire_failed(bool lost, TimePoint now);
  void on_released(TimePoint now);
  void on_fence_failed(TimePoint now);
  void on_reopened(TimePoint now);
  void on_reopen_failed(TimePoint now);
  // Tells all peers that wait.
  void answer_all(PeerAnswer answer);
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
  // The next fence for age, or by force, is further away.
  void space_fences(TimePoint now);
  // Somebody wants the lock, and what is under way does not end.
  void fence_or_keep(TimePoint now);
  // Bounds how long commands wait for a job.
  void watch_job(TimePoint now);
  // go_on() of kOwned,
  void advance_owned(TimePoint now, const Load& load);
  // and of kDraining.
  void advance_draining(TimePoint now, const Load& load);

  const GateSettings settings_;
  State state_ = State::kUnowned;
  Job job_ = Job::kNone;
  bool refuses_ = false;
  bool given_up_ = false;
  bool reset_ = false;  // A LUN RESET wants the lock given up.
  bool retry_reopen_ = false;
  bool unsure_ = false;           // If the fence is refused: is the lock still ours?
  bool slow_release_ = false;     // Reads wait for it no longer.
  bool verify_again_ = false;     // It was away since the acquire under way began.
  std::vector<uint64_t> asking_;  // Peers' requests that are not answered yet.
  std::vector<PeerReply> replies_;
  // Fences for age, and those that peers and LUN RESETs force: how old an op may get now.
  Duration spacing_;
  TimePoint spaced_{};             // The last such fence.
  State timed_ = State::kUnowned;  // The state that began at `since_`, as last advanced.
  TimePoint since_{};
  TimePoint owned_since_{};
  TimePoint yield_by_{};    // When draining turns into fencing.
  TimePoint not_before_{};  // Of the next attempt at what is tried again.
};

}  // namespace tcmurbd::lock
