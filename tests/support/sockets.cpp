// Creates, fills and drains descriptors.
// SPDX-License-Identifier: MIT
#include "support/sockets.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace ringlet::test {
namespace {

int checked(int result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::system_category(), call);
  return result;
}

sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<sockaddr*>(const_cast<sockaddr_in*>(&address));
}

// Whether a read or write of this descriptor would not wait. The descriptors here are blocking,
// like most that an engine gets.
bool is_ready(const unique_fd& fd, short events) {
  pollfd asked{fd.get(), events, 0};
  return ::poll(&asked, 1, 0) == 1;
}

}  // namespace

fd_pair socket_pair() {
  std::array<int, 2> ends{};
  checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), "socketpair");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

fd_pair pipe_pair() {
  std::array<int, 2> ends{};
  checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

fd_pair terminal_pair() {
  unique_fd master(checked(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), "posix_openpt"));
  checked(::grantpt(master.get()), "grantpt");
  checked(::unlockpt(master.get()), "unlockpt");
  std::array<char, 128> name{};
  checked(-::ptsname_r(master.get(), name.data(), name.size()), "ptsname_r");
  unique_fd slave(checked(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC), "open"));
  termios mode{};
  checked(::tcgetattr(slave.get(), &mode), "tcgetattr");
  ::cfmakeraw(&mode);
  checked(::tcsetattr(slave.get(), TCSANOW, &mode), "tcsetattr");
  return {std::move(slave), std::move(master)};
}

loopback_listener::loopback_listener(int backlog)
    : fd(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")), address{} {
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  checked(::bind(fd.get(), as_sockaddr(address), sizeof address), "bind");
  checked(::listen(fd.get(), backlog), "listen");
  socklen_t size = sizeof address;
  checked(::getsockname(fd.get(), as_sockaddr(address), &size), "getsockname");
}

unique_fd connect_to(const loopback_listener& listener) {
  unique_fd fd(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  checked(::connect(fd.get(), as_sockaddr(listener.address), sizeof listener.address), "connect");
  return fd;
}

fd_pair tcp_pair() {
  const loopback_listener listener;
  unique_fd far = connect_to(listener);
  return {
      unique_fd(checked(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept")),
      std::move(far)};
}

void put(const unique_fd& fd, std::string_view text) {
  const ssize_t written = ::write(fd.get(), text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) {
    throw std::system_error(errno, std::system_category(), "write");
  }
}

std::string drain(const unique_fd& fd) {
  std::string text;
  std::array<char, 4096> piece;
  while (is_ready(fd, POLLIN)) {
    const ssize_t count = ::read(fd.get(), piece.data(), piece.size());
    if (count <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::size_t fill(const unique_fd& fd) {
  const std::array<char, 4096> piece{};
  const int flags = ::fcntl(fd.get(), F_GETFL);
  ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);
  std::size_t total = 0;
  for (std::size_t size = piece.size(); size != 0;) {
    const ssize_t count = ::write(fd.get(), piece.data(), size);
    if (count > 0) total += static_cast<std::size_t>(count);
    if (count < 0) size /= 2;  // to the last byte
  }
  ::fcntl(fd.get(), F_SETFL, flags);
  return total;
}

std::size_t count_open_descriptors() {
  // Queries each number: opening /proc/self/fd would need a descriptor itself.
  constexpr int numbers = 1024;
  std::size_t count = 0;
  for (int fd = 0; fd < numbers; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

}  // namespace ringlet::test
