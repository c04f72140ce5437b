// The signal handler, and the exit codes of a program.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/detail/signal_watch.hpp>
#include <ringlet/error.hpp>

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <thread>

namespace ringlet::detail {
using namespace extend;

namespace {

constexpr int exit_failure = 1;
constexpr int exit_software = 70;  // EX_SOFTWARE of sysexits(3)
constexpr int exit_signal_base = 128;

// The signal handler may touch only lock-free atomics and the engines' eventfds.
std::atomic<int> received_signal = 0;
std::atomic<int> handlers_running = 0;  // on any thread: the engines must outlive them

}  // namespace

constinit std::atomic<const signal_watch*> signal_watch::here = nullptr;

void signal_watch::on_signal(int number) {
  const int saved_errno = errno;
  if (received_signal.exchange(number) != 0) ::_exit(exit_signal_base + number);
  ++handlers_running;
  if (const signal_watch* const watch = here) {
    for (engine* const sleeper : watch->woken_) sleeper->wake();
  }
  --handlers_running;
  errno = saved_errno;
}

signal_watch::signal_watch(std::span<engine* const> woken) : woken_(woken) {
  static const int registered = ::pthread_atfork(nullptr, nullptr, &in_child);
  if (registered != 0) throw std::bad_alloc();
  received_signal = 0;
  RINGLET_ASSERT(here.exchange(this) == nullptr,
                 "run_main() was called while another run_main() was running");
  struct sigaction action = {};
  action.sa_handler = &on_signal;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &before_interrupt_);
  ::sigaction(SIGTERM, &action, &before_terminate_);
}

signal_watch::~signal_watch() {
  restore();
  here = nullptr;
  while (handlers_running != 0) std::this_thread::yield();
}

void signal_watch::restore() const noexcept {
  ::sigaction(SIGINT, &before_interrupt_, nullptr);
  ::sigaction(SIGTERM, &before_terminate_, nullptr);
}

void signal_watch::in_child() noexcept {
  handlers_running = 0;
  received_signal = 0;
  if (const signal_watch* const left = here.exchange(nullptr)) left->restore();
}

void signal_watch::attach(scheduler& handling) noexcept {
  handling.signal().watch(received_signal);
  handling.set_stuck_handler([] { ::_exit(exit_software); });
}

int signal_watch::received() noexcept { return received_signal; }

int exit_code_after(const std::exception_ptr& error, const char* prefix) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failed) {
    if (failed.code() == errc::fiber_cancelled && received_signal != 0) {
      return exit_signal_base + received_signal;
    }
    report("%s%s\n", prefix, failed.what());
  } catch (const std::bad_alloc&) {
    report("%sout of memory, and the main task did not handle it (std::bad_alloc)\n", prefix);
  } catch (const std::exception& failed) {
    report("%s%s\n", prefix, failed.what());
  } catch (...) {
    report("%sthe main task ended with an exception that is not a std::exception\n", prefix);
  }
  return exit_failure;
}

}  // namespace ringlet::detail
