// SPDX-License-Identifier: Apache-2.0
// What LUNs tell tcmu-rbdctl, as JSON documents with a line end. Ages and times to come are in
// seconds, null: never or unknown. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rbd_handler/lun/lun_snapshot.h"

namespace tcmurbd {

std::string error_json(const std::string& text);

// {"devices": [{"name", "image", "state", "lock": {...}, "ops": [...], "more", ...}]}
std::string ops_json(const std::vector<LunSnapshot>& luns);
// The devices' "Ops" have the shape of the OSDs' dump_historic_slow_ops; newest first.
std::string slow_json(const std::vector<LunSlow>& luns);
std::string fences_json(const std::vector<LunFences>& luns);
// `text`: of explain().
std::string explain_json(const LunSnapshot& lun, const std::string& text);
// "outcome": "released", "not-owner", "hung", "fencing" or "no-answer".
std::string release_json(const LunLabel& label, std::optional<lock::PeerAnswer> answer);

}  // namespace tcmurbd
