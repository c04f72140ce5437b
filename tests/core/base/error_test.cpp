// ringlet's error codes: comparison with system codes, and the exceptions that carry them.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/error.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <ostream>
#include <set>
#include <string>
#include <system_error>

using namespace ringlet;

TEST_SUITE_BEGIN("error");

namespace {

constexpr errc all_codes[] = {errc::closed,         errc::partial_transfer, errc::timed_out,
                              errc::end_of_stream,  errc::fiber_cancelled,  errc::too_long,
                              errc::broken_barrier, errc::broken_promise,   errc::lagged};

}  // namespace

TEST_CASE("every code has ringlet's category and its own message, and counts as an error") {
  std::set<std::string> sentences;
  for (const errc code : all_codes) {
    const std::error_code error = code;
    CHECK(error);
    CHECK(&error.category() == &ringlet_category());
    CHECK(std::string(error.category().name()) == "ringlet");
    CHECK(error.message().find("unknown") == std::string::npos);
    sentences.insert(error.message());
  }
  CHECK(sentences.size() == std::size(all_codes));
}

TEST_CASE("a number without a code is reported as unknown") {
  CHECK(std::error_code(99, ringlet_category()).message() == "unknown ringlet error");
}

TEST_CASE("only timed_out equals std::errc::timed_out") {
  for (const errc code : all_codes) {
    CHECK((std::error_code(code) == std::errc::timed_out) == (code == errc::timed_out));
  }
}

TEST_CASE("a code equals only itself") {
  for (const errc one : all_codes) {
    for (const errc other : all_codes) {
      CHECK((std::error_code(one) == std::error_code(other)) == (one == other));
    }
  }
}

TEST_CASE("a kernel code does not equal a ringlet code with the same number") {
  for (const errc code : all_codes) {
    CHECK(std::error_code(code) != system_error_code(-static_cast<int>(code)));
  }
}

TEST_CASE("a negated errno becomes the system's code") {
  CHECK(system_error_code(-ECONNRESET) == std::errc::connection_reset);
  CHECK(&system_error_code(-EPIPE).category() == &std::system_category());
}

TEST_CASE("throw_error throws a system_error with the code and the name of the call") {
  try {
    throw_error(system_error_code(-ECONNREFUSED), "connect");
    FAIL("nothing was thrown");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::connection_refused);
    CHECK(std::string(error.what()).rfind("connect", 0) == 0);
  }
}

TEST_CASE("EINVAL is thrown with a reason instead of the system's text") {
  for (const std::error_code code :
       {system_error_code(-EINVAL), std::make_error_code(std::errc::invalid_argument)}) {
    try {
      throw_error(code, "listen");
      FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
      CHECK(error.code() == code);
      CHECK(error.what() == std::string("listen: an argument is out of range, or the descriptor is "
                                        "of another kind"));
    }
    try {
      detail::throw_error(code, "listen", "the backlog is negative");
      FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
      CHECK(error.code() == code);
      CHECK(error.what() == std::string("listen: the backlog is negative"));
    }
  }
}

TEST_CASE("the reason for EINVAL is not given for other errors") {
  try {
    detail::throw_error(system_error_code(-ECONNREFUSED), "connect", "the address is none");
    FAIL("nothing was thrown");
  } catch (const std::system_error& error) {
    CHECK(error.what() == std::string("connect: Connection refused"));
  }
  CHECK_THROWS_AS(detail::throw_error(errc::timed_out, "connect", "no"), timed_out);
}

TEST_CASE("an expired limit is thrown as timed_out, which is a system_error") {
  CHECK_THROWS_AS(throw_error(errc::timed_out, "receive"), timed_out);
  try {
    throw_error(errc::timed_out, "receive");
  } catch (const std::system_error& error) {
    CHECK(error.code() == errc::timed_out);
    CHECK(std::string(error.what()).rfind("receive", 0) == 0);
  }
}

TEST_CASE("other codes are not thrown as timed_out") {
  for (const errc code : all_codes) {
    if (code == errc::timed_out) continue;
    bool was_timed_out = false;
    try {
      throw_error(code, "call");
    } catch (const timed_out&) {
      was_timed_out = true;
    } catch (const std::system_error& error) {
      CHECK(error.code() == code);
    }
    CHECK_FALSE(was_timed_out);
  }
}

TEST_CASE("is_disconnect is true for exactly the codes that say the peer has gone") {
  for (const int error : {ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN, ETIMEDOUT}) {
    CHECK(is_disconnect(system_error_code(-error)));
  }
  CHECK(is_disconnect(errc::closed));
  CHECK(is_disconnect(errc::end_of_stream));
  for (const int error : {ECONNREFUSED, EMFILE, EINVAL, ENOMEM}) {
    CHECK_FALSE(is_disconnect(system_error_code(-error)));
  }
  for (const errc code : {errc::partial_transfer, errc::timed_out, errc::fiber_cancelled,
                          errc::too_long, errc::lagged}) {
    CHECK_FALSE(is_disconnect(code));
  }
  CHECK_FALSE(is_disconnect(std::error_code()));
}

TEST_SUITE_END();
