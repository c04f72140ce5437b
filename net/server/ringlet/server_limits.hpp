// server_limits: how much a server does for its peers, and how long it waits for them.
//
//     server_limits for_chat() {
//       server_limits limits;
//       limits.connections_per_peer = 20;
//       limits.idle_timeout = 10min;
//       limits.busy_line = "too many connections, try again later\n";
//       return limits;
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/time_limit.hpp>

#include <chrono>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

namespace ringlet {

/// The limits of serve_connections(). The defaults suit a server that the internet reaches.
///
/// Timeouts  They hold whatever the handler does with its stream, and whatever limits it gives to
///           its own calls: the server watches the connection, not the calls. When a timeout
///           passes, the server closes the stream, and the handler's calls end with errc::closed.
///           Each is a duration of more than zero, or `forever`. A stream is closed within 10 ms
///           after its limit, or one turn of the scheduler if that is longer.
/// Cost      A timer for each connection, set anew a few times a minute; nothing is allocated, and
///           no call to the system is made, for a read or a write.
struct server_limits {
  /// No limit on a number.
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  /// How many handlers one call of serve_connections() may run at once, at least 1. An eighth of
  /// the descriptors that the process may open when the call begins (see raise_descriptor_limit()),
  /// or 1000 if that is less, are kept back for files and other connections: the limit is never
  /// more than the rest. A connection beyond the limit is closed.
  std::size_t connections = 10'000;
  /// The same for one peer, at least 1: for an IPv4 address, for the first 64 bits of an IPv6
  /// address, which one customer of a provider has, or for a user of a Unix socket. Unlimited by
  /// default: behind a proxy, all connections come from its address.
  std::size_t connections_per_peer = unlimited;
  /// What a connection beyond a limit is told before it is closed, if the protocol has such a line.
  /// It is written as far as that is possible without waiting. The text is borrowed, until the
  /// server has ended: usually a literal.
  std::string_view busy_line = {};

  /// How long the handler may wait for the first byte. Only the time that it waits for bytes
  /// counts, here and in idle_timeout: a handler that works, writes, or asks a database does not
  /// make its peer late.
  time_limit first_byte_timeout = std::chrono::seconds(10);
  /// How long the handler may wait for the next byte while it sends none either. A handler that
  /// waits for other things, too, such as a select() with a queue, waits for bytes all the time.
  /// A peer that sends a byte now and then is not idle: limit the time of a whole request in the
  /// handler, with with_timeout().
  time_limit idle_timeout = std::chrono::seconds(75);
  /// How long a write may wait while the peer takes no bytes; the connection is then reset. On TCP
  /// the bytes that the peer has acknowledged tell, so a slow peer is not late; the limit is then
  /// noticed up to a quarter later.
  time_limit write_stall_timeout = std::chrono::seconds(60);
  /// How long handlers may run after a stop; zero or less cancels them at once. Less than the
  /// default of options::shutdown_timeout, at whose end the main task is cancelled.
  time_limit drain_timeout = std::chrono::seconds(4);
};

// g++ 12 destroys a braced aggregate inside a co_await expression twice, and so also the default
// argument of serve_connections().
static_assert(std::is_trivially_destructible_v<server_limits>);

}  // namespace ringlet
