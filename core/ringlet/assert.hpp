// RINGLET_ASSERT: checks a rule that the caller or we ourselves must keep, in every build.
//
// It is for bugs only. What the world can do (reset, refuse, run out) is reported as an error.
#pragma once

namespace ringlet::detail {

/// Prints `sentence`, the rule that was broken, with its place to standard error and aborts.
[[noreturn]] void broken_rule(const char* sentence, const char* file, int line) noexcept;

}  // namespace ringlet::detail

/// Aborts with `sentence` unless `condition` holds. Stays on in release builds: a broken rule in a
/// program that shares memory with the kernel is cheaper to see at once than to search for later.
#define RINGLET_ASSERT(condition, sentence)            \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::ringlet::detail::broken_rule((sentence), __FILE__, __LINE__))
