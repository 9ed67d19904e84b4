// SPDX-License-Identifier: Apache-2.0 The effects of a Device's events, in their order: what the
// reactor and the control thread must do. Plain values.
#pragma once

#include <cstdint>
#include <variant>

#include "rbd_handler/device/device_report.h"
#include "rbd_handler/lock/gate.h"
#include "rbd_handler/scsi/copy.h"
#include "rbd_handler/scsi/sense.h"
#include "rbd_handler/task/task_id.h"

namespace tcmurbd {

// Commands are parked for facts: fetch them, then call Device::on_target_facts(). One at a time.
struct FetchTargetFacts {};

// An action of the exclusive lock; its outcome comes back as an event. One at a time, except for a
// release that was superseded.
struct StartLockAction {
  lock::Action action = lock::Action::kNone;
};

// Free the buffer that was kept for this command id (KEEP_BUF). The kernel knows it only once it
// has processed the completion: after the doorbell for everything that publish() made visible.
struct FreeKeptBuffer {
  uint16_t cmd_id = 0;
};

// Start the EXTENDED COPY that this LUN received; `task` names it. Device::on_copy_ended() follows.
struct CopyStart {
  task::TaskId task{};
  scsi::CopyRequest request;
};

// End this copy now: see Device::on_copy_ended().
struct CopyCancel {
  task::TaskId task{};
};

// A read or write of a copy has ended, or was answered early, like a command.
struct CopyOpDone {
  uint64_t copy = 0;
  uint32_t token = 0;
  scsi::Result result;
};

// lock::PeerReply: a peer's request is answered. Report: for the log.
using Effect = std::variant<FetchTargetFacts, StartLockAction, FreeKeptBuffer, lock::PeerReply,
                            Report, CopyStart, CopyCancel, CopyOpDone>;

// Calls the function that takes this kind of effect.
template <typename... Fns>
struct OnEffect : Fns... {
  using Fns::operator()...;
};

}  // namespace tcmurbd
