// SPDX-License-Identifier: Apache-2.0
// tcmu-rbdctl import-config: takes the settings of tcmu-runner over, once. Blocks on files only.
#pragma once

#include <string>

namespace tcmurbd {

// Reads `from` (tcmu.conf) and adds what it sets and `to` (YAML) does not. Never changes a setting
// that `to` has. `to` is replaced by a rename, or created, with its directory if that is missing.
// Prints what was done to stdout and what has no effect here to stderr. Returns the exit status: 0,
// also if there was nothing to do; 1 after an error.
int import_config(const std::string& from, const std::string& to);

}  // namespace tcmurbd
