// SPDX-License-Identifier: Apache-2.0
// From a CDB to what is to be done: the whole of the SCSI semantics, as pure functions. The only place that
// checks ranges, lengths and limits; whoever runs a plan need not check again. Any thread.
//
//   parse:  bytes -> Command (typed; after it nobody looks at CDB bytes) or the sense to answer with
//   plan:   Command + facts + data-out -> Answer | ImageOps | Flush
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <expected>
#include <span>
#include <variant>
#include <vector>

#include "common/iov.h"
#include "rbd_handler/image.h"
#include "rbd_handler/scsi/command.h"
#include "rbd_handler/scsi/facts.h"
#include "rbd_handler/scsi/sense.h"

namespace tcmurbd::scsi {

// UNMAP block descriptors accepted in one command; told in VPD B0.
inline constexpr size_t kUnmapDescriptorsMax = 64;

// Complete at once. Data-In, if any, is what plan() left in `data_in`, already cut to the allocation length.
struct Answer {
  Result result;
};

// Run these; GOOD when all are done, else the first error. Never empty.
struct ImageOps {
  struct Op {
    OpKind kind;
    ByteRange range;
  };
  // Reads and writes have exactly one, whose data is the command's own (range.length == data_length);
  // kWriteSame's data is the first block of the data-out; kWriteZeroes has none.
  boost::container::static_vector<Op, kUnmapDescriptorsMax> ops;
};

// SYNCHRONIZE CACHE: GOOD once the writes before it have ended.
struct Flush {};

using Plan = std::variant<Answer, ImageOps, Flush>;

// What a command brings besides its CDB.
struct Request {
  uint64_t data_length = 0;  // The fabric's expected transfer length: the sum of `data`.
  IovSpan data{};            // Data-out for commands that have parameter data; read by plan() only.
};

// INQUIRY and REPORT TARGET PORT GROUPS tell what configfs says now; the caller fetches fresh TargetFacts before
// it plans these.
bool needs_target_facts(const Command& command);

// REQUIRES: data_in is empty; its capacity may be kept across calls.
Plan plan(const Command& command, const DiskFacts& disk, const TargetFacts& target, const Request& request,
          std::vector<uint8_t>& data_in);

}  // namespace tcmurbd::scsi
