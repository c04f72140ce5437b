// Forks a child and captures its standard error.
// SPDX-License-Identifier: MIT
#include "support/child.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>

namespace ringlet::test {
namespace {

// Seconds; SIGALRM ends a child that hangs. Longer than any child takes under a sanitizer.
constexpr unsigned patience = 100;

void become_the_child(int errors_fd) {
  ::dup2(errors_fd, STDERR_FILENO);
  // doctest would report signals in the name of the whole test program; this one is expected.
  std::signal(SIGABRT, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::alarm(patience);
}

[[noreturn]] void be_the_child(const std::function<void()>& action) {
  int status = 0;
  try {
    action();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = child_threw;
  } catch (...) {
    status = child_threw;
  }
  // Not exit(): the parent's buffers and exit handlers are the parent's.
  std::fflush(stderr);
  ::_exit(status);
}

}  // namespace

forked_child::forked_child() {
  if (::pipe(errors_) != 0) return;
  std::fflush(nullptr);  // ThreadSanitizer's _exit() writes the inherited buffers
  child_ = ::fork();
  if (child_ == 0) {
    become_the_child(errors_[1]);
  }
}

child_end forked_child::wait() {
  ::close(errors_[1]);
  child_end end;
  std::array<char, 4096> piece;
  for (ssize_t count = 1; child_ > 0 && count > 0;) {
    count = ::read(errors_[0], piece.data(), piece.size());
    if (count > 0) end.errors.append(piece.data(), static_cast<std::size_t>(count));
    if (count < 0 && errno == EINTR) count = 1;
  }
  ::close(errors_[0]);
  int status = 0;
  if (child_ < 0 || ::waitpid(child_, &status, 0) != child_) return end;
  if (WIFEXITED(status)) end.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

child_end run_in_child(const std::function<void()>& action) {
  forked_child child;
  if (child.is_here()) be_the_child(action);
  return child.wait();
}

void lose_the_reader_of_errors() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) ::_exit(1);
  ::dup2(ends[1], STDERR_FILENO);
  ::close(ends[0]);
  ::close(ends[1]);
  std::signal(SIGPIPE, SIG_DFL);
}

void describe_unexpected(const child_end& end, std::string_view sentence) {
  std::fprintf(stderr, "expected an abort with \"%.*s\", but: status %d, signal %d, errors:\n%s\n",
               static_cast<int>(sentence.size()), sentence.data(), end.status, end.signal,
               end.errors.c_str());
}

}  // namespace ringlet::test
