// The error of a value that is too long.
// SPDX-License-Identifier: MIT
#include <ringlet/codec.hpp>

#include <fmt/format.h>

namespace ringlet {

void detail::throw_value_too_long(const char* what, std::uint64_t size, std::uint64_t limit) {
  ringlet::throw_error(errc::too_long,
                       fmt::format("{} {} bytes, and the limit is {}", what, size, limit).c_str());
}

}  // namespace ringlet
