// The entry of every test program: runs its doctest cases on the engine that RINGLET_ENGINE names,
// or on the best one.
//
// The suites "uring: ..." test that engine: they are left out when another one is tested, and where
// the kernel refuses io_uring. If io_uring was requested there, nothing can be tested, which is not
// a success: exit status 77 means "skipped" to Meson.
//
// A case that leaks also fails: see leaks.hpp.
// SPDX-License-Identifier: MIT
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "leaks.hpp"

namespace {

constexpr int skipped = 77;

// 0, or the errno with which the kernel refuses a ring. Called directly, because the engine itself
// is under test.
int ring_refusal() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;  // Linux 6.1.
  const long fd = ::syscall(SYS_io_uring_setup, 1, &params);
  if (fd < 0) return errno;
  ::close(static_cast<int>(fd));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  doctest::Context tests(argc, argv);
  const char* const named = std::getenv("RINGLET_ENGINE");
  const std::string_view engine = named == nullptr ? "" : named;
  const int refusal = engine == "epoll" ? 0 : ring_refusal();
  if (refusal != 0) {
    std::printf(
        "the kernel refuses io_uring: %s (sysctl kernel.io_uring_disabled, a container's seccomp "
        "profile, or Linux older than 6.1)\n",
        std::strerror(refusal));
    if (engine == "uring") return skipped;
    // The message below is known by now, and tests check standard error.
    ::setenv("RINGLET_ENGINE", "epoll", 1);
  }
  if (engine == "epoll" || refusal != 0) tests.addFilter("test-suite-exclude", "uring:*");
  return ringlet::test::run_without_leaks(tests);
}
