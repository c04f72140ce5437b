// unix_address: the address of a Unix socket, which is a path, an abstract name or nothing.
//
//     const auto file = unix_address::parse("/run/service/socket");
//     const auto name = unix_address::parse("@service");  // abstract: there is no file
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>

namespace ringlet {

/// A value: copyable and comparable, by kind and then by bytes.
///
/// A path names a file of type socket; its directory and permissions say who may connect. A path
/// has 1 to 107 bytes, and no zero byte. An abstract name has 1 to 107 bytes of any value. It is
/// known in one network namespace, to every user there, and free again when its socket closes.
///
/// Thread    Any, like other values.
/// Memory    In the object, 112 bytes.
/// Kernel    unix(7).
class unix_address {
 public:
  /// The longest path and the longest abstract name, in bytes.
  static constexpr std::size_t name_max = sizeof(sockaddr_un::sun_path) - 1;

  /// Of a socket that was not bound, such as the client's end of a connection.
  unix_address() noexcept;

  /// A path, or "@name" for an abstract name. Write "./@name" for a path that begins with "@".
  /// Errors    std::invalid_argument, with a message that says what is wrong with `text`.
  static unix_address parse(std::string_view text);
  /// A path, whatever it begins with.
  static unix_address path(std::string_view path);
  /// An abstract name, without the "@".
  static unix_address abstract(std::string_view name);

  /// Whether it names a file.
  bool is_path() const noexcept { return !name().empty() && !is_abstract(); }
  /// Whether it is an abstract name.
  bool is_abstract() const noexcept { return length_ > header && data_.sun_path[0] == '\0'; }
  /// The path, or the abstract name; empty if there is none.
  std::string_view name() const noexcept;
  /// The text form that parse() reads, with '@' for zero bytes; "unnamed" if there is no name.
  std::string to_string() const;

  friend bool operator==(const unix_address& a, const unix_address& b) noexcept {
    return (a <=> b) == 0;
  }
  friend std::strong_ordering operator<=>(const unix_address& a, const unix_address& b) noexcept;

  /// For system calls.
  sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&data_); }
  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&data_); }
  /// How many bytes of data() a system call reads.
  socklen_t size() const noexcept { return length_; }
  /// For system calls that write to data(): how many bytes the kernel has written.
  void set_size(socklen_t size) noexcept;
  /// The number of bytes that a system call may write to data().
  static constexpr socklen_t capacity = sizeof(sockaddr_un);

 private:
  static constexpr socklen_t header = offsetof(sockaddr_un, sun_path);

  socklen_t length_ = header;
  sockaddr_un data_{};
};

}  // namespace ringlet
