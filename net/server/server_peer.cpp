// Asking who a peer is.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/server_peer.hpp>
#include <ringlet/detail/socket_calls.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace ringlet::detail {

server_peer::server_peer(const extend::descriptor& connection) noexcept {
  if (socket_calls::peer_name(connection, address_) < 0) return;
  const sa_family_t family = address_.data()->sa_family;
  if (family == AF_INET || family == AF_INET6) {
    kind_ = kind::internet;
    return;
  }
  address_ = address();
  ucred found{};
  if (socket_calls::option(connection, extend::opcode::get_option, SOL_SOCKET, SO_PEERCRED, found) <
      0)
    return;
  kind_ = kind::local;
  process_ = found.pid;
  user_ = found.uid;
}

peer_key server_peer::key() const noexcept {
  peer_key made;
  if (kind_ == kind::local) {
    made.high = ~std::uint64_t{0};  // no prefix of an address that is assigned
    made.low = user_;
  } else if (const address plain = address_.unmapped(); plain.is_ipv6()) {
    std::memcpy(&made.high, &reinterpret_cast<const sockaddr_in6*>(plain.data())->sin6_addr,
                sizeof made.high);
  } else {
    made.low = reinterpret_cast<const sockaddr_in*>(plain.data())->sin_addr.s_addr;
    made.low |= std::uint64_t{1} << 32;  // differs from an IPv6 prefix of zeros
  }
  return made;
}

std::string server_peer::to_string() const {
  switch (kind_) {
    case kind::unknown:
      return "an unknown peer";
    case kind::internet:
      return address_.to_string();
    case kind::local:
      return "process " + std::to_string(process_) + " of user " + std::to_string(user_);
  }
  return {};
}

}  // namespace ringlet::detail
