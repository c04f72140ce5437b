// Closes descriptors that have no operation in flight.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/close_with_reset.hpp>
#include <ringlet/unique_fd.hpp>

#include <sys/socket.h>
#include <unistd.h>

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

}  // namespace ringlet
