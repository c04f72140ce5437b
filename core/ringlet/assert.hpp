// RINGLET_ASSERT: checks a rule that the caller or we ourselves must keep, in every build.
//
// It is for bugs only. What the world can do (reset, refuse, run out) is reported as an error.
#pragma once

#include <cstddef>

namespace ringlet::detail {

/// Writes who runs on this thread, such as `in fiber 3 "reader", at server.cpp:44`, as a string of
/// less than `size` characters; an empty one when there is nothing to say. Must not allocate.
using rule_context = void (*)(char* text, std::size_t size) noexcept;
/// What broken_rule() calls from now on, on any thread. The scheduler sets it.
void set_rule_context(rule_context describe) noexcept;

/// Prints `sentence`, the rule that was broken, the fiber that runs on this thread, if there is
/// one, and the place of the rule to standard error, and aborts.
[[noreturn]] void broken_rule(const char* sentence, const char* file, int line) noexcept;

}  // namespace ringlet::detail

/// Aborts with `sentence` unless `condition` holds. Stays on in release builds: a broken rule in a
/// program that shares memory with the kernel is cheaper to see at once than to search for later.
#define RINGLET_ASSERT(condition, sentence)            \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::ringlet::detail::broken_rule((sentence), __FILE__, __LINE__))
