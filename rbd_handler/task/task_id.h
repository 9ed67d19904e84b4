// SPDX-License-Identifier: Apache-2.0
// The name of a task: its slot in the TaskTable, from acquire() until release(). A type of its own,
// so that a command id, a count or a token of somebody else is not taken for one.
#pragma once

#include <cstdint>

namespace tcmurbd::task {

enum class TaskId : uint32_t {};

inline constexpr TaskId kNoTask{UINT32_MAX};

}  // namespace tcmurbd::task
