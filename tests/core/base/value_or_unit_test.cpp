// What value_or_unit<T> is.
// SPDX-License-Identifier: MIT
#include <ringlet/value_or_unit.hpp>

#include <doctest/doctest.h>

#include <string>
#include <type_traits>
#include <variant>
#include <vector>

using namespace ringlet;

TEST_SUITE_BEGIN("value_or_unit");

TEST_CASE("value_or_unit is the type itself, and a monostate for void") {
  CHECK(std::is_same_v<value_or_unit<std::string>, std::string>);
  CHECK(std::is_same_v<value_or_unit<const int*>, const int*>);
  CHECK(std::is_same_v<value_or_unit<void>, std::monostate>);
  CHECK(std::vector<value_or_unit<void>>(2).size() == 2);
}

TEST_SUITE_END();
