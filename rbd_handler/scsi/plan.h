// SPDX-License-Identifier: Apache-2.0
// From a CDB to what is to be done: the whole of the SCSI semantics, as pure functions. The only
// place that checks ranges, lengths and limits; whoever runs a plan need not check again. Any
// thread.
//
//   parse:  bytes -> Command (typed; after it nobody looks at CDB bytes) or the sense to answer
//   with plan:   Command + facts + data-out -> Answer | ImageOps | Flush | CopyRequest
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "common/iov.h"
#include "common/units.h"
#include "rbd_handler/image.h"
#include "rbd_handler/scsi/command.h"
#include "rbd_handler/scsi/copy.h"
#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// UNMAP block descriptors accepted in one command; told in VPD B0.
inline constexpr size_t kUnmapDescriptorsMax = 64;

// Complete at once. Data-In, if any, is what plan() left in `data_in`, already cut to the
// allocation length.
struct Answer {
  Result result;
};

// Run these; GOOD when all are done, else the first error. Never empty.
struct ImageOps {
  struct Op {
    OpKind kind;
    ByteRange range;
  };
  // Reads and writes have exactly one, whose data is the command's own: a write's range.length is
  // data_length, a read's is at most that (an initiator may expect more than the CDB asks for: its
  // data is then the first range.length bytes, and the rest a residual underflow). kWriteSame has
  // one, whose data is the data-out: exactly one block. kCompareAndWrite has one, of one block,
  // whose data is the data-out: exactly two. kWriteZeroes has no data; there may be
  // several, which do not overlap. kBlockStatus has one, whose findings lba_status() makes the
  // Data-In of. kCompare has one, whose data is the data-out: as much as its range, one block, or
  // none. kOrWrite, kWriteAndRead and kWriteAndCompare have one, whose data is the command's own.
  boost::container::static_vector<Op, kUnmapDescriptorsMax> ops;
};

// SYNCHRONIZE CACHE: GOOD once the writes before it have ended.
struct Flush {};

// EXTENDED COPY: a CopyRequest with at least one segment. GOOD once the copy manager has done it.
using Plan = std::variant<Answer, ImageOps, Flush, CopyRequest>;

class CopyHistory;

// What a command brings besides its CDB.
struct Request {
  uint64_t data_length = 0;  // The fabric's expected transfer length: the sum of `data`.
  IovSpan data{};            // Data-out for commands that have parameter data; read by plan() only.
  // For REQUEST SENSE, which tells it in the format that was asked for; else not looked at.
  std::optional<Sense> pending_sense{};
  // For LOG SENSE, see needs_access_counters(); else not looked at.
  AccessCounters counters{};
  // For RECEIVE COPY RESULTS, which drops from it what it has told; nullptr: there are none.
  CopyHistory* copies = nullptr;
};

// INQUIRY and REPORT TARGET PORT GROUPS tell what configfs says now; the caller fetches fresh
// TargetFacts before it plans these.
bool needs_target_facts(const Command& command);

// LOG SENSE tells what the disk has done.
bool needs_access_counters(const Command& command);

// A pending unit attention ends this command (SAM-5, unit attention condition). Not INQUIRY; REPORT
// LUNS never comes.
bool takes_unit_attention(const Command& command);
// Tells pending sense as its data and ends GOOD.
bool is_request_sense(const Command& command);

// A Data-In is never longer than this, nor than the allocation length or data_length.
inline constexpr size_t kDataInBytesMax = 64 * kKiB;

// REQUIRES: data_in is empty; its capacity may be kept across calls. It is filled in with GOOD
// only.
Plan plan(const Command& command, const DiskFacts& disk, const TargetFacts& target,
          const Request& request, std::vector<uint8_t>& data_in);

// The Data-In of a GET LBA STATUS whose kBlockStatus over `range` has ended well: `mapped` is what
// it found.
// REQUIRES: data_in is empty.
void lba_status(const Command& command, const DiskFacts& disk, const Request& request,
                const ByteRange& range, std::span<const ByteRange> mapped,
                std::vector<uint8_t>& data_in);

}  // namespace tcmurbd::scsi
