// The getaddrinfo() and getnameinfo() of the test programs.
// SPDX-License-Identifier: MIT
#include "support/faulty_lookups.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <atomic>
#include <cerrno>

namespace ringlet::test {
namespace {

std::atomic<int> refusal_now = 0;
std::atomic<int> errno_now = 0;

}  // namespace

faulty_lookups::faulty_lookups(int refusal, int error) noexcept {
  errno_now = error;
  refusal_now = refusal;
}
faulty_lookups::~faulty_lookups() { refusal_now = 0; }

// The refusal, or else what the C library's function of that name returns.
template <class F, class... Args>
int refuse_or_call(const char* name, F*, Args... args) {
  if (const int refusal = refusal_now) {
    errno = errno_now;
    return refusal;
  }
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name))(args...);
}

}  // namespace ringlet::test

extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* wanted,
                           addrinfo** list) {
  return ringlet::test::refuse_or_call("getaddrinfo", &getaddrinfo, host, service, wanted, list);
}

extern "C" int getnameinfo(const sockaddr* of, socklen_t size, char* host, socklen_t host_size,
                           char* service, socklen_t service_size, int flags) {
  return ringlet::test::refuse_or_call("getnameinfo", &getnameinfo, of, size, host, host_size,
                                       service, service_size, flags);
}
