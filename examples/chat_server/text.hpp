// Rules for text: UTF-8, and names that are distinguishable on a terminal.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

namespace chat {

/// The longest name of a member or room, in characters.
inline constexpr std::size_t name_max = 32;

bool is_utf8(std::string_view text) noexcept;

/// What is wrong with a name, for the notice to the member; empty if it is valid.
std::string_view fault_of_name(std::string_view name);

/// Whether it contains characters that would move the cursor or ring the bell of a reader's
/// terminal. `text` is UTF-8.
bool has_controls(std::string_view text);

/// The separators between the words of a command.
inline constexpr std::string_view blanks = " \t";

/// Removes the first word and the blanks around it from the front of `text`, and returns the word.
std::string_view take_word(std::string_view& text) noexcept;

}  // namespace chat
