// Whether a sanitizer slows the program down and takes the address space: some counts are smaller
// then.
#pragma once

namespace ringlet::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

// Whether the size of a coroutine frame is a multiple of what its locals ask for. That of clang is
// not under AddressSanitizer.
#if defined(__clang__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool frames_tell_alignment = false;
#else
inline constexpr bool frames_tell_alignment = true;
#endif
#else
inline constexpr bool frames_tell_alignment = true;
#endif

}  // namespace ringlet::test
