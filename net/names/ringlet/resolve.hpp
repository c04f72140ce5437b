// resolve: the addresses of a host.
//
//     task<std::string> best_address_of(std::string host) {
//       const std::vector<address> all = co_await resolve(std::move(host), "443", 5s);
//       co_return all.front().to_string();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <string>
#include <vector>

namespace ringlet {

/// How a name is resolved.
struct resolve_options {
  /// The kind of addresses to return.
  address_family family = address_family::any;
  /// What looks the name up; null stands for system_resolver(). Must outlive the call.
  resolver* with = nullptr;
};

/// Returns the addresses of `host` with the port of `service`, without duplicates, at least one.
/// The system_resolver() returns them in the order of RFC 6724: try the first one first, or let
/// tcp_stream::connect() do that.
///
/// `host` is a name of 1 to 253 bytes, or a numeric address without brackets; `service` is a port
/// from 0 to 65535, or the name of a TCP service. If both are numbers, no thread and no resolver is
/// asked. A name is passed to the resolver as it is: DNS wants names of other scripts in their
/// ASCII form ("xn--...", RFC 5890), to which ringlet does not convert.
///
/// Errors    std::invalid_argument if `host` or `service` is empty, too long, or contains blanks,
///           control characters or zero bytes. std::system_error: see resolve_errc and
///           system_resolver(), with the name of the host. timed_out. std::bad_alloc.
/// Cancellation  Ends at once, and loses nothing but the answer.
/// Thread    See system_resolver().
/// Memory    The list, and what the resolver needs.
task<std::vector<address>> resolve(std::string host, std::string service, resolve_options options,
                                   time_limit timeout = forever);
/// The same with the default options.
task<std::vector<address>> resolve(std::string host, std::string service,
                                   time_limit timeout = forever);

}  // namespace ringlet
