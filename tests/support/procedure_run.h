// SPDX-License-Identifier: Apache-2.0
// The procedure that takes the exclusive lock, one call of its port at a time, so that anything may
// happen between two of them. It has no state but what the port has answered: so it is run again
// from its start for each call, with the answers so far, and left behind the new one.
#pragma once

#include <any>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "rbd_handler/ceph/lock_procedure.h"

namespace tcmurbd::testing {

class ProcedureRun {
 public:
  using Outcome = std::expected<ceph::LockTaken, ceph::LockFailure>;
  // Thrown by a call of `port` that is not answered yet; it is called again.
  struct NotYet {};

  // `port` outlives this.
  explicit ProcedureRun(ceph::LockCluster& port) : port_(port) {}

  // Makes the next call. The outcome, once there is one; after that it must not be called.
  std::optional<Outcome> step();

 private:
  class Replay;

  ceph::LockCluster& port_;
  std::vector<std::any> answers_;
};

}  // namespace tcmurbd::testing
