// SPDX-License-Identifier: Apache-2.0
// Static probes (USDT) for bpftrace, perf and SystemTap: packaging/trace/README.md lists them with
// their arguments, a test compares it with the binary. Any thread.
//
// A probe is one nop until a tracer replaces it. Its arguments are described by a note beside the
// code, so that what is in a register or in memory costs nothing: pass such, and let the tracer
// calculate. They are integers, and the name of the LUN as the address of a text that ends with a
// zero. Never the address of a literal: a tracer cannot read a page that this process has not read
// yet. At most six: bpftrace reads no more.
#pragma once

#define SDT_USE_VARIADIC
#include <sys/sdt.h>

#include "common/units.h"

#define TCMU_RBD_PROBE(name, ...) STAP_PROBEV(tcmu_rbd, name, __VA_ARGS__)

namespace tcmurbd {

// A time as the argument of a probe: nanoseconds of CLOCK_BOOTTIME.
inline int64_t probe_time(TimePoint time) { return time.time_since_epoch().count(); }

}  // namespace tcmurbd
