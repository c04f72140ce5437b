// What the kernel knows about a TCP connection. In a file of its own, because the system's two
// headers with struct tcp_info exclude each other, and only one has the newer fields.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/extend/descriptor.hpp>

#include <cstdint>

namespace ringlet::detail {

/// The fields of TCP_INFO that ringlet reports; see tcp_statistics for their meaning.
struct tcp_counters {
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_acknowledged = 0;
  std::uint32_t round_trip_us = 0;
  std::uint32_t round_trip_variation_us = 0;
  std::uint32_t retransmits = 0;
  std::uint32_t unacknowledged = 0;
  std::uint32_t congestion_window = 0;
};

/// Asks the kernel. Returns 0, or a negated errno: EOPNOTSUPP if it is no TCP socket.
std::int32_t read_tcp_info(const extend::descriptor& on, tcp_counters& found) noexcept;
/// The same for a dump, which a debugger may call on any thread.
std::int32_t read_tcp_info(const socket_calls::socket_on& on, tcp_counters& found) noexcept;

}  // namespace ringlet::detail
