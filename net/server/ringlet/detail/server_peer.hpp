// server_peer: who is at the other end of a server's connection.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/extend/descriptor.hpp>

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <string>

namespace ringlet::detail {

/// What the limit per peer counts by.
struct peer_key {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const peer_key&, const peer_key&) = default;
};

/// The address of the peer, or its process and user if it is a Unix socket. Asked for when the
/// connection is accepted: afterwards the peer may have disconnected.
class server_peer {
 public:
  /// Asks the system. A peer that has already disconnected is unknown.
  explicit server_peer(const extend::descriptor& connection) noexcept;

  peer_key key() const noexcept;
  /// "192.0.2.1:4711", "process 4711 of user 1000", or "an unknown peer". Throws std::bad_alloc.
  std::string to_string() const;

 private:
  enum class kind : std::uint8_t { unknown, internet, local };

  address address_;
  pid_t process_ = 0;
  uid_t user_ = 0;
  kind kind_ = kind::unknown;
};

}  // namespace ringlet::detail
