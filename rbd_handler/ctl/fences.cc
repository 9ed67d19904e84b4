// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl fences: what the daemon keeps on the blocklist.
#include "rbd_handler/ctl/command.h"
#include "rbd_handler/ctl/views.h"

namespace tcmurbd {

void add_fences(CommandLine& line) {
  add_request(line, "fences", "list the client instances that are fenced, until when, and why",
              "fences", LunName::kOptional, &fences_text);
}

}  // namespace tcmurbd
