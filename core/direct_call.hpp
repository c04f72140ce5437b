// The operations that the kernel answers at once, as plain system calls. Shared by the engines.
#pragma once

#include <ringlet/operation.hpp>

namespace ringlet {

/// Makes the call that `op` describes. Returns a value >= 0 or a negated errno.
std::int32_t direct_call(operation& op) noexcept;

}  // namespace ringlet
