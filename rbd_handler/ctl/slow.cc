// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl slow: what was slow.
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

void add_slow(CommandLine& line) {
  add_request(line, "slow", "list the last slow commands, newest first", "slow", LunName::kOptional,
              &slow_text);
}

}  // namespace tcmurbd
