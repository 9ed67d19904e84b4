// SPDX-License-Identifier: Apache-2.0
// SCSI status and sense data (SAM-5 5.3, SPC-5 4.5), and the one table from errno to sense.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "rbd_handler/image.h"

namespace tcmurbd::scsi {

enum class ScsiStatus : uint8_t {
  kGood = 0x00,
  kCheckCondition = 0x02,
  kBusy = 0x08,
  kReservationConflict = 0x18,
  kTaskSetFull = 0x28,
  kTaskAborted = 0x40,
};

// Additional sense data of COPY ABORTED (SPC-4 4.5.2.4.6 and 6.4.3.x, errors of third-party copy
// commands).
struct CopyFailure {
  enum class Who : uint8_t { kNobody, kSource, kDestination };
  uint16_t segment = 0;             // The segment descriptor that was processed.
  std::optional<uint16_t> field{};  // The byte of that descriptor that is in error.
  // The answer of the copy source or destination: its status, sense key and code.
  Who who = Who::kNobody;
  uint8_t status = 0;
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
  bool operator==(const CopyFailure&) const = default;
};

// Sense key, additional sense code and qualifier, with the optional INFORMATION field and, with
// COPY ABORTED, the rest.
struct Sense {
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
  std::optional<uint32_t> information{};
  std::optional<CopyFailure> copy{};
  bool operator==(const Sense&) const = default;
};

// How a command ends. `sense` is valid only with kCheckCondition.
struct Result {
  ScsiStatus status = ScsiStatus::kGood;
  Sense sense{};
  bool operator==(const Result&) const = default;

  static constexpr Result good() { return {}; }
  static constexpr Result busy() { return {ScsiStatus::kBusy, {}}; }
  static constexpr Result check(Sense sense) { return {ScsiStatus::kCheckCondition, sense}; }
};

inline constexpr uint8_t kMediumError = 0x03;  // Sense key.

inline constexpr Sense kInvalidOpcode{0x05, 0x20, 0x00};
inline constexpr Sense kInvalidFieldInCdb{0x05, 0x24, 0x00};
inline constexpr Sense kLbaOutOfRange{0x05, 0x21, 0x00};
inline constexpr Sense kInvalidFieldInParameterList{0x05, 0x26, 0x00};
inline constexpr Sense kParameterListLengthError{0x05, 0x1a, 0x00};
inline constexpr Sense kSavingParametersNotSupported{0x05, 0x39, 0x00};
// The CDB and the fabric's expected length disagree.
inline constexpr Sense kInvalidFieldInInformationUnit{0x05, 0x0e, 0x03};
inline constexpr Sense kWriteProtected{0x07, 0x27, 0x00};
inline constexpr Sense kSpaceAllocationFailed{0x07, 0x27, 0x07};
inline constexpr Sense kInternalTargetFailure{0x04, 0x44, 0x00};
inline constexpr Sense kWriteError{kMediumError, 0x0c, 0x00};
inline constexpr Sense kReadError{kMediumError, 0x11, 0x00};
inline constexpr Sense kMiscompareDuringVerify{0x0e, 0x1d, 0x00};
inline constexpr Sense kCapacityChanged{0x06, 0x2a, 0x09};
inline constexpr Sense kNotReady{0x02, 0x04, 0x00};
// Of EXTENDED COPY's parameter list,
inline constexpr Sense kTooManyCscds{0x05, 0x26, 0x06};
inline constexpr Sense kUnsupportedCscdType{0x05, 0x26, 0x07};
inline constexpr Sense kTooManySegments{0x05, 0x26, 0x08};
inline constexpr Sense kUnsupportedSegmentType{0x05, 0x26, 0x09};
inline constexpr Sense kInlineDataLengthExceeded{0x05, 0x26, 0x0b};
// and of the copying.
inline constexpr Sense kCopyAborted{0x0a, 0x00, 0x00};
inline constexpr Sense kUnreachableCopyTarget{0x0a, 0x08, 0x04};
inline constexpr Sense kThirdPartyDeviceFailure{0x0a, 0x0d, 0x01};
inline constexpr Sense kCopyTargetNotReachable{0x0a, 0x0d, 0x02};
inline constexpr Sense kIncorrectCopyTargetType{0x0a, 0x0d, 0x03};
inline constexpr Sense kUnexpectedInexactSegment{0x0a, 0x26, 0x0a};

// COPY ABORTED for an error that the source or destination of `segment` returned to the copy.
Sense third_party_failure(size_t segment, CopyFailure::Who who, const Result& answer);

inline constexpr size_t kFixedSenseBytes = 18;
// Fixed format, current error (SPC-5 4.5.3).
std::array<uint8_t, kFixedSenseBytes> encode_fixed(const Sense& sense);

// Fixed format with all fields of COPY ABORTED. `length` bytes are valid: kFixedSenseBytes, or more
// if the status and sense data of a copy source or destination follow.
struct WholeSense {
  std::array<uint8_t, 2 * kFixedSenseBytes + 1> bytes{};
  size_t length = kFixedSenseBytes;
  std::span<const uint8_t> span() const { return {bytes.data(), length}; }
};
WholeSense encode_whole(const Sense& sense);

inline constexpr size_t kDescriptorSenseBytesMax = 20;
// Descriptor format, current error (SPC-5 4.5.2), for a REQUEST SENSE that asks for it; all other
// sense data is fixed (D_SENSE=0). 8 bytes are valid, or 20 with INFORMATION.
struct DescriptorSense {
  std::array<uint8_t, kDescriptorSenseBytesMax> bytes{};
  size_t length = 0;
};
DescriptorSense encode_descriptor(const Sense& sense);

// The only conversion of a negative errno of librbd to a SCSI result. `error` >= 0 is GOOD.
// sense.cc has the reasons. `mismatch_at` is valid only with kMiscompare.
Result result_from_errno(int error, OpKind kind, uint32_t mismatch_at = 0);

}  // namespace tcmurbd::scsi
