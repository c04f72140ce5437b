// A scheduler returns the memory of ended fibers to the system in its next sleep, and wakes up once
// to do so.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "sched/calls.hpp"
#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::size_t resident() { return detail::frames.totals().resident; }

// Returns how much memory there was while all fibers lived.
task<std::size_t> burst(int count) {
  std::vector<fiber<>> all;
  for (int i = 0; i < count; ++i) all.push_back(spawn(sleep_for(1ms)));
  co_await sleep(2ms);
  co_return resident();
}

// How many times the engine was waited for during a sleep of that length.
task<std::size_t> waits_in_sleep(scripted_engine& engine, std::chrono::nanoseconds time) {
  const std::size_t before = engine.waits();
  co_await sleep(time);
  co_return engine.waits() - before;
}

}  // namespace

TEST_SUITE_BEGIN("frame trim");

TEST_CASE("the memory of a burst of fibers is returned within the next second of sleep") {
  run_scripted([](scripted_engine& engine) -> task<> {
    co_await sleep(10s);
    const std::size_t undisturbed = co_await waits_in_sleep(engine, 1s);
    const std::size_t before = resident();
    const std::size_t most = co_await burst(20'000);
    CHECK(most - before > 20'000 * 150);  // clang may need no frames besides the fibers
    const std::size_t waits = co_await waits_in_sleep(engine, 1s);
    CHECK(resident() - std::min(before, resident()) < (most - before) / 2);
    // One more wake-up, and none between portions.
    CHECK(waits > undisturbed);
    CHECK(waits <= undisturbed + 3);
  });
}

TEST_CASE("an idle program does not wake up once the memory of a burst is returned") {
  run_scripted([](scripted_engine& engine) -> task<> {
    co_await sleep(10s);
    const std::size_t undisturbed = co_await waits_in_sleep(engine, 1h);
    co_await burst(20'000);
    co_await sleep(10s);
    for (int i = 0; i < 3; ++i) {
      const std::size_t waits = co_await waits_in_sleep(engine, 1h);
      CHECK(waits == undisturbed);
    }
  });
}

TEST_SUITE_END();
