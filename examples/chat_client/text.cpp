// Processes lines from the server, character by character.
// SPDX-License-Identifier: MIT
#include "text.hpp"

#include <fmt/format.h>

#include <utf8.h>

#include <cstddef>
#include <iterator>

namespace chat_client {

namespace {

bool turns_or_breaks_lines(char32_t character) noexcept {
  return character == 0x061c || (character >= 0x200e && character <= 0x200f) ||
         (character >= 0x2028 && character <= 0x202e) ||
         (character >= 0x2066 && character <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string valid;
  utf8::replace_invalid(text.begin(), text.end(), std::back_inserter(valid));
  std::string shown;
  for (auto at = valid.cbegin(); at != valid.cend();) {
    const auto begin = at;
    const char32_t character = utf8::next(at, valid.cend());
    if ((character < 0x20 && character != '\t') || character == 0x7f) {
      shown += '^';
      shown += static_cast<char>(character ^ 0x40);
    } else if ((character >= 0x80 && character < 0xa0) || turns_or_breaks_lines(character)) {
      shown += fmt::format("<{:x}>", static_cast<unsigned>(character));
    } else {
      shown.append(begin, at);
    }
  }
  return shown;
}

std::string_view without_time(std::string_view text) noexcept {
  constexpr std::string_view form = "00:00:00 ";
  if (text.size() < form.size()) return text;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == '0' ? !digit : text[i] != form[i]) return text;
  }
  return text.substr(form.size());
}

std::string_view between(std::string_view text, std::string_view before,
                         std::string_view after) noexcept {
  if (!text.starts_with(before)) return {};
  text.remove_prefix(before.size());
  const std::size_t end = text.find(after);
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end);
}

}  // namespace chat_client
