// Why the system refused an address with EINVAL.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>

namespace ringlet::detail {

/// `ipv6_only`: whether the socket has the option IPV6_V6ONLY.
inline const char* why_invalid(const address& refused, bool ipv6_only = false) noexcept {
  if (!refused.is_ipv6()) return "the system does not accept this address";
  const auto& name = *reinterpret_cast<const sockaddr_in6*>(refused.data());
  if (ipv6_only && IN6_IS_ADDR_V4MAPPED(&name.sin6_addr)) {
    return "it is an IPv4 address, and the option ipv6_only is set";
  }
  if (IN6_IS_ADDR_LINKLOCAL(&name.sin6_addr) && name.sin6_scope_id == 0) {
    return "a link-local address needs its interface, as in [fe80::1%eth0]:9090";
  }
  return "the system does not accept this address";
}

}  // namespace ringlet::detail
