// Which ranges are ranges of fibers.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/fiber_range.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <ranges>
#include <vector>

using namespace ringlet;

TEST_SUITE_BEGIN("fiber_range");

TEST_CASE("a fiber_range is a range of handles of one type") {
  CHECK(fiber_range<std::vector<fiber<int>>>);
  CHECK(fiber_range<const std::array<fiber<>, 3>&>);
  CHECK(fiber_range<std::ranges::subrange<fiber<>*>>);
}

TEST_CASE("a single fiber, a range of tasks and a range of pairs are no fiber_range") {
  CHECK_FALSE(fiber_range<fiber<>>);
  CHECK_FALSE(fiber_range<std::vector<task<>>>);
  CHECK_FALSE(fiber_range<std::map<int, fiber<>>>);
}

TEST_SUITE_END();
