// The system's resolver: what it makes of each error of getaddrinfo() and getnameinfo().
// SPDX-License-Identifier: MIT
#include <ringlet/resolve.hpp>
#include <ringlet/resolve_name.hpp>
#include <ringlet/resolver.hpp>

#include <doctest/doctest.h>

#include <netdb.h>

#include <cerrno>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "support/faulty_lookups.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

template <class T>
task<std::error_code> error_of(task<T> call, std::string start) {
  try {
    co_await std::move(call);
  } catch (const std::system_error& error) {
    CHECK(std::string(error.what()) == start + ": " + error.code().message());
    co_return error.code();
  }
  co_return std::error_code();
}

}  // namespace

TEST_SUITE_BEGIN("system_resolver");

TEST_CASE("each error of the system's calls has a code of its own, and names what was asked") {
  struct refusal {
    int number;
    std::error_code expected;
    int error = 0;
  };
  const std::vector<refusal> refusals = {
      {EAI_NONAME, resolve_errc::host_not_found},
      {EAI_AGAIN, resolve_errc::temporary_failure},
      {EAI_FAIL, resolve_errc::server_failure},
      {EAI_NODATA, resolve_errc::no_address},
      {EAI_ADDRFAMILY, resolve_errc::no_address},
      {EAI_SERVICE, resolve_errc::unknown_service},
      {EAI_FAMILY, {EAI_FAMILY, resolve_category()}},
      {EAI_MEMORY, std::make_error_code(std::errc::not_enough_memory)},
      {EAI_SYSTEM, {EMFILE, std::system_category()}, EMFILE},
  };
  on_one_scheduler([&]() -> task<> {
    for (const refusal& one : refusals) {
      const faulty_lookups faulty(one.number, one.error);
      CAPTURE(one.number);
      const auto forwards =
          co_await error_of(resolve("example.test", "80"), "cannot resolve \"example.test\"");
      CHECK(forwards == one.expected);
      const address of = address::parse("192.0.2.1:80");
      const auto back = co_await error_of(resolve_name(of), "cannot find the name of 192.0.2.1");
      CHECK(back == (one.number == EAI_NONAME ? resolve_errc::no_name : one.expected));
    }
  });
}

TEST_SUITE_END();
