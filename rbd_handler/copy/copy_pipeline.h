// SPDX-License-Identifier: Apache-2.0
// One EXTENDED COPY from its extents to its result: selects what to read and write next, in pieces,
// several at a time. Pure: returns the ops to start, gets their results.
//
//     read a piece of the source -> zeroes at its ends are zeroed at the destination, the rest is
//     written -> the piece is done
//
// The result is as if segments were processed one after the other (SPC-4 6.4.3.5), and, for a
// segment whose source and destination overlap, as if all of it were read before any of it is
// written. A segment that overlaps data that an earlier segment writes, or writes data that an
// earlier segment reads, starts after it. A segment that overlaps itself is processed piece by
// piece, from the end that is not overwritten. All others run in parallel.
//
// The first error stops the copy: no new op is started, and it has finished when the ops in flight
// have ended. The copy itself has no deadline (its ops have the LUN's), but it must end before
// cmd_time_out: then the kernel would answer the initiator, which might write over the blocks that
// the copy still writes. Zeroes are detected in the data that was read; asking for the block status
// first would cost a round trip, and reading an object that does not exist costs no more and moves
// no data.
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

// One RADOS object of the default size: a whole piece of zeroes deallocates it, and a write of it
// is one op. Pieces end at multiples of it at the destination.
inline constexpr uint64_t kPieceBytes = 4 * kMiB;
// Pieces in flight: enough to keep several OSDs busy, few enough for other commands.
inline constexpr size_t kPiecesMax = 4;
// Runs of zeroes of at least this size at the ends of a piece are zeroed instead of written:
// BlueStore's allocation unit on older clusters, and a multiple of the current one.
inline constexpr uint64_t kZeroRunBytes = 64 * kKiB;

class CopyPipeline {
 public:
  // `budget` accounts for the memory: it is held as long as any of the memory is.
  CopyPipeline(const scsi::CopyExtents& extents, std::shared_ptr<void> budget);

  // Appends the ops to start now.
  void take_ops(std::vector<Op>& ops);
  // An op of `token` has ended.
  void on_done(uint32_t token, const scsi::Result& result);

  // No op is in flight, and none will be started.
  bool finished() const;
  // REQUIRES: finished(). BUSY only if the initiator can retry the whole command without harm; COPY
  // ABORTED once a part of the source was overwritten.
  scsi::Result result() const;
  // The answer if the copy is cut off now. BUSY only if it can be retried, as for result().
  scsi::Result result_if_cut_off() const;
  // The number of completed segments from the first one on; the total bytes written.
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
    uint32_t pieces = 0;  // In flight.
  };
  struct Piece {
    uint32_t segment = 0;
    uint64_t at = 0;  // Within the segment.
    uint64_t length = 0;
    uint32_t pending = 0;  // Ops in flight; 0: the piece is free.
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
  uint32_t opened_ = 0;  // Segments that have started, or may start.
  std::array<Piece, kPiecesMax> pieces_;
  std::vector<Op> writes_;  // To be taken.
  uint64_t bytes_done_ = 0;
  bool wrote_ = false;
  std::optional<Failure> failure_;
};

}  // namespace tcmurbd::copy
