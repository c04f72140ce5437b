// poll_fd: waits for a descriptor that another library owns.
//
//     #include <signal.h>
//     #include <sys/signalfd.h>
//     #include <unistd.h>
//
//     task<> on_hangup(std::function<void()> reload) {
//       sigset_t wanted;
//       sigemptyset(&wanted);
//       sigaddset(&wanted, SIGHUP);
//       pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
//       unique_fd signals(signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
//       for (;;) {
//         co_await poll_fd(signals.get(), POLLIN);
//         signalfd_siginfo info;
//         while (read(signals.get(), &info, sizeof info) == sizeof info) reload();
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/poll_fd_wait.hpp>

#include <poll.h>

namespace ringlet {

/// Waits until `fd` is ready for one of `events`, like poll(2): `co_await poll_fd(fd, POLLIN, 5s)`.
/// Returns the events that are ready, never 0: those in `events`, and POLLERR, POLLHUP or POLLNVAL
/// whether requested or not. For descriptors that another library reads and writes: a line editor,
/// a database client. poll_fd() reads and writes nothing and leaves O_NONBLOCK unchanged; the
/// library keeps ownership. Readiness can be stale by the time the library acts. The library must
/// handle EAGAIN; a blocking descriptor may therefore block the thread.
///
/// Events    POLLIN, POLLOUT, POLLPRI, POLLRDHUP and similar, or 0 for errors only. Every call
///           reports what is ready (level-triggered). Files and directories, which epoll cannot
///           wait for, are always ready, as in poll(2).
/// Overlap   Any number of fibers may wait for one descriptor; each is resumed.
/// Select    May be a part of a select(). If another call is taken, the select() returns in the
///           next turn, once the poll of `fd` has ended.
/// Streams   For a ringlet stream, poll_fd() reports the state of the socket. Unlike readable(), it
///           does not see bytes that ringlet has received and the program has not taken.
/// Signals   run_main() handles SIGINT and SIGTERM. Receive other signals, such as SIGHUP and
///           SIGUSR1, through a signalfd(2), as the example for SIGHUP does. Block them at the
///           beginning of main(), before the first thread is started, so that all threads block
///           them.
/// Errors    std::system_error: bad_file_descriptor if `fd` is not open; errc::timed_out;
///           invalid_argument if `events` for a file has neither POLLIN nor POLLOUT, because a file
///           never reports anything else.
/// Cancellation  Loses nothing.
/// Lifetime  Do not close `fd` while a fiber waits: the wait may then not end. (io_uring keeps
///           waiting for the old descriptor. epoll reports nothing more for it, nor for a new
///           descriptor with the same number while the wait lasts.) End the wait first, with a kill
///           or a timeout.
/// Thread    Any fiber may wait for any descriptor, also for one that other threads use.
/// Memory    None.
/// Kernel    poll(2).
inline extend::poll_fd_wait poll_fd(int fd, short events,
                                    const time_limit& timeout = forever) noexcept {
  return extend::poll_fd_wait(fd, events, timeout);
}

}  // namespace ringlet
