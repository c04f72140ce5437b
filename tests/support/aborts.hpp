// aborts_with: proves that a broken rule ends the program with the sentence that names it.
#pragma once

#include <csignal>
#include <string_view>

#include "support/child.hpp"

namespace ringlet::test {

/// Runs `action` in a forked child; whether that ended with SIGABRT and `sentence` was a part of
/// what it wrote to standard error. A crash for another reason does not pass.
///
/// The child has this thread only, and under ThreadSanitizer it can start no others.
template <class F>
bool aborts_with(std::string_view sentence, F&& action) {
  const child_end end = run_in_child(action);
  if (end.signal == SIGABRT && end.errors.find(sentence) != std::string::npos) return true;
  describe_unexpected(end, sentence);
  return false;
}

}  // namespace ringlet::test
