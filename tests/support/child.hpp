// Runs a part of a test in its own process: for aborts, limits and seccomp filters, which cannot be
// undone.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace ringlet::test {

/// How a child ended, and what it wrote to standard error.
struct child_end {
  int status = -1;  // its exit status; -1 when a signal ended it
  int signal = 0;
  std::string errors;
};

/// The exit status of a child whose action threw.
inline constexpr int child_threw = 99;

/// Forks, runs `action` in the child, and waits for its end. The status is 0 when the action
/// returns, and child_threw when it throws, with the what() on standard error.
child_end run_in_child(const std::function<void()>& action);

/// run_in_child() in two parts, for coroutines, which must call fork() in their own body. The child
/// decides what it does, and ends by _exit().
class forked_child {
 public:
  /// Forks; the child's standard error goes to the parent, and an alarm ends a child that hangs.
  forked_child();
  forked_child(const forked_child&) = delete;
  forked_child& operator=(const forked_child&) = delete;

  bool is_here() const noexcept { return child_ == 0; }
  /// In the parent: waits for the end of the child.
  child_end wait();

 private:
  int errors_[2] = {-1, -1};
  int child_ = -1;
};

/// In a child: standard error becomes a pipe without a reader, and SIGPIPE has its default action
/// again.
void lose_the_reader_of_errors();

/// Prints how a child ended that should have ended with `sentence`.
void describe_unexpected(const child_end& end, std::string_view sentence);

}  // namespace ringlet::test
