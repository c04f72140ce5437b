// aborts_with: checks that a broken rule ends the program with the message that names it.
// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <string_view>

#include "support/child.hpp"

namespace ringlet::test {

/// Runs `action` in a forked child; true if the child ended with SIGABRT and `sentence` is part of
/// what it wrote to standard error. A crash for another reason does not pass.
///
/// The child has only this thread, and cannot start others under ThreadSanitizer.
template <class F>
bool aborts_with(std::string_view sentence, F&& action) {
  const child_end end = run_in_child(action);
  if (end.signal == SIGABRT && end.errors.find(sentence) != std::string::npos) return true;
  describe_unexpected(end, sentence);
  return false;
}

}  // namespace ringlet::test
