// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/sense.h"

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cerrno>

namespace tcmurbd::scsi {

using boost::endian::store_big_u16;
using boost::endian::store_big_u32;
using boost::endian::store_big_u64;

std::array<uint8_t, kFixedSenseBytes> encode_fixed(const Sense& sense) {
  std::array<uint8_t, kFixedSenseBytes> bytes{};
  bytes[0] = 0x70;  // RESPONSE CODE: current, fixed.
  if (sense.information) {
    bytes[0] |= 0x80;  // VALID
    store_big_u32(&bytes[3], *sense.information);
  }
  bytes[2] = sense.key;
  bytes[7] = kFixedSenseBytes - 8;  // ADDITIONAL SENSE LENGTH
  bytes[12] = sense.asc;
  bytes[13] = sense.ascq;
  return bytes;
}

Sense third_party_failure(size_t segment, CopyFailure::Who who, const Result& answer) {
  Sense sense = kThirdPartyDeviceFailure;
  sense.copy = CopyFailure{.segment = static_cast<uint16_t>(segment),
                           .field = {},
                           .who = who,
                           .status = static_cast<uint8_t>(answer.status),
                           .key = answer.sense.key,
                           .asc = answer.sense.asc,
                           .ascq = answer.sense.ascq};
  return sense;
}

// SPC-4: COMMAND-SPECIFIC INFORMATION has the offsets of the source's and of the destination's
// status and sense data, then the segment's number; SENSE KEY SPECIFIC points into its descriptor.
WholeSense encode_whole(const Sense& sense) {
  WholeSense out;
  std::ranges::copy(encode_fixed(sense), out.bytes.begin());
  if (!sense.copy) return out;
  const CopyFailure& copy = *sense.copy;
  store_big_u16(&out.bytes[10], copy.segment);
  if (copy.field) {
    out.bytes[15] = 0x80 | 0x20;  // SKSV; SD: the pointer is into the segment descriptor.
    store_big_u16(&out.bytes[16], *copy.field);
  }
  if (copy.who == CopyFailure::Who::kNobody) return out;
  out.bytes[copy.who == CopyFailure::Who::kSource ? 8 : 9] = kFixedSenseBytes;
  out.bytes[kFixedSenseBytes] = copy.status;
  out.length = kFixedSenseBytes + 1;
  if (copy.key != 0) {
    const auto answer = encode_fixed({copy.key, copy.asc, copy.ascq});
    std::ranges::copy(answer, out.bytes.begin() + kFixedSenseBytes + 1);
    out.length += kFixedSenseBytes;
  }
  out.bytes[7] = static_cast<uint8_t>(out.length - 8);
  return out;
}

DescriptorSense encode_descriptor(const Sense& sense) {
  DescriptorSense out{.length = 8};
  out.bytes[0] = 0x72;  // RESPONSE CODE: current, descriptors.
  out.bytes[1] = sense.key;
  out.bytes[2] = sense.asc;
  out.bytes[3] = sense.ascq;
  if (sense.information) {
    out.length = 20;
    out.bytes[7] = 12;     // ADDITIONAL SENSE LENGTH
    out.bytes[8] = 0x00;   // DESCRIPTOR TYPE: information.
    out.bytes[9] = 0x0a;   // ADDITIONAL LENGTH
    out.bytes[10] = 0x80;  // VALID
    store_big_u64(&out.bytes[12], *sense.information);
  }
  return out;
}

Result result_from_errno(int error, OpKind kind, uint32_t mismatch_at) {
  if (error >= 0) return Result::good();
  switch (-int64_t{error}) {
    // The pool is full or its quota is reached: with this code ESXi pauses the virtual machine
    // instead of reporting a disk failure.
    case ENOSPC:
    case EDQUOT:
      return Result::check(kSpaceAllocationFailed);
    // The image itself is read-only. An op without the required exclusive lock gets EROFS too; the
    // Device handles that before it uses this table.
    case EROFS:
      // librbd needs the lock for reads too while the image has a journal, which a gateway does not
      // support: the host should retry until the journal is removed.
      if (!changes_image(kind)) return Result::busy();
      return Result::check(kWriteProtected);
    // kNotPrimary: another cluster has the primary image.
    case ENOMEDIUM:
      return Result::check(kWriteProtected);
    // The image or its pool was removed. Not 5/25/00 (ESXi would give up the datastore permanently)
    // and not a hardware error (Linux would fail the command without trying another path): the
    // image may be renamed back or restored.
    case ENOENT:
      return Result::check(kNotReady);
    // The range is within the disk but not within the image: the image was shrunk.
    case ERANGE:
      return Result::check(kLbaOutOfRange);
    // librbd rejects the op, and would reject a retry too.
    case EINVAL:
      return Result::check(kInvalidFieldInCdb);
    // The outcome is unknown (a timeout), or the client instance is blocklisted: the host should
    // retry, on another path or with the next instance.
    case ETIMEDOUT:
    case ESHUTDOWN:
    // A temporary shortage of resources.
    case ENOMEM:
    case EAGAIN:
    case EBUSY:
      return Result::busy();
    // SBC-3 5.2: INFORMATION is the offset of the first different byte in the data-out. For an op
    // that does not compare, this is an error like any other.
    case EILSEQ:
      if (compares(kind)) {
        Sense sense = kMiscompareDuringVerify;
        sense.information = mismatch_at;
        return Result::check(sense);
      }
      [[fallthrough]];
    default:
      return Result::check(changes_image(kind) ? kWriteError : kReadError);
  }
}

}  // namespace tcmurbd::scsi
