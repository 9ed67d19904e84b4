// SPDX-License-Identifier: Apache-2.0
// The kernel's side of generic netlink, as far as a TCMU daemon asks at its start: who the family
// TCM-USER is, and acknowledgements. No device arrives or leaves while a benchmark runs.
#pragma once

#include <cstdint>
#include <span>

namespace tcmurbd::bench {

// Answers the messages in `received` on `fd`.
void answer_netlink(int fd, std::span<const uint8_t> received);

}  // namespace tcmurbd::bench
