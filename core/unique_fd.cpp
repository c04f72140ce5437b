// Closing a descriptor that nothing is in flight on.
#include <ringlet/unique_fd.hpp>

#include <unistd.h>

namespace ringlet {

void unique_fd::reset(int fd) noexcept {
  // The number is free whatever close(2) returns, so there is nothing to retry or report.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

}  // namespace ringlet
