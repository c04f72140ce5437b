// Calls may nest and return to any depth and any number of times; the stack grows by 64 KiB at
// most. Nested generators do not grow the stack at all.
//
// Method: every coroutine here records how far the stack has grown below the loop. g++ turns a
// transfer into a tail call only when it optimises, so this file is also compiled for each of the
// programs test_stack_*, with flags that differ from the library's, as users do.
// SPDX-License-Identifier: MIT
#include <ringlet/async_generator.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "support/chain.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("stack growth");

namespace {

// Sanitizers cost a factor of ten in time and in memory.
constexpr int many = sanitized ? 100'000 : 1'000'000;
// A few nanoseconds each when optimised, half a second in total.
constexpr int switches = sanitized ? 200'000 : 10'000'000;

// Added to the 64 KiB: the frames from the loop to the first coroutine, and those of the last
// coroutine, which finds the limit exceeded.
constexpr std::size_t margin = 8 * 1024;
constexpr std::size_t growth_max = ready_queue::stack_growth_max + margin;

std::uintptr_t lowest;

[[gnu::always_inline]] inline void note_stack() {
  lowest = std::min(lowest, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
}

// Runs the task and returns how far the stack grew while it ran.
template <class T>
std::size_t growth_of(task<T> root) {
  lowest = UINTPTR_MAX;
  const auto base = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  run_alone(std::move(root));
  return base - lowest;
}

task<int> ready_value(int value) {
  note_stack();
  co_return value;
}

task<std::int64_t> sum_of_calls(int count) {
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await ready_value(i);
  note_stack();
  co_return sum;
}

task<int> depth(int levels) {
  note_stack();
  if (levels == 0) co_return 0;
  const int below = co_await depth(levels - 1);
  note_stack();
  co_return below + 1;
}

task<int> depth_around_a_wait(int levels) {
  note_stack();
  if (levels == 0) {
    co_await yield_wait();
    co_return 0;
  }
  const int below = co_await depth_around_a_wait(levels - 1);
  note_stack();
  co_return below + 1;
}

task<> throw_from(int levels) {
  note_stack();
  if (levels == 0) throw levels;
  co_await throw_from(levels - 1);
}

task<> yield_often(int count) {
  for (int i = 0; i < count; ++i) {
    note_stack();
    co_await yield_wait();
  }
}

task<> call_and_yield(int count) {
  for (int i = 0; i < count; ++i) {
    co_await ready_value(i);
    co_await yield_wait();
  }
}

// Yields the depth only at the deepest level on the way down, and at every level on the way up.
generator<int> nest(int levels) {
  note_stack();
  if (levels == 0) co_yield 0;
  if (levels > 0) co_yield elements_of(nest(levels - 1));
  note_stack();
  co_yield levels;
}

generator<int> nest_that_throws(int levels) {
  note_stack();
  if (levels == 0) throw levels;
  co_yield elements_of(nest_that_throws(levels - 1));
}

async_generator<int> ready_values(int count) {
  for (int i = 0; i < count; ++i) {
    note_stack();
    co_yield i;
  }
}

task<std::int64_t> sum_of_ready_values(int count) {
  std::int64_t sum = 0;
  auto values = ready_values(count);
  while (auto value = co_await values.next()) sum += *value;
  note_stack();
  co_return sum;
}

// Yields the values of the generator below.
async_generator<int> relay(int levels) {
  note_stack();
  if (levels == 0) {
    co_yield 1;
    co_await yield_wait();
    co_yield 2;
    co_return;
  }
  auto below = relay(levels - 1);
  while (auto value = co_await below.next()) co_yield *value;
  note_stack();
}

}  // namespace

TEST_CASE("a million calls that return at once do not grow the stack") {
  std::int64_t sum = 0;
  const std::size_t growth =
      growth_of([](std::int64_t& to) -> task<> { to = co_await sum_of_calls(many); }(sum));
  CHECK(sum == std::int64_t{many} * (many - 1) / 2);
  CHECK(growth <= growth_max);
}

TEST_CASE("a call may be a million calls deep, and returns through all of them") {
  int levels = 0;
  const std::size_t growth =
      growth_of([](int& to) -> task<> { to = co_await depth(many); }(levels));
  CHECK(levels == many);
  CHECK(growth <= growth_max);
}

TEST_CASE("a million nested calls with a wait at the bottom return on an empty stack") {
  int levels = 0;
  const std::size_t growth =
      growth_of([](int& to) -> task<> { to = co_await depth_around_a_wait(many); }(levels));
  CHECK(levels == many);
  CHECK(growth <= growth_max);
}

TEST_CASE("an exception passes through ten thousand calls") {
  lowest = UINTPTR_MAX;
  const auto base = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  CHECK_THROWS_AS(run_alone(throw_from(10'000)), int);
  CHECK(base - lowest <= growth_max);
}

TEST_CASE("ten million switches between two contexts do not grow the stack") {
  ready_queue queue;
  chain<> ping(queue, yield_often(switches / 2));
  chain<> pong(queue, yield_often(switches / 2));
  lowest = UINTPTR_MAX;
  const auto base = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  run_ready(queue);
  CHECK(ping.done());
  CHECK(pong.done());
  CHECK(base - lowest <= margin);
}

TEST_CASE("a million switches with a call in each do not grow the stack") {
  ready_queue queue;
  chain<> ping(queue, call_and_yield(many / 2));
  chain<> pong(queue, call_and_yield(many / 2));
  lowest = UINTPTR_MAX;
  const auto base = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  run_ready(queue);
  CHECK(ping.done());
  CHECK(pong.done());
  CHECK(base - lowest <= margin);
}

TEST_CASE("generators nested a hundred thousand deep can begin, yield all values and be dropped") {
  constexpr int levels = 100'000;
  lowest = UINTPTR_MAX;
  const auto base = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  int count = 0;
  for (const int value : nest(levels)) count += value >= 0 ? 1 : 0;
  CHECK(count == levels + 2);
  {
    auto dropped = nest(levels);
    CHECK(*dropped.begin() == 0);
  }
  CHECK_THROWS_AS(nest_that_throws(levels).begin(), int);
  CHECK(base - lowest <= margin);
}

TEST_CASE("a million ready values of an async_generator do not grow the stack") {
  std::int64_t sum = 0;
  const std::size_t growth =
      growth_of([](std::int64_t& to) -> task<> { to = co_await sum_of_ready_values(many); }(sum));
  CHECK(sum == std::int64_t{many} * (many - 1) / 2);
  CHECK(growth <= growth_max);
}

TEST_CASE("values pass through ten thousand async_generators") {
  int sum = 0;
  const std::size_t growth = growth_of([](int& to) -> task<> {
    auto values = relay(10'000);
    while (auto value = co_await values.next()) to += *value;
  }(sum));
  CHECK(sum == 3);
  CHECK(growth <= growth_max);
}

TEST_CASE("a chain that was unwound continues before any other context runs") {
  ready_queue queue;
  std::string order;
  const auto body = [](std::string& text, char letter) -> task<> {
    text += letter;
    co_await depth(10'000);
    text += letter;
  };
  chain<> a(queue, body(order, 'a'));
  chain<> b(queue, body(order, 'b'));
  run_ready(queue);
  CHECK(order == "aabb");
}

TEST_SUITE_END();
