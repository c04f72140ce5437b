// Closing a descriptor that nothing is in flight on, and holding the places of missing ones.
#include <ringlet/unique_fd.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace ringlet {

void unique_fd::reset(int fd) noexcept {
  // The number is free whatever close(2) returns, so there is nothing to retry or report.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

void reserve_standard_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open(2) takes the lowest number, which is this one: those below are there by now. In the
    // wrong direction, so that its use fails with EBADF as if nothing were there.
    static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
}

}  // namespace ringlet
