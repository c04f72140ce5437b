// Greenlets may switch and end any number of times, and from any depth; the stack grows by 64 KiB
// at most.
//
// Method: as in core/coro/stack_growth_test.cpp, for the same reasons. This file is also compiled
// for each of the programs test_switch_*, with flags that differ from the library's.
// SPDX-License-Identifier: MIT
#include <ringlet/greenlet.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("greenlet: stack growth");

namespace {

constexpr int many = sanitized ? 100'000 : 1'000'000;
constexpr std::size_t margin = 8 * 1024;  // the frames of the loop, and of the last coroutine
constexpr std::size_t growth_max = ready_queue::stack_growth_max + margin;

std::uintptr_t lowest;
std::uintptr_t highest;

[[gnu::always_inline]] inline void note_stack() {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  lowest = std::min(lowest, here);
  highest = std::max(highest, here);
}

// Runs the task in a fiber and returns how far the stack grew during it.
std::size_t growth_of(task<> main) {
  lowest = UINTPTR_MAX;
  highest = 0;
  scripted_engine engine;
  run_on(engine, std::move(main));
  return highest - lowest;
}

task<int> echo(int n) {
  for (;;) {
    note_stack();
    n = co_await greenlet<int>::main().switch_to(n);
  }
}

task<int> plus_one(int n) {
  note_stack();
  co_return n + 1;
}

task<int> switch_from(int levels) {
  note_stack();
  if (levels == 0) co_return co_await greenlet<int>::main().switch_to(0);
  const int below = co_await switch_from(levels - 1);
  note_stack();
  co_return below + 1;
}

}  // namespace

TEST_CASE("a million switches do not grow the stack") {
  std::int64_t sum = 0;
  const std::size_t growth = growth_of([](std::int64_t& to) -> task<> {
    const greenlet<int> other(echo);
    for (int i = 0; i < many / 2; ++i) {
      note_stack();
      to += co_await other.switch_to(i);
    }
  }(sum));
  CHECK(sum == std::int64_t{many / 2} * (many / 2 - 1) / 2);
  CHECK(growth <= growth_max);
}

TEST_CASE("a million switches to oneself do not grow the stack") {
  const std::size_t growth = growth_of([]() -> task<> {
    for (int i = 0; i < many; ++i) {
      note_stack();
      const int back = co_await greenlet<int>::current().switch_to(i);
      if (back != i) FAIL("wrong value");
    }
  }());
  CHECK(growth <= growth_max);
}

TEST_CASE("a switch from a million calls deep, and the way back, do not grow the stack") {
  int levels = 0;
  const std::size_t growth = growth_of([](int& to) -> task<> {
    const greenlet<int> deep(switch_from);
    to = co_await deep.switch_to(many);
    note_stack();
    to = co_await deep.switch_to(0);
  }(levels));
  CHECK(levels == many);
  CHECK(growth <= growth_max);
}

TEST_CASE("a hundred thousand greenlets that begin and end do not grow the stack") {
  int count = 0;
  const std::size_t growth = growth_of([](int& to) -> task<> {
    for (int i = 0; i < many / 10; ++i) {
      const greenlet<int> brief(plus_one);
      to = co_await brief.switch_to(to);
    }
  }(count));
  CHECK(count == many / 10);
  CHECK(growth <= growth_max);
}

TEST_CASE("a chain of parents, each begun by the end of its child, does not grow the stack") {
  int count = 0;
  const std::size_t growth = growth_of([](int& to) -> task<> {
    std::vector<greenlet<int>> all;  // each one the parent of the one before
    for (int i = 0; i < many / 10; ++i) {
      all.emplace_back(plus_one);
      if (i > 0) all[all.size() - 2].set_parent(all.back());
    }
    to = co_await all.front().switch_to(0);
  }(count));
  CHECK(count == many / 10);
  CHECK(growth <= growth_max);
}

TEST_SUITE_END();
