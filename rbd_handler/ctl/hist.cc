// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl hist: how long commands took since the LUN was opened.
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

void add_hist(CommandLine& line) {
  add_request(line, "hist", "draw the latencies of commands and of their image ops", "status",
              LunName::kOptional, &hist_text);
}

}  // namespace tcmurbd
