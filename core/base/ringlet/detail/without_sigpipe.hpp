// without_sigpipe: a scope in which a write on this thread does not raise SIGPIPE.
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

#include <cerrno>
#include <ctime>

namespace ringlet::detail {

/// A write raises SIGPIPE on the calling thread, so it is enough to block the signal there and to
/// consume it before unblocking. A SIGPIPE that was pending before stays pending: only a blocked
/// one can be. For calls that have no MSG_NOSIGNAL.
class without_sigpipe {
 public:
  without_sigpipe() noexcept {
    ::sigemptyset(&only_);
    ::sigaddset(&only_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
    was_pending_ = ::sigismember(&before_, SIGPIPE) == 1 && is_pending();
  }
  ~without_sigpipe() {
    if (!was_pending_ && is_pending()) {
      const timespec at_once{};
      while (::sigtimedwait(&only_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  without_sigpipe(const without_sigpipe&) = delete;
  without_sigpipe& operator=(const without_sigpipe&) = delete;

 private:
  static bool is_pending() noexcept {
    sigset_t pending;
    return ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 1;
  }

  sigset_t only_;
  sigset_t before_;
  bool was_pending_;
};

}  // namespace ringlet::detail
