// Lines that the library prints on standard error do not end the program when no process reads
// them.
//
// Method: a child process whose standard error is a pipe without a reader.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>

#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "support/child.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

bool sigpipe_is_pending() {
  sigset_t pending;
  ::sigpending(&pending);
  return ::sigismember(&pending, SIGPIPE) == 1;
}

}  // namespace

TEST_SUITE_BEGIN("report");

TEST_CASE("report() formats a line like fprintf") {
  const child_end end = run_in_child([] { detail::report("%d of %s\n", 3, "four"); });
  CHECK(end.status == 0);
  CHECK(end.errors == "3 of four\n");
}

TEST_CASE("a line that no process reads is lost, and the program continues") {
  const child_end end = run_in_child([] {
    lose_the_reader_of_errors();
    errno = EDOM;
    detail::report("a line\n");
    detail::report("another one\n");
    if (errno != EDOM) ::_exit(2);
    if (sigpipe_is_pending()) ::_exit(3);
    sigset_t blocked;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    if (::sigismember(&blocked, SIGPIPE) == 1) ::_exit(4);
  });
  CHECK(end.signal == 0);
  CHECK(end.status == 0);
}

TEST_CASE("a SIGPIPE that the program has blocked stays pending") {
  const child_end end = run_in_child([] {
    lose_the_reader_of_errors();
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    ::raise(SIGPIPE);
    detail::report("a line\n");
    if (!sigpipe_is_pending()) ::_exit(2);
  });
  CHECK(end.status == 0);
}

TEST_SUITE_END();
