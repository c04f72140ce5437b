// Prints to standard error without SIGPIPE.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/detail/without_sigpipe.hpp>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace ringlet::detail {

void report(const char* format, ...) noexcept {
  const int saved_errno = errno;
  {
    const without_sigpipe guard;
    std::va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fflush(stderr);  // the program may have made stderr buffered
  }
  errno = saved_errno;
}

}  // namespace ringlet::detail
