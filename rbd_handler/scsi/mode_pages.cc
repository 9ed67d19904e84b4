// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/mode_pages.h"

#include <algorithm>
#include <array>

namespace tcmurbd::scsi {
namespace {

// SBC-3, read-write error recovery mode page. OSDs repair read and write errors from replicas
// automatically; there are no retries to count or limit.
constexpr std::array<uint8_t, 12> kErrorRecovery = {
    0x01,        0x0a,  // PAGE CODE, PAGE LENGTH
    0x80 | 0x40,        // AWRE=1, ARRE=1
    0,           0,    0, 0, 0, 0, 0, 0, 0,
};

// SBC-3, caching mode page. WCE=0: there is no volatile cache. RCD=0 does not guarantee cached
// reads.
constexpr std::array<uint8_t, 20> kCaching = {
    0x08, 0x12,  // PAGE CODE, PAGE LENGTH
    0x00,        // IC ABPF CAP DISC SIZE WCE MF RCD
    0,    0,    0, 0, 0, 0, 0, 0, 0,
    0x20,  // DRA=1: nothing is read ahead.
    0,    0,    0, 0, 0, 0, 0,
};

// SPC-4, control mode page.
constexpr std::array<uint8_t, 12> kControl = {
    0x0a,
    0x0a,  // PAGE CODE, PAGE LENGTH
    0x02,  // TST=0 (one task set for all), D_SENSE=0, GLTSD=1 (no log parameter is saved)
    0x10,  // QUEUE ALGORITHM MODIFIER 1: the kernel does not pass on task attributes, so they have
           // no effect.
    0x00,  // SWP=0; a read-only disk says so in the header's WP.
    0x40,  // TAS=1, fixed by the kernel for TCMU.
    0,
    0,
    0,
    0,
    0,
    0,
};

// SPC-4, informational exceptions control mode page.
constexpr std::array<uint8_t, 12> kInformationalExceptions = {
    0x1c, 0x0a,  // PAGE CODE, PAGE LENGTH
    0x08,        // DEXCPT=1: none is ever reported.
    0x00,        // MRIE
    0,    0,    0, 0, 0, 0, 0, 0,
};

// Ascending, as required for MODE SENSE.
constexpr auto kPages = std::to_array<ModePage>({
    {0x01, kErrorRecovery},
    {0x08, kCaching},
    {0x0a, kControl},
    {0x1c, kInformationalExceptions},
});

}  // namespace

std::span<const ModePage> mode_pages() { return kPages; }

const ModePage* find_mode_page(uint8_t code) {
  const auto page = std::ranges::find(kPages, code, &ModePage::code);
  return page == kPages.end() ? nullptr : page;
}

}  // namespace tcmurbd::scsi
