// RINGLET_ASSERT: checks, in every build, a rule that the caller or ringlet itself must keep.
//
// It is for bugs only. Failures from outside (a reset, a refusal, a shortage) are reported as
// errors.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ringlet::detail {

/// Describes what runs on this thread, such as `in fiber 3 "reader", at server.cpp:44`, in a string
/// of less than `size` characters; an empty string if there is nothing to say. Must not allocate.
using rule_context = void (*)(char* text, std::size_t size) noexcept;
/// Sets the function that broken_rule() calls, on any thread. The scheduler sets it.
void set_rule_context(rule_context describe) noexcept;

/// Prints to standard error `sentence` (the broken rule), the running fiber of this thread, if any,
/// and the place of the rule; then aborts.
[[noreturn]] void broken_rule(const char* sentence, const char* file, int line) noexcept;

}  // namespace ringlet::detail

/// Aborts with `sentence` unless `condition` holds. Stays on in release builds: in a program that
/// shares memory with the kernel, a broken rule is cheaper to catch immediately than to search for
/// later.
#define RINGLET_ASSERT(condition, sentence)            \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::ringlet::detail::broken_rule((sentence), __FILE__, __LINE__))
