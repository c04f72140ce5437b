// Prints to standard error without SIGPIPE.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>

#include <signal.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace ringlet::detail {
namespace {

bool is_pending(int signal) noexcept {
  sigset_t pending;
  return ::sigpending(&pending) == 0 && ::sigismember(&pending, signal) == 1;
}

// write(2) raises SIGPIPE on the calling thread, so it is enough to block the signal there and to
// consume it before unblocking. A SIGPIPE that was pending before stays pending.
class without_sigpipe {
 public:
  without_sigpipe() noexcept {
    ::sigemptyset(&only_);
    ::sigaddset(&only_, SIGPIPE);
    was_pending_ = is_pending(SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  ~without_sigpipe() {
    if (!was_pending_ && is_pending(SIGPIPE)) {
      const timespec at_once{};
      while (::sigtimedwait(&only_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  without_sigpipe(const without_sigpipe&) = delete;
  without_sigpipe& operator=(const without_sigpipe&) = delete;

 private:
  sigset_t only_;
  sigset_t before_;
  bool was_pending_;
};

}  // namespace

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
