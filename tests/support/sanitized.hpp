// Whether a sanitizer slows the program down and takes the address space: some counts are smaller
// then.
#pragma once

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

// Whether alignments above 64 bytes are honoured. With clang under AddressSanitizer the size of a
// coroutine frame does not tell them; with g++ the temporaries on the fake stack miss 4096.
#ifdef RINGLET_TEST_ADDRESS_SANITIZER
inline constexpr bool large_alignments_hold = false;
#else
inline constexpr bool large_alignments_hold = true;
#endif

}  // namespace ringlet::test
