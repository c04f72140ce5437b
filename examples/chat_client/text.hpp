// Makes text from strangers safe to print on a terminal.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace chat_client {

/// The same text with everything visible. Control characters, which could move the cursor, retitle
/// the window or type for the user, become ^[ or <9b>; characters that change the writing direction
/// become <202e>; invalid UTF-8 becomes the replacement character. Tabs stay.
std::string printable(std::string_view text);

/// `text` without the time ("12:34:56 ") that begins lines after /time on.
std::string_view without_time(std::string_view text) noexcept;

/// The text between `before` and the next `after` if `text` begins with `before`; otherwise empty.
std::string_view between(std::string_view text, std::string_view before,
                         std::string_view after) noexcept;

}  // namespace chat_client
