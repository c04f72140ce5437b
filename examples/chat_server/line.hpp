// A line for many members: built once, shared by all of their queues.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace chat {

/// Begins with the time, which is sent only to members that requested it, and ends with LF.
using line = std::shared_ptr<const std::string>;

/// The length in bytes of the time at the beginning: "12:34:56 ".
inline constexpr std::size_t time_bytes = 9;

/// Makes a line of that text with the current time.
line make_line(std::string_view text);

inline std::string_view with_time(const line& from) noexcept { return *from; }
inline std::string_view without_time(const line& from) noexcept {
  return std::string_view(*from).substr(time_bytes);
}

/// The weight of a line in a queue: its bytes.
struct bytes_of_line {
  std::size_t operator()(const line& measured) const noexcept { return measured->size(); }
};

}  // namespace chat
