// RINGLET_ASSERT: conditions that hold, and conditions that do not.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/assert.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/aborts.hpp"

using namespace ringlet::test;

TEST_SUITE_BEGIN("assert");

TEST_CASE("RINGLET_ASSERT evaluates its condition once, and does nothing else when it holds") {
  int checks = 0;
  RINGLET_ASSERT(++checks == 1, "the first check");
  CHECK(checks == 1);
}

TEST_CASE("RINGLET_ASSERT aborts with its message when the condition is false") {
  CHECK(aborts_with("two and two are five", [] {
    int two = 2;
    RINGLET_ASSERT(two + two == 5, "two and two are five");
  }));
}

TEST_CASE("RINGLET_ASSERT reports the file and line of the broken rule") {
  const std::string place = std::string(__FILE__) + ":" + std::to_string(__LINE__ + 1);
  CHECK(aborts_with(place, [] { RINGLET_ASSERT(false, "never"); }));
}

TEST_CASE("RINGLET_ASSERT is an expression, usable where a statement would not fit") {
  const int value = (RINGLET_ASSERT(true, "fine"), 7);
  CHECK(value == 7);
}

TEST_SUITE_END();
