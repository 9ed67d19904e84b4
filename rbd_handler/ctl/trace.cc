// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl trace: the flight recorder of the LUNs, a line for each command.
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

void add_trace(CommandLine& line) {
  add_request(line, "trace", "print the last commands step by step, and what the LUN did meanwhile",
              "trace", LunName::kOptional, &trace_text);
}

}  // namespace tcmurbd
