// Closing a descriptor that nothing is in flight on, and holding the places of missing ones.
#include <ringlet/detail/close_with_reset.hpp>
#include <ringlet/unique_fd.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ringlet {
namespace {

using descriptor_closer = void (*)(int fd) noexcept;
thread_local constinit descriptor_closer closer_here = nullptr;

}  // namespace

void detail::set_descriptor_closer(void (*closer)(int fd) noexcept) noexcept {
  closer_here = closer;
}

void unique_fd::reset(int fd) noexcept {
  const int closed = std::exchange(fd_, fd);
  if (closed < 0) return;
  if (closer_here != nullptr) return closer_here(closed);
  // The number is free whatever close(2) returns, so there is nothing to retry or report.
  ::close(closed);
}

void detail::close_with_reset(int fd) noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(fd);
}

void reserve_standard_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open(2) takes the lowest number, which is this one: those below are there by now. In the
    // wrong direction, so that its use fails with EBADF as if nothing were there.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) >= 0) continue;
    // Where there is no /dev (a chroot) the root does: by such a descriptor nothing can be read or
    // written.
    static_cast<void>(::open("/", O_PATH));
  }
}

}  // namespace ringlet
