// Throwing EINVAL with a sentence: the system's own text, "Invalid argument", does not say which.
#pragma once

#include <ringlet/error.hpp>

#include <string>
#include <system_error>

namespace ringlet::detail {

/// As throw_error(), but if the error is EINVAL, `reason` takes the place of the system's text. A
/// caller gives the reason that it knows; throw_error() itself has one that fits every call.
[[noreturn]] void throw_error(std::error_code code, const std::string& what, const char* reason);

}  // namespace ringlet::detail
