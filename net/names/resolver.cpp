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
#include <variant>
#include <vector>

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

// On a thread of its own.
result<std::string> ask_system_for_name(const address& asked) {
  char name[NI_MAXHOST];
  const int refusal =
      ::getnameinfo(asked.data(), asked.size(), name, sizeof name, nullptr, 0, NI_NAMEREQD);
  if (refusal == EAI_NONAME) return make_error_code(resolve_errc::no_name);
  if (refusal != 0) return code_of(refusal, errno);
  return std::string(name);
}

std::string without_name(const address& asked) { return "cannot find the name of " + asked.host(); }

// Waits for a share in a call.
template <class T>
task<T> answered(std::shared_ptr<const threaded_resolver::functions> ask, lookups::question asked,
                 std::string what) {
  const lookups::share mine(std::move(ask), std::move(asked));
  const remote_future<lookups::answer> coming = mine.get_answer();
  const lookups::answer& answer = co_await coming.get();
  if (answer.thrown != nullptr) std::rethrow_exception(answer.thrown);
  if (!*answer.found) throw_error(answer.found->error(), what.c_str());
  co_return std::get<T>(**answer.found);
}

}  // namespace

task<std::string> resolver::look_up_name(address asked) {
  throw_error(resolve_errc::no_name, without_name(asked).c_str());
  co_return "";
}

threaded_resolver::threaded_resolver(function ask, name_function ask_name)
    : ask_(std::make_shared<const functions>(functions{std::move(ask), std::move(ask_name)})) {}

task<std::vector<address>> threaded_resolver::look_up(name_query asked) {
  std::string what = "cannot resolve \"" + asked.host + '"';
  return answered<std::vector<address>>(ask_, std::move(asked), std::move(what));
}

task<std::string> threaded_resolver::look_up_name(address asked) {
  if (!ask_->name) return resolver::look_up_name(asked);
  return answered<std::string>(ask_, asked, without_name(asked));
}

resolver& system_resolver() {
  // Not destroyed: a fiber of another thread may use it after main().
  static threaded_resolver& instance = *new threaded_resolver(&ask_system, &ask_system_for_name);
  return instance;
}

}  // namespace ringlet
