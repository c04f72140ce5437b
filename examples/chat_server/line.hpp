// One line on its way to many members: made once, shared by all of their queues.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace chat {

/// Begins with the time, which is sent only to members that asked for it, and ends with a line
/// feed.
using line = std::shared_ptr<const std::string>;

/// How many bytes at the front of a line are the time: "12:34:56 ".
inline constexpr std::size_t time_bytes = 9;

/// The line with that text, as of now.
line make_line(std::string_view text);

inline std::string_view with_time(const line& from) noexcept { return *from; }
inline std::string_view without_time(const line& from) noexcept {
  return std::string_view(*from).substr(time_bytes);
}

/// How a queue of lines measures them: in bytes.
struct bytes_of_line {
  std::size_t operator()(const line& measured) const noexcept { return measured->size(); }
};

}  // namespace chat
