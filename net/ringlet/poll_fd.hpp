// poll_fd: waiting for a descriptor that another library owns.
#pragma once

#include <ringlet/operation_wait.hpp>
#include <ringlet/result.hpp>

#include <poll.h>

#include <coroutine>
#include <cstdint>

namespace ringlet {

/// See poll_fd().
class [[nodiscard]] poll_fd_wait final : public basic_operation_wait<two_phase_wait> {
 public:
  poll_fd_wait(int polled, short events, const until& limit) noexcept;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_operation(type, caller.promise());
  }
  result<short> take() {
    // A poll takes nothing: when the fiber was cancelled together with what it waits for, it does
    // not depend on the engine which of the two is told.
    rethrow_interruption();
    if (answer < 0) return failure();
    return static_cast<short>(answer);
  }
  short await_resume() {
    rethrow_interruption();
    return take_or_throw();
  }

  static constexpr bool has_hope = true;
  bool try_now() noexcept;
  void watch() noexcept { carrier().start(*this); }
  void unwatch() noexcept { carrier().cancel(*this); }
  bool lingers() const noexcept { return in_flight(); }
  static const wait_type type;

 private:
  short take_or_throw();
  static void on_completion(operation& op, const completion& done) noexcept;
  std::uint8_t disturbances_left_ = 16;
};

/// Waits until `fd` is ready for one of `events`, as poll(2): `co_await poll_fd(fd, POLLIN, 5s)`.
/// Yields what it is ready for: those of `events` that are, and POLLERR, POLLHUP or POLLNVAL as the
/// system tells them, asked for or not; never 0. For descriptors that another library reads and
/// writes: a line editor, a database client. Nothing is read or written, O_NONBLOCK stays as it is,
/// and the descriptor stays the library's. What is ready may not be any more when the library
/// looks: it has to be content with EAGAIN, so a blocking descriptor can stop the thread.
///
/// Events        POLLIN, POLLOUT, POLLPRI, POLLRDHUP and their like, or 0 for errors alone. What is
///               ready is told each time (level-triggered). Files and directories, which epoll
///               cannot wait for, are always ready, as in poll(2).
/// Errors        bad_file_descriptor when `fd` is not open. errc::timed_out. invalid_argument when
///               a file is asked for neither POLLIN nor POLLOUT, for nothing else ever comes.
/// Cancellation  Loses nothing.
/// Overlap       Any number of fibers may wait for one descriptor; each is told.
/// select()      It can be a part. When another part is taken, the select() returns as soon as
///               nothing waits for `fd` any more, in the next turn.
/// Closing       Do not close `fd` while a fiber waits: the wait may then not end. (io_uring waits
///               on for what the number stood for; epoll hears no more of it, nor of the next one
///               of that number as long as the wait lasts.) End it first, by a kill or a limit.
/// Streams       Of a ringlet stream it tells what the system knows, but not what has been received
///               and not taken yet, as its readable() does.
/// Signals       SIGINT and SIGTERM are run_main()'s. Others, such as SIGHUP and SIGUSR1, come
///               through a signalfd. Block them before the first thread is started, at the
///               beginning of main(), so that all threads do:
///
///                   sigset_t wanted;
///                   sigemptyset(&wanted);
///                   sigaddset(&wanted, SIGHUP);
///                   pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
///                   unique_fd signals(signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
///                   ...
///                   for (;;) {
///                     co_await poll_fd(signals.get(), POLLIN);
///                     signalfd_siginfo came;
///                     while (read(signals.get(), &came, sizeof came) == sizeof came) reload();
///                   }
inline poll_fd_wait poll_fd(int fd, short events, const until& limit = forever) noexcept {
  return poll_fd_wait(fd, events, limit);
}

}  // namespace ringlet
