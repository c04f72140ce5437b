// Processes UTF-8 character by character.
// SPDX-License-Identifier: MIT
#include "text.hpp"

#include <utf8.h>

#include <algorithm>
#include <cwctype>
#include <iterator>

namespace chat {
namespace {

// No-break spaces, which the C library does not count as blanks.
bool is_blank(std::wint_t character) noexcept {
  return std::iswspace(character) != 0 || character == 0xa0 || character == 0x2007 ||
         character == 0x202f;
}

// Characters without width, or with width but invisible: with these, a name could look like another
// name or like none. Combining characters are not included.
bool is_unseen(std::wint_t character) noexcept {
  struct range {
    std::wint_t first, last;
  };
  static constexpr range unseen[] = {
      {0xad, 0xad},     {0x61c, 0x61c},   {0x115f, 0x1160},   {0x180e, 0x180e}, {0x200b, 0x200f},
      {0x202a, 0x202e}, {0x2060, 0x206f}, {0x2800, 0x2800},   {0x3164, 0x3164}, {0xfeff, 0xfeff},
      {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
  };
  return std::any_of(std::begin(unseen), std::end(unseen), [character](const range& each) {
    return each.first <= character && character <= each.last;
  });
}

}  // namespace

bool is_utf8(std::string_view text) noexcept { return utf8::is_valid(text.begin(), text.end()); }

std::string_view fault_of_name(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.front() == '/' || name.front() == '*') return "it begins with / or *";
  if (name.back() == ':') return "it ends with a colon";
  std::size_t characters = 0;
  for (auto at = name.begin(); at != name.end(); ++characters) {
    const auto character = static_cast<std::wint_t>(utf8::next(at, name.end()));
    if (is_blank(character)) return "it has a blank";
    if (std::iswprint(character) == 0) return "it has a character that cannot be printed";
    if (is_unseen(character)) return "it has a character that cannot be seen";
  }
  return characters > name_max ? "it has more than 32 characters" : "";
}

bool has_controls(std::string_view text) {
  for (auto at = text.begin(); at != text.end();) {
    const auto character = utf8::next(at, text.end());
    if ((character < 0x20 && character != '\t') || (character >= 0x7f && character < 0xa0)) {
      return true;
    }
  }
  return false;
}

std::string_view take_word(std::string_view& text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(blanks));
  text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return word;
}

}  // namespace chat
