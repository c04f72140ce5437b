// Running a piece of a test in a process of its own: for aborts, limits and seccomp filters, which
// cannot be taken back.
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

/// Forks, runs `action` in the child, and waits for its end. When the action returns the status
/// is 0, when it throws child_threw, and standard error has the what().
child_end run_in_child(const std::function<void()>& action);

/// fork() where it stands, for coroutines, which cannot wait in a function: run_in_child() in two
/// parts. What the child does is its own affair; it ends by _exit().
class forked_child {
 public:
  /// Forks; in the child standard error goes to the parent, and an alarm ends what hangs.
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

/// In a child: standard error becomes a pipe without a reader, and SIGPIPE ends the process again.
void lose_the_reader_of_errors();

/// Prints how a child ended that should have ended with `sentence`.
void describe_unexpected(const child_end& end, std::string_view sentence);

}  // namespace ringlet::test
