// What RINGLET_ASSERT does with a rule that is kept, and with one that is broken.
#include <ringlet/extend/assert.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/aborts.hpp"

using namespace ringlet::test;

TEST_SUITE_BEGIN("assert");

TEST_CASE("a rule that holds costs only its check, which runs once") {
  int checks = 0;
  RINGLET_ASSERT(++checks == 1, "the first check");
  CHECK(checks == 1);
}

TEST_CASE("a broken rule aborts with its sentence") {
  CHECK(aborts_with("two and two are five", [] {
    int two = 2;
    RINGLET_ASSERT(two + two == 5, "two and two are five");
  }));
}

TEST_CASE("a broken rule reports its file and line") {
  const std::string place = std::string(__FILE__) + ":" + std::to_string(__LINE__ + 1);
  CHECK(aborts_with(place, [] { RINGLET_ASSERT(false, "never"); }));
}

TEST_CASE("RINGLET_ASSERT is an expression, usable where a statement would not fit") {
  const int value = (RINGLET_ASSERT(true, "fine"), 7);
  CHECK(value == 7);
}

TEST_SUITE_END();
