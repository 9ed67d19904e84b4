// SPDX-License-Identifier: Apache-2.0
// One EXTENDED COPY from its extents to its result: what is to be read and written next, in pieces,
// several at a time. Pure: says which ops to start, is told how each ended.
//
//     read a piece of the source -> zeroes at its ends are zeroed at the destination, the rest is
//     written -> the piece is done
//
// Segments count as if they were done one after the other (SPC-4 6.4.3.5), and a segment whose
// source and destination overlap as if all of it were read before any of it is written. A segment
// that touches what an earlier one writes, or writes what an earlier one reads, begins after that;
// one that overlaps itself goes piece by piece, from the end that is not overwritten. All else runs
// side by side.
//
// The first error stops it: nothing new is begun, and it has finished when what runs has ended.
//
// Thread: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/units.h"
#include "rbd_handler/copy/copy_op.h"
#include "rbd_handler/scsi/copy.h"

namespace tcmurbd::copy {

// One RADOS object of the usual size: a whole piece of zeroes frees it, and a write of it is one
// op. Pieces end at multiples of it at the destination.
inline constexpr uint64_t kPieceBytes = 4 * kMiB;
// Pieces under way: enough to keep several OSDs busy, few enough to leave other commands their
// share.
inline constexpr size_t kPiecesMax = 4;
// Zeroes at a piece's ends are zeroed and not written if they are this many: BlueStore's allocation
// unit on older clusters, and a multiple of today's.
inline constexpr uint64_t kZeroRunBytes = 64 * kKiB;

class CopyJob {
 public:
  // `budget` is what the memory is counted against: held as long as any of it is.
  CopyJob(const scsi::CopyExtents& extents, std::shared_ptr<void> budget);

  // Appends the ops to start now.
  void take_ops(std::vector<Op>& ops);
  // One op of `token` ended.
  void on_done(uint32_t token, const scsi::Result& result);

  // Nothing is under way, and nothing more will be.
  bool finished() const;
  // REQUIRES: finished(). BUSY only if the whole command can be sent again without harm.
  scsi::Result result() const;
  // What to answer if it is cut off where it is. Like result(), BUSY only if it can be sent again.
  scsi::Result result_if_cut_off() const;
  // Segments from the first one on that are done, and bytes written in all.
  uint16_t segments_done() const;
  uint64_t bytes_done() const { return bytes_done_; }

 private:
  struct Memory {
    std::shared_ptr<void> budget;
    std::unique_ptr<uint8_t[]> bytes;
    uint64_t size = 0;
  };
  struct Segment {
    scsi::CopyExtent extent;
    bool in_order = false;  // It overlaps itself: one piece at a time,
    bool backward = false;  // from the end.
    uint64_t begun = 0;     // Bytes.
    uint64_t done = 0;
    uint32_t pieces = 0;  // Under way.
  };
  struct Piece {
    uint32_t segment = 0;
    uint64_t at = 0;  // Within the segment.
    uint64_t length = 0;
    uint32_t pending = 0;  // Ops under way; 0: the piece is free.
    bool writing = false;
    std::shared_ptr<Memory> memory;  // Kept for the next piece.
  };
  struct Failure {
    uint32_t segment = 0;
    bool writing = false;
    scsi::Result result;
  };

  bool begin_piece(std::vector<Op>& ops);
  void read_piece(uint32_t index, uint32_t segment, std::vector<Op>& ops);
  void write_piece(uint32_t index);
  void add_write(uint32_t index, OpKind kind, uint64_t begin, uint64_t end);
  bool must_wait(uint32_t segment) const;
  bool repeatable() const;

  const std::shared_ptr<void> budget_;
  std::vector<Segment> segments_;
  uint32_t opened_ = 0;  // Segments that have begun, or may.
  std::array<Piece, kPiecesMax> pieces_;
  std::vector<Op> writes_;  // To be taken.
  uint64_t bytes_done_ = 0;
  bool wrote_ = false;
  std::optional<Failure> failure_;
};

}  // namespace tcmurbd::copy
