// Converts text to bytes and back.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace ringlet::test {

/// The bytes of `text`, which must outlive the result.
inline std::span<const std::byte> bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text));
}

inline std::string_view text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The first `count` bytes.
inline std::string_view text(std::span<const std::byte> bytes, std::size_t count) noexcept {
  return text(bytes.first(count));
}

/// `size` bytes that differ by position, so that a lost or duplicated piece shows.
inline std::string pattern(std::size_t size) {
  std::string made(size, '\0');
  for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>('a' + i * 7 % 26 + i / 26 % 5);
  return made;
}

}  // namespace ringlet::test
