// What strangers wrote, made harmless for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace chat_client {

/// The same text with everything visible: control characters, which could move the cursor, retitle
/// the window or type for the user, as ^[ or <9b>; those that turn the direction of writing as
/// <202e>; what is no UTF-8 as the replacement character. Tabs stay.
std::string printable(std::string_view text);

/// `text` without the time that lines begin with after /time on: "12:34:56 ".
std::string_view without_time(std::string_view text) noexcept;

/// What lies between `before` and the next `after`, if `text` begins so; else nothing.
std::string_view between(std::string_view text, std::string_view before,
                         std::string_view after) noexcept;

}  // namespace chat_client
