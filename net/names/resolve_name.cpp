// Asks a resolver for the name of an address.
// SPDX-License-Identifier: MIT
#include <ringlet/error.hpp>
#include <ringlet/resolve_error.hpp>
#include <ringlet/resolve_name.hpp>
#include <ringlet/with_timeout.hpp>

#include <utility>

namespace ringlet {

task<std::string> resolve_name(address of, resolver& with, time_limit timeout) {
  const address asked = of.unmapped().with_port(0);
  auto call = with.look_up_name(asked);
  auto name = co_await move_on_after(timeout, std::move(call));
  const std::string what = "cannot find the name of " + asked.host();
  if (!name) throw timed_out(what.c_str());
  if (name->empty()) throw_error(resolve_errc::no_name, what.c_str());
  co_return *std::move(name);
}

task<std::string> resolve_name(address of, time_limit timeout) {
  return resolve_name(of, system_resolver(), timeout);
}

}  // namespace ringlet
