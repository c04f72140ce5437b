// resolve_error: the codes and texts of errors of names.
// SPDX-License-Identifier: MIT
#include <ringlet/resolve_error.hpp>

#include <doctest/doctest.h>

#include <netdb.h>

#include <ostream>
#include <string>
#include <system_error>

using namespace ringlet;

TEST_SUITE_BEGIN("resolve_error");

TEST_CASE("errors of names have a category of their own, and differ") {
  const std::error_code missing = resolve_errc::host_not_found;
  CHECK(missing.category() == resolve_category());
  CHECK(std::string(missing.category().name()) == "resolve");
  CHECK(missing.message() == "the host does not exist");
  for (const auto other : {resolve_errc::temporary_failure, resolve_errc::server_failure,
                           resolve_errc::no_address, resolve_errc::unknown_service}) {
    CHECK(missing != other);
    CHECK(missing.message() != make_error_code(other).message());
  }
}

TEST_CASE("an error that has no name here has the text of the system") {
  CHECK(resolve_category().message(EAI_BADFLAGS) == ::gai_strerror(EAI_BADFLAGS));
}

TEST_SUITE_END();
