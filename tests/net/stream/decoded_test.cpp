// decoded<T>: a value, more bytes, or an error.
// SPDX-License-Identifier: MIT
#include <ringlet/decoded.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <memory>
#include <ostream>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("decoded");

TEST_CASE("a decoded<T> holds a value and its size, or how many bytes are missing, or an error") {
  decoded<int> value(7, 3);
  CHECK(value);
  CHECK(value.has_value());
  CHECK(*value == 7);
  CHECK(value.used() == 3);
  CHECK(value.more() == 0);
  CHECK_FALSE(value.error());

  const decoded<int> missing = more_bytes(5);
  CHECK_FALSE(missing);
  CHECK(missing.used() == 0);
  CHECK(missing.more() == 5);
  CHECK_FALSE(missing.error());

  const decoded<int> refused = std::make_error_code(std::errc::bad_message);
  CHECK_FALSE(refused);
  CHECK(refused.used() == 0);
  CHECK(refused.more() == 0);
  CHECK(refused.error() == std::errc::bad_message);
}

TEST_CASE("a decoded<T> holds values that can only be moved") {
  decoded<std::unique_ptr<int>> made(std::make_unique<int>(7), 1);
  decoded<std::unique_ptr<int>> moved = std::move(made);
  const std::unique_ptr<int> value = *std::move(moved);
  CHECK(*value == 7);
}

TEST_CASE("reading a value that is not there aborts and says so") {
  CHECK(aborts_with("the value of a decoded<T> was read although it has none", [] {
    const decoded<int> missing = more_bytes(1);
    std::printf("%d", *missing);
  }));
}

TEST_SUITE_END();
