// The system's resolver, and others that block a thread.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/host_and_service.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/threaded_resolver.hpp>
#include <ringlet/resolver.hpp>

#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "lookups.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;
namespace {

int family_number(address_family family) noexcept {
  switch (family) {
    case address_family::ipv4:
      return AF_INET;
    case address_family::ipv6:
      return AF_INET6;
    case address_family::any:
      break;
  }
  return AF_UNSPEC;
}

struct list_freer {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

std::error_code code_of(int refusal, int error) noexcept {
  if (refusal == EAI_SYSTEM) return {error, std::system_category()};
  if (refusal == EAI_MEMORY) return std::make_error_code(std::errc::not_enough_memory);
  if (refusal == EAI_ADDRFAMILY) return resolve_errc::no_address;
  return {refusal, resolve_category()};
}

// AI_ADDRCONFIG leaves out a family of which this host has only loopback addresses. It must not
// apply to a family that the caller has named, nor to a numeric address.
int flags_for(const name_query& asked) {
  if (check_host(asked.host)) return AI_NUMERICHOST;
  return asked.family == address_family::any ? AI_ADDRCONFIG : 0;
}

// On a thread of its own.
result<std::vector<address>> ask_system(const name_query& asked) {
  addrinfo wanted{};
  wanted.ai_family = family_number(asked.family);
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags_for(asked);
  addrinfo* list = nullptr;
  const char* service = asked.service.empty() ? nullptr : asked.service.c_str();
  const int refusal = ::getaddrinfo(asked.host.c_str(), service, &wanted, &list);
  if (refusal != 0) return code_of(refusal, errno);
  const std::unique_ptr<addrinfo, list_freer> owned(list);
  std::vector<address> found;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    const bool is_internet = one->ai_family == AF_INET || one->ai_family == AF_INET6;
    if (!is_internet || one->ai_addrlen > address::capacity) continue;
    address made;
    std::memcpy(made.data(), one->ai_addr, one->ai_addrlen);
    found.push_back(made);
  }
  return found;
}

}  // namespace

threaded_resolver::threaded_resolver(function ask)
    : ask_(std::make_shared<const function>(std::move(ask))) {}

task<std::vector<address>> threaded_resolver::look_up(name_query asked) {
  const std::string what = "cannot resolve \"" + asked.host + '"';
  const lookups::share mine(ask_, std::move(asked));
  const remote_future<lookups::answer> coming = mine.get_answer();
  const lookups::answer& answer = co_await coming.get();
  if (answer.thrown != nullptr) std::rethrow_exception(answer.thrown);
  if (!*answer.found) throw_error(answer.found->error(), what.c_str());
  co_return **answer.found;
}

resolver& system_resolver() {
  // Not destroyed: a fiber of another thread may use it after main().
  static threaded_resolver& instance = *new threaded_resolver(&ask_system);
  return instance;
}

}  // namespace ringlet
