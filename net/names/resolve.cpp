// Checks a name, asks a resolver, and tidies its answer.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/host_and_service.hpp>
#include <ringlet/error.hpp>
#include <ringlet/resolve.hpp>
#include <ringlet/with_timeout.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace ringlet {
using namespace detail;
namespace {

bool is_wanted(const address& found, address_family family) noexcept {
  return family == address_family::any || found.is_ipv6() == (family == address_family::ipv6);
}

// Drops what was not asked for and what is there already.
std::vector<address> tidied(const std::vector<address>& found, address_family family,
                            std::optional<std::uint16_t> port) {
  std::vector<address> kept;
  kept.reserve(found.size());
  for (const address& one : found) {
    const address made = port ? one.with_port(*port) : one;
    if (!is_wanted(one, family)) continue;
    if (std::find(kept.begin(), kept.end(), made) == kept.end()) kept.push_back(made);
  }
  return kept;
}

}  // namespace

task<std::vector<address>> resolve(std::string host, std::string service, resolve_options options,
                                   time_limit timeout) {
  const std::optional<std::uint16_t> port = check_service(service);
  const std::optional<address> numeric = check_host(host);
  std::vector<address> found;
  if (port && numeric) {
    found.push_back(*numeric);
  } else {
    if (port) service.clear();
    name_query asked;
    asked.host = host;
    asked.service = std::move(service);
    asked.family = options.family;
    resolver& with = options.with != nullptr ? *options.with : system_resolver();
    auto call = with.look_up(std::move(asked));
    auto answer = co_await move_on_after(timeout, std::move(call));
    if (!answer) throw timed_out(("cannot resolve \"" + host + '"').c_str());
    found = *std::move(answer);
  }
  found = tidied(found, options.family, port);
  if (found.empty()) {
    throw_error(resolve_errc::no_address, ("cannot resolve \"" + host + '"').c_str());
  }
  co_return found;
}

task<std::vector<address>> resolve(std::string host, std::string service, time_limit timeout) {
  return resolve(std::move(host), std::move(service), resolve_options(), timeout);
}

}  // namespace ringlet
