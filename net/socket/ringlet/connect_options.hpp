// connect_options: how tcp_stream::connect() tries the addresses of a name.
//
//     task<tcp_stream> reach(std::string server) {
//       connect_options patient;
//       patient.attempt_delay = 1s;  // a slow network
//       co_return co_await tcp_stream::connect(std::move(server), patient, 10s);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/resolver.hpp>

#include <chrono>
#include <cstddef>

namespace ringlet {

/// For tcp_stream::connect() to a name. The defaults are those of RFC 8305.
struct connect_options {
  /// The kind of addresses to try.
  address_family family = address_family::any;
  /// What looks the name up; null stands for system_resolver(). Must outlive the call.
  resolver* with = nullptr;
  /// How long to wait for an attempt before the next one begins beside it, at least 10 ms. If an
  /// attempt fails, the next one begins at once.
  std::chrono::milliseconds attempt_delay{250};
  /// How long to wait for IPv6 addresses if the IPv4 addresses come first, at least 0. Matters only
  /// if the resolver splits families; the system_resolver() does not.
  std::chrono::milliseconds resolution_delay{50};
  /// How many attempts may be in flight at once, from 1 to 64.
  std::size_t attempts_max = 6;
};

}  // namespace ringlet
