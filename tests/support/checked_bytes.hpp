// A stream of bytes that follow from their position: a piece that is lost, duplicated or out of
// order shows in the bytes after it.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace ringlet::test {

/// The period of the bytes: a prime, so that it cannot hide the loss of a piece of round size.
inline constexpr std::size_t checked_period = 1'000'003;

/// One period. Built once, because a storm checks millions of pieces, also without optimisation.
inline const std::vector<std::byte>& checked_table() {
  static const std::vector<std::byte> table = [] {
    std::vector<std::byte> made(checked_period);
    for (std::size_t i = 0; i < made.size(); ++i) {
      made[i] = static_cast<std::byte>(((i + 1) * 0x9e3779b97f4a7c15) >> 56);
    }
    return made;
  }();
  return table;
}

/// The byte at that position of the stream.
inline std::byte byte_at(std::uint64_t place) { return checked_table()[place % checked_period]; }

/// Calls `use(offset, bytes)` for the `size` bytes from that position on, piece by piece.
template <class Use>
void for_checked_bytes(std::uint64_t place, std::size_t size, Use use) {
  for (std::size_t at = 0; at < size;) {
    const std::size_t start = (place + at) % checked_period;
    const std::size_t count = std::min(size - at, checked_period - start);
    use(at, std::span(checked_table()).subspan(start, count));
    at += count;
  }
}

/// `size` bytes from that position on.
inline std::vector<std::byte> bytes_from(std::uint64_t place, std::size_t size) {
  std::vector<std::byte> made(size);
  for_checked_bytes(place, size, [&](std::size_t at, std::span<const std::byte> piece) {
    std::memcpy(made.data() + at, piece.data(), piece.size());
  });
  return made;
}

/// Whether these are the bytes from that position on.
inline bool are_bytes_from(std::uint64_t place, std::span<const std::byte> bytes) {
  bool right = true;
  for_checked_bytes(place, bytes.size(), [&](std::size_t at, std::span<const std::byte> piece) {
    right = right && std::memcmp(bytes.data() + at, piece.data(), piece.size()) == 0;
  });
  return right;
}

}  // namespace ringlet::test
