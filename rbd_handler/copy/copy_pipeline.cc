// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/copy/copy_pipeline.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"

namespace tcmurbd::copy {
namespace {

using scsi::CopyExtent;

ByteRange source_of(const CopyExtent& extent) { return {extent.from, extent.length}; }
ByteRange destination_of(const CopyExtent& extent) { return {extent.to, extent.length}; }

bool reads_what_it_writes(const CopyExtent& reader, const CopyExtent& writer) {
  return reader.source == writer.destination && source_of(reader).overlaps(destination_of(writer));
}

bool write_the_same(const CopyExtent& a, const CopyExtent& b) {
  return a.destination == b.destination && destination_of(a).overlaps(destination_of(b));
}

bool all_zero(std::span<const uint8_t> bytes) {
  // Each byte equals the one before it, and the first is zero.
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

// The number of leading zero bytes of `bytes`, in steps of kZeroRunBytes.
uint64_t zeroes_at_begin(std::span<const uint8_t> bytes) {
  uint64_t count = 0;
  while (count < bytes.size()) {
    const auto run = bytes.subspan(count, std::min(kZeroRunBytes, bytes.size() - count));
    if (!all_zero(run)) break;
    count += run.size();
  }
  return count;
}

uint64_t zeroes_at_end(std::span<const uint8_t> bytes) {
  uint64_t count = 0;
  while (bytes.size() - count >= kZeroRunBytes) {
    if (!all_zero(bytes.subspan(bytes.size() - count - kZeroRunBytes, kZeroRunBytes))) break;
    count += kZeroRunBytes;
  }
  return count;
}

}  // namespace

CopyPipeline::CopyPipeline(const scsi::CopyExtents& extents, std::shared_ptr<void> budget)
    : budget_(std::move(budget)) {
  for (const CopyExtent& extent : extents) {
    segments_.push_back({.extent = extent,
                         .in_order = reads_what_it_writes(extent, extent),
                         .backward = extent.to > extent.from});
  }
}

void CopyPipeline::take_ops(std::vector<Op>& ops) {
  ops.insert(ops.end(), std::move_iterator(writes_.begin()), std::move_iterator(writes_.end()));
  writes_.clear();
  while (!failure_ && begin_piece(ops)) {
  }
}

bool CopyPipeline::must_wait(uint32_t segment) const {
  const CopyExtent& later = segments_[segment].extent;
  return std::any_of(segments_.begin(), segments_.begin() + segment, [&](const Segment& s) {
    const CopyExtent& earlier = s.extent;
    return s.done < earlier.length &&
           (write_the_same(earlier, later) || reads_what_it_writes(later, earlier) ||
            reads_what_it_writes(earlier, later));
  });
}

// Of the first segment with a piece to start.
bool CopyPipeline::begin_piece(std::vector<Op>& ops) {
  const auto piece = std::ranges::find(pieces_, 0u, &Piece::pending);
  if (piece == pieces_.end()) return false;
  for (uint32_t i = 0; i < segments_.size(); ++i) {
    if (i == opened_) {
      if (must_wait(i)) return false;
      ++opened_;
    }
    const Segment& segment = segments_[i];
    if (segment.begun == segment.extent.length) continue;
    if (segment.in_order && segment.pieces != 0) continue;
    read_piece(static_cast<uint32_t>(piece - pieces_.begin()), i, ops);
    return true;
  }
  return false;
}

void CopyPipeline::read_piece(uint32_t index, uint32_t segment, std::vector<Op>& ops) {
  Segment& s = segments_[segment];
  const uint64_t left = s.extent.length - s.begun;
  Piece& piece = pieces_[index];
  piece.segment = segment;
  if (s.in_order && s.backward) {
    const uint64_t end = s.extent.to + left;
    piece.length = std::min((end - 1) % kPieceBytes + 1, left);
    piece.at = left - piece.length;
  } else {
    piece.length = std::min(kPieceBytes - (s.extent.to + s.begun) % kPieceBytes, left);
    piece.at = s.begun;
  }
  s.begun += piece.length;
  ++s.pieces;
  // An op that was answered before its end still uses the memory.
  if (!piece.memory || piece.memory.use_count() != 1 || piece.memory->size < piece.length) {
    piece.memory = std::make_shared<Memory>(
        budget_, std::make_unique_for_overwrite<uint8_t[]>(piece.length), piece.length);
  }
  piece.writing = false;
  piece.pending = 1;
  ops.push_back({.token = index,
                 .disk = s.extent.source,
                 .kind = OpKind::kRead,
                 .range = {s.extent.from + piece.at, piece.length},
                 .data = {piece.memory->bytes.get(), piece.length},
                 .memory = piece.memory});
}

void CopyPipeline::add_write(uint32_t index, OpKind kind, uint64_t begin, uint64_t end) {
  if (begin == end) return;
  Piece& piece = pieces_[index];
  const CopyExtent& extent = segments_[piece.segment].extent;
  Op op{.token = index,
        .disk = extent.destination,
        .kind = kind,
        .range = {extent.to + piece.at + begin, end - begin},
        .data = {},
        .memory = {}};
  if (kind == OpKind::kWrite) {
    op.data = {piece.memory->bytes.get() + begin, end - begin};
    op.memory = piece.memory;
  }
  writes_.push_back(std::move(op));
  ++piece.pending;
}

void CopyPipeline::write_piece(uint32_t index) {
  Piece& piece = pieces_[index];
  const std::span<const uint8_t> bytes(piece.memory->bytes.get(), piece.length);
  const uint64_t head = zeroes_at_begin(bytes);
  const uint64_t tail = head == piece.length ? 0 : zeroes_at_end(bytes);
  piece.writing = true;
  wrote_ = true;
  add_write(index, OpKind::kWriteZeroes, 0, head);
  add_write(index, OpKind::kWrite, head, piece.length - tail);
  add_write(index, OpKind::kWriteZeroes, piece.length - tail, piece.length);
}

void CopyPipeline::on_done(uint32_t token, const scsi::Result& result) {
  Piece& piece = pieces_.at(token);
  CHECK(piece.pending > 0);
  if (result != scsi::Result::good() && !failure_)
    failure_ = Failure{piece.segment, piece.writing, result};
  if (--piece.pending != 0) return;
  if (!piece.writing && !failure_) {
    write_piece(token);
    return;
  }
  Segment& segment = segments_[piece.segment];
  --segment.pieces;
  // After an error of another piece, this one may or may not have been written.
  if (failure_) return;
  segment.done += piece.length;
  bytes_done_ += piece.length;
}

bool CopyPipeline::finished() const {
  const bool idle = std::ranges::all_of(pieces_, [](const Piece& p) { return p.pending == 0; });
  return idle && (failure_ || segments_done() == segments_.size());
}

uint16_t CopyPipeline::segments_done() const {
  const auto first =
      std::ranges::find_if(segments_, [](const Segment& s) { return s.done < s.extent.length; });
  return static_cast<uint16_t>(first - segments_.begin());
}

// Whether a partial run followed by a full one gives the same result: no data is written that the
// same segment or an earlier one reads.
bool CopyPipeline::repeatable() const {
  if (!wrote_) return true;
  for (auto later = segments_.begin(); later != segments_.end(); ++later) {
    if (std::any_of(segments_.begin(), later + 1, [&](const Segment& earlier) {
          return reads_what_it_writes(earlier.extent, later->extent);
        }))
      return false;
  }
  return true;
}

scsi::Result CopyPipeline::result_if_cut_off() const {
  if (repeatable()) return scsi::Result::busy();
  scsi::Sense sense = scsi::kCopyAborted;
  sense.copy = scsi::CopyFailure{.segment = segments_done()};
  return scsi::Result::check(sense);
}

scsi::Result CopyPipeline::result() const {
  CHECK(finished());
  if (!failure_) return scsi::Result::good();
  const scsi::Result& answer = failure_->result;
  if (answer == scsi::Result::busy() && repeatable()) return answer;
  scsi::Sense sense = answer.sense;
  // An error of the copy itself is COPY ABORTED already; only the segment is missing.
  if (answer.status == scsi::ScsiStatus::kCheckCondition && sense.key == scsi::kCopyAborted.key) {
    sense.copy = scsi::CopyFailure{.segment = static_cast<uint16_t>(failure_->segment)};
    return scsi::Result::check(sense);
  }
  using Who = scsi::CopyFailure::Who;
  return scsi::Result::check(scsi::third_party_failure(
      failure_->segment, failure_->writing ? Who::kDestination : Who::kSource, answer));
}

}  // namespace tcmurbd::copy
