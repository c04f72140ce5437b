// What AddressSanitizer knows about memory, and whether a test can query it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/sanitizers.hpp>

#include <cstddef>

#ifdef RINGLET_ASAN
extern "C" int __asan_address_is_poisoned(void const volatile* address);
#endif

namespace ringlet::test {

#ifdef RINGLET_ASAN
inline constexpr bool sees_poison = true;
#else
inline constexpr bool sees_poison = false;
#endif

/// Whether that byte may not be touched; always false without AddressSanitizer.
inline bool is_poisoned([[maybe_unused]] const void* address) noexcept {
#ifdef RINGLET_ASAN
  return __asan_address_is_poisoned(address) != 0;
#else
  return false;
#endif
}

/// How many of the bytes are poisoned.
inline std::size_t count_poisoned(const void* first, std::size_t size) noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (is_poisoned(static_cast<const std::byte*>(first) + i)) ++count;
  }
  return count;
}

}  // namespace ringlet::test
