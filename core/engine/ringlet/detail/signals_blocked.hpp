// signals_blocked: for the start of threads of the library.
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

#include <initializer_list>

namespace ringlet::detail {

/// Signals are for the program's own threads. So threads of the library start with all of them
/// blocked, except those that a fault of the thread itself raises: if those were blocked, the
/// kernel would end the process without calling the program's crash handler. A new thread inherits
/// what is blocked while it is started.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t blocked;
    ::sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
      ::sigdelset(&blocked, fault);
    }
    ::pthread_sigmask(SIG_SETMASK, &blocked, &before_);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace ringlet::detail
