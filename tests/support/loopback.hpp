// Connected pairs of streams on this host, and sockets that a test drives as the peer.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/task.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unique_fd.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

namespace ringlet::test {

/// The two ends of a connection.
struct connection {
  tcp_stream near;
  tcp_stream far;
};

/// A connection through `listener`. No other fiber may connect to it at the same time.
inline task<connection> connected_through(tcp_listener& listener) {
  tcp_stream near = co_await tcp_stream::connect(listener.local_address());
  tcp_stream far = co_await listener.accept();
  co_return connection{std::move(near), std::move(far)};
}

inline task<connection> connected_pair() {
  auto listener = tcp_listener::bind("127.0.0.1:0");
  co_return co_await connected_through(listener);
}

/// A blocking socket that is connected on return: the system accepts for the listener.
inline unique_fd raw_connect(const address& peer) {
  unique_fd made(::socket(peer.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(made.get(), peer.data(), peer.size()) != 0) made.reset();
  return made;
}

/// One end is a stream, the other a socket that the test drives.
struct half_raw_connection {
  tcp_stream stream;
  unique_fd raw;
};

inline task<half_raw_connection> half_raw_pair() {
  auto listener = tcp_listener::bind("127.0.0.1:0");
  unique_fd raw = raw_connect(listener.local_address());
  tcp_stream stream = co_await listener.accept();
  co_return half_raw_connection{std::move(stream), std::move(raw)};
}

/// Whether this system knows localhost: a new root folder has no /etc/hosts. If not, it prints that
/// a part of the case is skipped.
inline bool has_localhost() {
  addrinfo wanted{};
  wanted.ai_family = AF_INET;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo("localhost", nullptr, &wanted, &found);
  if (error != 0) {
    MESSAGE("skipped: localhost has no address here: ", std::string(::gai_strerror(error)));
    return false;
  }
  ::freeaddrinfo(found);
  return true;
}

/// Whether that number is an open descriptor of this process.
inline bool is_open(int fd) noexcept { return ::fcntl(fd, F_GETFD) != -1; }

/// How many descriptors this process has open.
inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace ringlet::test
