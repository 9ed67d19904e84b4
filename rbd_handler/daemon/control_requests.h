// SPDX-License-Identifier: Apache-2.0
// The requests of tcmu-rbdctl: a line with a word and, for some, the name of a LUN in; a JSON
// document out. A request that is not known, or cannot be done, is answered {"error": "..."}, so
// that a client of another version can say so.
//
//     status              status_json.h
//     metrics             the text of metrics/exposition.h, which is no JSON
//     ops [LUN]           its oldest commands, the lock and what comes next
//     slow [LUN]          the last slow commands
//     trace [LUN]         what its last commands went through
//     explain LUN         the same as ops, in English
//     fences [LUN]        the client instances that are fenced
//     release-lock LUN    gives the exclusive lock up
//
// Control thread. Nothing blocks; answers that need the cluster come after seconds at the latest.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rbd_handler/lun/lun.h"

namespace tcmurbd {

class ControlRequests {
 public:
  using Luns = std::map<uint32_t, std::shared_ptr<Lun>>;
  using Reply = std::function<void(std::string answer)>;

  // `luns` must outlive it. `metrics` writes the daemon's metrics.
  ControlRequests(const Luns& luns, std::function<void(Reply)> metrics)
      : luns_(luns), metrics_(std::move(metrics)) {}

  // Calls `reply` once.
  void answer(std::string_view request, Reply reply);

 private:
  using Chosen = std::vector<std::shared_ptr<Lun>>;
  // Those that `name` means: "HBA/DEVICE", or the device or the image alone. Empty: all.
  std::expected<Chosen, std::string> choose(std::string_view name) const;
  std::expected<std::shared_ptr<Lun>, std::string> choose_one(std::string_view name) const;

  void explain_lun(std::string_view name, const Reply& reply) const;
  void release_lock(std::string_view name, const Reply& reply) const;

  const Luns& luns_;
  const std::function<void(Reply)> metrics_;
};

}  // namespace tcmurbd
