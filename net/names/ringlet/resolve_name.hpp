// resolve_name: the name of the host that has an address.
//
//     task<std::string> name_for_the_log(address peer) {
//       const auto name = co_await as_result(resolve_name(peer, 1s));
//       co_return name ? *name + " (" + peer.host() + ')' : peer.host();
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <string>

namespace ringlet {

/// Returns the name of the host that has the address; its port does not matter. The owner of an
/// address decides what its name is, so a name is no proof: before you rely on it, resolve() it and
/// look for the address among the answers.
///
/// Errors    std::system_error: see resolve_errc and system_resolver(), with the address;
///           resolve_errc::no_name if the address has none. timed_out. std::bad_alloc.
/// Cancellation  Ends at once, and loses nothing but the answer.
/// Thread    See system_resolver(): equal lookups are one call, and a lookup waits for the same
///           threads as those of resolve().
/// Memory    The name, and what the resolver needs.
/// Kernel    getnameinfo(3).
task<std::string> resolve_name(address of, time_limit timeout = forever);
/// The same with another resolver, which must outlive the call.
task<std::string> resolve_name(address of, resolver& with, time_limit timeout = forever);

}  // namespace ringlet
