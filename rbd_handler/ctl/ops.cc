// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl ops: what the LUNs work on or wait for.
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

void add_ops(CommandLine& line) {
  add_request(line, "ops", "list the open commands, oldest first: stage, age, object, OSDs", "ops",
              LunName::kOptional, &ops_text);
}

}  // namespace tcmurbd
