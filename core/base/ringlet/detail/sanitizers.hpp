// Tells AddressSanitizer which memory must not be touched: free frames of the pool, buffers that
// are not on lease, and memory that the kernel is about to fill. Without AddressSanitizer these
// functions do nothing.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define RINGLET_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGLET_ASAN 1
#endif
#endif

#ifdef RINGLET_ASAN
extern "C" {
void __asan_poison_memory_region(void const volatile* address, std::size_t size);
void __asan_unpoison_memory_region(void const volatile* address, std::size_t size);
void* __asan_region_is_poisoned(void* address, std::size_t size);
void __asan_describe_address(void* address);
}
#endif

namespace ringlet::detail {

/// Makes every later access to the memory an error report, until unpoison().
inline void poison([[maybe_unused]] const void* address,
                   [[maybe_unused]] std::size_t size) noexcept {
#ifdef RINGLET_ASAN
  __asan_poison_memory_region(address, size);
#endif
}

/// Allows access again.
inline void unpoison([[maybe_unused]] const void* address,
                     [[maybe_unused]] std::size_t size) noexcept {
#ifdef RINGLET_ASAN
  __asan_unpoison_memory_region(address, size);
#endif
}

/// The first byte of that memory that must not be touched: freed, out of scope, or poisoned. Null
/// if there is none, and always without AddressSanitizer.
inline void* first_poisoned([[maybe_unused]] void* address,
                            [[maybe_unused]] std::size_t size) noexcept {
#ifdef RINGLET_ASAN
  return size == 0 ? nullptr : __asan_region_is_poisoned(address, size);
#else
  return nullptr;
#endif
}

/// Prints what AddressSanitizer knows about that byte: where it was allocated and freed.
inline void describe_address([[maybe_unused]] void* address) noexcept {
#ifdef RINGLET_ASAN
  __asan_describe_address(address);
#endif
}

}  // namespace ringlet::detail
