// SPDX-License-Identifier: Apache-2.0
// Helpers of the SCSI tests: from the bytes of a CDB and its data-out to the result.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <vector>

#include "rbd_handler/scsi/plan.h"

namespace tcmurbd::scsi {

using Bytes = std::vector<uint8_t>;

// Sense data as literals: key, code, qualifier.
struct Check {
  uint8_t key, asc, ascq;
  bool operator==(const Check&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Check& c) {
  return out << std::hex << int{c.key} << '/' << int{c.asc} << '/' << int{c.ascq} << std::dec;
}

struct Op {
  OpKind kind;
  uint64_t offset, length;
  bool operator==(const Op&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << "kind " << int(op.kind) << " at " << op.offset << " + " << op.length;
}

// The result of a command: exactly one of good, check, ops, flush and copy.
struct Outcome {
  bool good = false;
  std::optional<Check> check;
  std::vector<Op> ops;
  bool flush = false;
  std::optional<CopyRequest> copy;
  Bytes data_in;
};

// Data-out in memory of exactly its size, so that ASan detects reads beyond it, split into pieces.
class DataOut {
 public:
  explicit DataOut(const Bytes& bytes) {
    const size_t piece_bytes = std::max<size_t>(7, bytes.size() / 5);
    for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
      const size_t n = std::min(piece_bytes, bytes.size() - at);
      pieces_.push_back(std::make_unique<uint8_t[]>(n));
      std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), n, pieces_.back().get());
      iov_.push_back({pieces_.back().get(), n});
    }
  }
  IovSpan iov() const { return iov_; }

 private:
  std::vector<std::unique_ptr<uint8_t[]>> pieces_;
  std::vector<iovec> iov_;
};

class ScsiTest : public ::testing::Test {
 protected:
  // 1 GiB: 2 Mi blocks.
  DiskFacts disk{.block_size = 512, .blocks = 0x200000};
  TargetFacts target{};
  std::optional<Sense> pending_sense{};
  AccessCounters counters{};
  CopyHistory* copies = nullptr;

  // `data_length` is the fabric's expected transfer length.
  Outcome run(const Bytes& cdb, uint64_t data_length, const Bytes& data_out = {}) const {
    Outcome out;
    const Bytes exact(cdb);  // For ASan: no capacity beyond its size.
    const auto command = parse(exact);
    if (!command) {
      const Sense& s = command.error();
      out.check = Check{s.key, s.asc, s.ascq};
      return out;
    }
    const DataOut data(data_out);
    const Plan plan =
        scsi::plan(*command, disk, target,
                   {data_length, data.iov(), pending_sense, counters, copies}, out.data_in);
    if (const auto* answer = std::get_if<Answer>(&plan)) {
      out.good = answer->result.status == ScsiStatus::kGood;
      if (answer->result.status == ScsiStatus::kCheckCondition) {
        const Sense& s = answer->result.sense;
        out.check = Check{s.key, s.asc, s.ascq};
      }
    } else if (const auto* ops = std::get_if<ImageOps>(&plan)) {
      for (const auto& op : ops->ops)
        out.ops.push_back({op.kind, op.range.offset, op.range.length});
    } else if (const auto* copy = std::get_if<CopyRequest>(&plan)) {
      out.copy = *copy;
    } else {
      out.flush = true;
    }
    return out;
  }

  // A command with Data-In and a sufficient transfer length.
  Outcome ask(const Bytes& cdb) const { return run(cdb, 1 << 20); }
  // A command whose data-out has the expected transfer length.
  Outcome send(const Bytes& cdb, const Bytes& data_out) const {
    return run(cdb, data_out.size(), data_out);
  }
};

// `bytes` with one byte replaced.
inline Bytes with(Bytes bytes, size_t at, uint8_t value) {
  bytes.at(at) = value;
  return bytes;
}

inline Bytes cut(const Bytes& bytes, size_t begin, size_t count) {
  const auto first = bytes.begin() + static_cast<ptrdiff_t>(std::min(begin, bytes.size()));
  return Bytes(first, first + static_cast<ptrdiff_t>(std::min<size_t>(count, bytes.end() - first)));
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace tcmurbd::scsi
