// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/scsi/operation.h"

#include <type_traits>

namespace tcmurbd::scsi {
namespace {

template <typename T, typename... Of>
constexpr bool kIsOneOf = (std::is_same_v<T, Of> || ...);

}  // namespace

Operation operation_of(const Command& command) {
  return std::visit(
      []<typename T>(const T&) {
        if constexpr (kIsOneOf<T, Read>) return Operation::kRead;
        if constexpr (kIsOneOf<T, Write, WriteAtomic, OrWrite, WriteAndVerify>)
          return Operation::kWrite;
        if constexpr (kIsOneOf<T, Unmap>) return Operation::kUnmap;
        if constexpr (kIsOneOf<T, WriteSame>) return Operation::kWriteSame;
        if constexpr (kIsOneOf<T, CompareAndWrite>) return Operation::kCompareAndWrite;
        if constexpr (kIsOneOf<T, Verify>) return Operation::kVerify;
        if constexpr (kIsOneOf<T, ExtendedCopy>) return Operation::kExtendedCopy;
        if constexpr (kIsOneOf<T, SynchronizeCache>) return Operation::kFlush;
        return Operation::kOther;
      },
      command);
}

}  // namespace tcmurbd::scsi
