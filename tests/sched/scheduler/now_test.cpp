// now: which clock it reads.
//
// Method: the scripted engine's clock stands where no real one can be, a second after its zero.
// SPDX-License-Identifier: MIT
#include <ringlet/now.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using time_point = std::chrono::steady_clock::time_point;

bool is_real_time() {
  const time_point before = std::chrono::steady_clock::now();
  const time_point between = ringlet::now();
  return before <= between && between <= std::chrono::steady_clock::now();
}

}  // namespace

TEST_SUITE_BEGIN("now");

TEST_CASE("now() is the time of the scheduler's engine") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    CHECK(now() == time_point(std::chrono::nanoseconds(scripted_engine::start_time)));
    const auto begin = now();
    co_await sleep(5ms);
    CHECK(now() - begin == 5ms);
    co_await sleep_until(begin + 7ms);
    CHECK(now() - begin == 7ms);
  };
  run_on(engine, main());
}

TEST_CASE("now() reads the clock at each call: time passes while a fiber computes") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto begin = now();
    engine.advance(3'000'000);
    CHECK(now() - begin == 3ms);
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE("now() is the steady clock's time outside of run and on other threads") {
  CHECK(is_real_time());
  scripted_engine engine;
  const auto main = []() -> task<> {
    bool real = false;
    std::thread([&] { real = is_real_time(); }).join();
    CHECK(real);
    CHECK_FALSE(is_real_time());
    co_return;
  };
  run_on(engine, main());
  CHECK(is_real_time());
}

TEST_CASE("now() is the steady clock's time on a real engine") {
  const auto main = []() -> task<> {
    CHECK(is_real_time());
    co_return;
  };
  run(main());
}

TEST_SUITE_END();
