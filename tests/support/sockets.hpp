// Descriptors for tests, made with plain system calls, because the library itself is under test.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/unique_fd.hpp>

#include <netinet/in.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace ringlet::test {

/// Two connected ends. Bytes written to `far` can be read from `near`.
struct fd_pair {
  unique_fd near;
  unique_fd far;
};

/// A pair of Unix stream sockets.
fd_pair socket_pair();
/// The reading and the writing end of a pipe.
fd_pair pipe_pair();
/// A raw terminal: the program's side, and the side of the keyboard and screen. Both can be read
/// and written.
fd_pair terminal_pair();
/// A TCP listener on a free port of the loopback device, and where it is.
struct loopback_listener {
  explicit loopback_listener(int backlog = 16);
  unique_fd fd;
  sockaddr_in address;
};
/// A connected TCP pair over the loopback device.
fd_pair tcp_pair();
/// A socket that is connected to the listener, or will be shortly.
unique_fd connect_to(const loopback_listener& listener);

/// Writes all the bytes, which must fit.
void put(const unique_fd& fd, std::string_view text);
/// Reads everything that can be read without waiting.
std::string drain(const unique_fd& fd);
/// Writes until nothing more fits; returns the number of bytes.
std::size_t fill(const unique_fd& fd);

/// How many descriptors this process has open, of the first 1,024.
std::size_t count_open_descriptors();

}  // namespace ringlet::test
