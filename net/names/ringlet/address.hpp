// address: a socket address, which is an IPv4 or IPv6 address and a port.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringlet {

/// A value: copyable, comparable (IPv4 before IPv6, then by address, then by port).
class address {
 public:
  /// 0.0.0.0:0.
  address() noexcept;

  /// Parses "192.0.2.1:9090" or "[2001:db8::1]:9090"; an IPv6 zone follows a percent sign, by name
  /// or number: "[fe80::1%eth0]:9090". Numeric only: names are not looked up.
  /// Errors    std::errc::invalid_argument, with a message that says what is wrong with `text`.
  static address parse(std::string_view text);
  /// The same for a separate address and port; `host` has no brackets.
  static address parse(std::string_view host, std::uint16_t port);

  /// The IPv4 addresses 127.0.0.1 (loopback) and 0.0.0.0 (any: all addresses of this host).
  static address loopback(std::uint16_t port) noexcept;
  static address any(std::uint16_t port) noexcept;

  /// The IPv4 address that an IPv4-mapped IPv6 address ("::ffff:192.0.2.1") stands for, with the
  /// same port; any other address unchanged. For peers of a listener that accepts both.
  address unmapped() const noexcept;

  bool is_ipv6() const noexcept { return storage_.any.sa_family == AF_INET6; }
  std::uint16_t port() const noexcept;
  /// The address without the port.
  std::string host() const;
  /// The text form that parse() reads.
  std::string to_string() const;

  friend bool operator==(const address& a, const address& b) noexcept { return (a <=> b) == 0; }
  friend std::strong_ordering operator<=>(const address& a, const address& b) noexcept;

  /// For system calls.
  sockaddr* data() noexcept { return &storage_.any; }
  const sockaddr* data() const noexcept { return &storage_.any; }
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
