// Looking at UTF-8 character by character.
#include "text.hpp"

#include <utf8.h>

#include <algorithm>
#include <cwctype>

namespace chat {

bool is_utf8(std::string_view text) noexcept { return utf8::is_valid(text.begin(), text.end()); }

std::string_view fault_of_name(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.front() == '/' || name.front() == '*') return "it begins with / or *";
  std::size_t characters = 0;
  for (auto at = name.begin(); at != name.end(); ++characters) {
    const auto character = static_cast<std::wint_t>(utf8::next(at, name.end()));
    if (std::iswspace(character) != 0) return "it has a blank";
    if (std::iswprint(character) == 0) return "it has a character that cannot be printed";
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
  constexpr std::string_view blanks = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(blanks));
  text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return word;
}

}  // namespace chat
