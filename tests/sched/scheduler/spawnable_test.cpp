// Which calls are spawnable.
// SPDX-License-Identifier: MIT
#include <ringlet/spawnable.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>

using namespace ringlet;

TEST_SUITE_BEGIN("spawnable");

namespace {

using by_value = task<int> (*)(std::string, int);
using by_reference = task<> (*)(std::string&);
using plain = int (*)();
using move_only = task<> (*)(std::unique_ptr<int>);

}  // namespace

TEST_CASE("a call is spawnable if it takes copies of its arguments and returns a task") {
  CHECK(spawnable<by_value, const char*, short>);
  CHECK(spawnable<move_only, std::unique_ptr<int>>);
  CHECK(spawnable<by_reference, std::reference_wrapper<std::string>>);
  CHECK(spawnable<task<> (*)()>);
}

TEST_CASE("a call is not spawnable without a task, with a reference, or with the wrong arguments") {
  CHECK_FALSE(spawnable<plain>);
  CHECK_FALSE(spawnable<by_reference, std::string>);
  CHECK_FALSE(spawnable<by_value, std::string>);
  CHECK_FALSE(spawnable<int>);
}

TEST_SUITE_END();
