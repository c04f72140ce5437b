// Throws EINVAL with a reason: the system's text, "Invalid argument", does not say which argument.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/error.hpp>

#include <string>
#include <system_error>

namespace ringlet::detail {

/// As throw_error(), but if the error is EINVAL, `reason` takes the place of the system's text. For
/// calls that know what was invalid; ringlet::throw_error() has a reason that fits every call.
[[noreturn]] void throw_error(std::error_code code, const std::string& what, const char* reason);

}  // namespace ringlet::detail
