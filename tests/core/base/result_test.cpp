// result<T>: reading a value or an error, and aborting when the other one is asked for.
// SPDX-License-Identifier: MIT
#include <ringlet/result.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("result");

TEST_CASE("a result with a value is true and can be read in every way") {
  result<std::string> answer = std::string("abc");
  CHECK(answer);
  CHECK(answer.has_value());
  CHECK(*answer == "abc");
  CHECK(answer->size() == 3);
  CHECK(answer.value() == "abc");
  const auto& same = answer;
  CHECK(*same == "abc");
  CHECK(same->size() == 3);
}

TEST_CASE("the value of a result can be changed in place") {
  result<std::string> answer = std::string("abc");
  *answer += "d";
  answer->push_back('e');
  CHECK(answer.value() == "abcde");
}

TEST_CASE("a result with an error is false and can be read") {
  const result<int> answer = make_error_code(errc::closed);
  CHECK_FALSE(answer);
  CHECK_FALSE(answer.has_value());
  CHECK(answer.error() == errc::closed);
}

TEST_CASE("value() throws the error as the exception type that fits it") {
  result<int> refused = system_error_code(-ECONNREFUSED);
  CHECK_THROWS_AS(refused.value(), std::system_error);
  result<int> late = make_error_code(errc::timed_out);
  CHECK_THROWS_AS(late.value(), timed_out);
  CHECK_THROWS_AS(result<int>(make_error_code(errc::timed_out)).value(), timed_out);
}

TEST_CASE("value_or returns the value, or else the alternative") {
  CHECK(result<int>(7).value_or(9) == 7);
  CHECK(result<int>(make_error_code(errc::closed)).value_or(9) == 9);
}

TEST_CASE("a value that can only be moved is moved in and out of a result") {
  result<std::unique_ptr<int>> answer = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(answer);
  CHECK(*taken == 7);
  CHECK(*result<std::unique_ptr<int>>(std::make_unique<int>(8)).value() == 8);
  CHECK(*result<std::unique_ptr<int>>(std::make_unique<int>(9)).value_or(nullptr) == 9);
}

TEST_CASE("a value is destroyed with its result, once") {
  life_count lives;
  {
    result<counted> answer = counted(lives, 7);
    result<counted> moved = std::move(answer);
    CHECK(moved->value() == 7);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("reading the value or error that a result does not hold aborts and says so") {
  CHECK(aborts_with("the value of a result was read although it holds an error", [] {
    result<int> answer = make_error_code(errc::closed);
    static_cast<void>(*answer);
  }));
  CHECK(aborts_with("the value of a result was read although it holds an error", [] {
    result<std::string> answer = make_error_code(errc::closed);
    static_cast<void>(answer->size());
  }));
  CHECK(aborts_with("the error of a result was read although it holds a value", [] {
    const result<int> answer = 7;
    static_cast<void>(answer.error());
  }));
}

TEST_CASE("a result<void> is success or an error") {
  const result<void> fine;
  CHECK(fine);
  fine.value();
  *fine;
  const result<void> failed = make_error_code(errc::closed);
  CHECK_FALSE(failed);
  CHECK(failed.error() == errc::closed);
  CHECK_THROWS_AS(failed.value(), std::system_error);
}

TEST_CASE("a result<void> aborts when it is read for what it does not hold") {
  CHECK(aborts_with("the error of a result was read although it holds a value", [] {
    const result<void> fine;
    static_cast<void>(fine.error());
  }));
  CHECK(aborts_with("the value of a result was read although it holds an error", [] {
    const result<void> failed = make_error_code(errc::closed);
    *failed;
  }));
}

TEST_SUITE_END();
