// address: a socket address, which is an IPv4 or IPv6 address and a port.
//
//     task<tcp_stream> connect_to(std::string_view host_and_port) {
//       const address to = address::parse(host_and_port);  // throws std::invalid_argument
//       if (to.port() == 0) throw std::invalid_argument("port 0: " + to.to_string());
//       co_return co_await tcp_stream::connect(to, 5s);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringlet {

/// A value: copyable, comparable (IPv4 before IPv6, then by address, then by port). Any thread may
/// use it.
class address {
 public:
  /// 0.0.0.0:0.
  address() noexcept;

  /// Parses "192.0.2.1:9090" or "[2001:db8::1]:9090", with a port from 0 to 65535; an IPv6 zone
  /// follows a percent sign, by name or number: "[fe80::1%eth0]:9090". Numeric only: names are not
  /// looked up.
  ///
  /// Errors    std::invalid_argument, with a message that says what is wrong with `text`.
  ///           std::bad_alloc.
  /// Kernel    inet_pton(3), if_nametoindex(3).
  static address parse(std::string_view text);
  /// The same for a separate address and port; `host` has no brackets.
  static address parse(std::string_view host, std::uint16_t port);

  /// 127.0.0.1, which only this host reaches. For ::1, parse it.
  static address loopback(std::uint16_t port) noexcept;
  /// 0.0.0.0, which to a listener means all IPv4 addresses of this host. For all of both kinds,
  /// parse "[::]:9090"; see listen_options::ipv6_only.
  static address any(std::uint16_t port) noexcept;

  /// The IPv4 address that an IPv4-mapped IPv6 address ("::ffff:192.0.2.1") stands for, with the
  /// same port; any other address unchanged. For peers of a listener that accepts both.
  address unmapped() const noexcept;

  /// The same address with another port.
  address with_port(std::uint16_t port) const noexcept;

  /// False for IPv4.
  bool is_ipv6() const noexcept { return storage_.any.sa_family == AF_INET6; }
  /// The port, 0 to 65535, in the byte order of this host.
  std::uint16_t port() const noexcept;
  /// The address without the port, and without brackets: "127.0.0.1", "fe80::1%eth0".
  std::string host() const;
  /// The text form that parse() reads.
  std::string to_string() const;

  friend bool operator==(const address& a, const address& b) noexcept { return (a <=> b) == 0; }
  friend std::strong_ordering operator<=>(const address& a, const address& b) noexcept;

  /// For system calls, as a sockaddr_in or sockaddr_in6. A call that writes must leave AF_INET or
  /// AF_INET6 in its sa_family.
  sockaddr* data() noexcept { return &storage_.any; }
  const sockaddr* data() const noexcept { return &storage_.any; }
  /// How many bytes at data() are the address: 16 for IPv4, 28 for IPv6.
  socklen_t size() const noexcept { return is_ipv6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
  /// The number of bytes that a system call may write to data().
  static constexpr socklen_t capacity = sizeof(sockaddr_in6);

 private:
  union {
    sockaddr any;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
  } storage_;
};

}  // namespace ringlet
