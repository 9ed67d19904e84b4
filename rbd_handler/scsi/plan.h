// SPDX-License-Identifier: Apache-2.0
// The SCSI semantics, as pure functions from a CDB to a plan. Ranges, lengths and limits are
// checked only here; the code that runs a plan need not check again. Any thread.
//
//   parse:  bytes -> Command (typed; CDB bytes are not used afterwards), or sense data
//   plan:   Command + facts + data-out -> Answer | ImageOps | Flush | CopyRequest
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

// UNMAP block descriptors accepted in one command; reported in VPD B0.
inline constexpr size_t kUnmapDescriptorsMax = 64;

// Complete at once. plan() left the Data-In, if any, in `data_in`, truncated to the allocation
// length.
struct Answer {
  Result result;
};

// The ops to run; GOOD when all have succeeded, else the first error. Never empty.
struct ImageOps {
  struct Op {
    OpKind kind;
    ByteRange range;
  };
  // Only kWriteZeroes may have several ops, which do not overlap. The data of each kind:
  //   kRead, kWrite      the command's data. A write's range.length is data_length; a read's is at
  //                      most that: an initiator may expect more than the CDB requests, and the
  //                      rest is a residual underflow.
  //   kWriteSame         the data-out: exactly one block
  //   kCompareAndWrite   the data-out: exactly two blocks; the range is one block
  //   kWriteZeroes       none
  //   kBlockStatus       none; lba_status() converts the result to Data-In
  //   kCompare           the data-out: as long as the range, one block, or none
  //   kOrWrite, kWriteAndRead, kWriteAndCompare   the command's data
  boost::container::static_vector<Op, kUnmapDescriptorsMax> ops;
};

// SYNCHRONIZE CACHE: GOOD once all earlier writes have ended.
struct Flush {};

// EXTENDED COPY: a CopyRequest with at least one segment. GOOD once the copy has succeeded.
using Plan = std::variant<Answer, ImageOps, Flush, CopyRequest>;

class CopyHistory;

// The input of a command besides its CDB.
struct Request {
  uint64_t data_length = 0;  // The fabric's expected transfer length: the sum of `data`.
  IovSpan data{};            // Data-out for commands that have parameter data; read by plan() only.
  // For REQUEST SENSE, which returns it in the requested format; unused by other commands.
  std::optional<Sense> pending_sense{};
  // For LOG SENSE, see needs_access_counters(); unused by other commands.
  AccessCounters counters{};
  // For RECEIVE COPY RESULTS, which removes reported copies; nullptr: there are none.
  CopyHistory* copies = nullptr;
};

// INQUIRY and REPORT TARGET PORT GROUPS report the current state of configfs; the caller reads
// TargetFacts before it plans these.
bool needs_target_facts(const Command& command);

// LOG SENSE reports the disk's statistics.
bool needs_access_counters(const Command& command);

// A pending unit attention ends this command (SAM-5, unit attention condition). Not INQUIRY; REPORT
// LUNS never comes.
bool takes_unit_attention(const Command& command);
// Returns pending sense as its data and ends GOOD.
bool is_request_sense(const Command& command);

// Maximum length of a Data-In, which is also bounded by the allocation length and data_length.
inline constexpr size_t kDataInBytesMax = 64 * kKiB;

// REQUIRES: data_in is empty; its capacity may be kept across calls. It is filled in only with
// GOOD.
Plan plan(const Command& command, const DiskFacts& disk, const TargetFacts& target,
          const Request& request, std::vector<uint8_t>& data_in);

// The Data-In of a GET LBA STATUS whose kBlockStatus over `range` succeeded with the result
// `mapped`.
// REQUIRES: data_in is empty.
void lba_status(const Command& command, const DiskFacts& disk, const Request& request,
                const ByteRange& range, std::span<const ByteRange> mapped,
                std::vector<uint8_t>& data_in);

}  // namespace tcmurbd::scsi
