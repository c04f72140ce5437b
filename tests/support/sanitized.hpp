// How the tests are built: whether a sanitizer slows the program down and reserves the address
// space, so that some counts are smaller, and which alignments the compiler honours.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define RINGLET_TEST_ADDRESS_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define RINGLET_TEST_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGLET_TEST_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define RINGLET_TEST_THREAD_SANITIZER 1
#endif
#endif

namespace ringlet::test {

#if defined(RINGLET_TEST_ADDRESS_SANITIZER) || defined(RINGLET_TEST_THREAD_SANITIZER)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

// The greatest alignment that is honoured. Without optimisation clang creates frames whose size
// does not tell their alignment; under AddressSanitizer all frames begin at multiples of 64, and
// the temporaries of g++ lie on a fake stack that misses 4096.
#if defined(RINGLET_TEST_ADDRESS_SANITIZER)
inline constexpr std::size_t alignment_held = 64;
#elif defined(__clang__) && !defined(__OPTIMIZE__)
inline constexpr std::size_t alignment_held = 16;
#else
inline constexpr std::size_t alignment_held = 4096;
#endif

}  // namespace ringlet::test
