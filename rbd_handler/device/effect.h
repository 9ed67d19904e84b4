// SPDX-License-Identifier: Apache-2.0
// What a Device wants done by others, as one type: in the order in which it came about. Plain
// values.
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

// An action of the exclusive lock; its outcome comes back as an event. One at a time, but for a
// release that is overtaken.
struct StartLockAction {
  lock::Action action = lock::Action::kNone;
};

// The buffer that was kept for this command id. The kernel knows it when it has taken the
// completion, so only after the doorbell for all that publish() showed.
struct FreeKeptBuffer {
  uint16_t cmd_id = 0;
};

// An EXTENDED COPY that came to this LUN; `task` names it. Some time later Device::on_copy_ended()
// follows.
struct CopyStart {
  task::TaskId task{};
  scsi::CopyRequest request;
};

// A copy that is to end now: see Device::on_copy_ended().
struct CopyCancel {
  task::TaskId task{};
};

// A read or write of a copy has ended, or was answered before its end as a command would be.
struct CopyOpDone {
  uint64_t copy = 0;
  uint32_t token = 0;
  scsi::Result result;
};

// lock::PeerReply: a peer's request is answered. Report: what an operator wants to know.
using Effect = std::variant<FetchTargetFacts, StartLockAction, FreeKeptBuffer, lock::PeerReply,
                            Report, CopyStart, CopyCancel, CopyOpDone>;

// Calls the function that takes this kind of effect.
template <typename... Fns>
struct OnEffect : Fns... {
  using Fns::operator()...;
};

}  // namespace tcmurbd
