// What may be written: UTF-8, and names that can be told apart on a terminal.
#pragma once

#include <cstddef>
#include <string_view>

namespace chat {

/// What a person may be called, in characters, and a room.
inline constexpr std::size_t name_max = 32;

bool is_utf8(std::string_view text) noexcept;

/// What is wrong with that name, to tell the member that wants it; empty when nothing is.
std::string_view fault_of_name(std::string_view name);

/// Whether there is something in it that would move the cursor or ring the bell of its
/// readers. `text` is UTF-8.
bool has_controls(std::string_view text);

/// What stands between the words of a command.
inline constexpr std::string_view blanks = " \t";

/// Takes the first word off the front of `text`, and the blanks around it.
std::string_view take_word(std::string_view& text) noexcept;

}  // namespace chat
