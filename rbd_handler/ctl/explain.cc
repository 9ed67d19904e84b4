// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl explain: one paragraph on a LUN.
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

void add_explain(CommandLine& line) {
  add_request(line, "explain", "say in plain English what a LUN waits for, and what comes next",
              "explain", LunName::kRequired, &explain_text);
}

}  // namespace tcmurbd
