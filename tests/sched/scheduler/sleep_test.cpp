// sleep, sleep_until and yield: which fiber runs when, and never too early.
//
// Method: the scripted engine's clock moves only when every fiber sleeps, so times are exact; one
// case sleeps in real time.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "sched/scripted_run.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using time_point = std::chrono::steady_clock::time_point;

time_point at(steady_ns time) { return time_point(std::chrono::nanoseconds(time)); }

// Notes its name each time it runs, and lets other fibers run in between.
task<> take_turns(std::string& log, char name, int turns) {
  for (int i = 0; i < turns; ++i) {
    log += name;
    co_await yield();
  }
}

task<> note_after(std::string& log, char name, std::chrono::nanoseconds time) {
  co_await sleep(time);
  log += name;
}

}  // namespace

TEST_SUITE_BEGIN("sleep");

TEST_CASE("a sleep ends when its time has passed, not before") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    co_await sleep(5ms);
    CHECK(engine.now() == begin + 5'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("a sleep on the real engine is never too short") {
  // 3 ms in total.
  const auto main = []() -> task<> {
    for (const int microseconds : {1, 900, 0, 2100}) {
      const std::chrono::microseconds time(microseconds);
      const auto begin = std::chrono::steady_clock::now();
      co_await sleep(time);
      CHECK(std::chrono::steady_clock::now() - begin >= time);
    }
  };
  run(main());
}

TEST_CASE("a wake-up for another reason does not end a sleep") {
  scripted_engine engine;
  int wakes = 0;
  engine.on_idle = [&] {
    if (wakes == 4) return false;
    ++wakes;
    engine.advance(1'000'000);  // as a signal would end the wait, a little later
    return true;
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    co_await sleep(5ms);
    CHECK(engine.now() == begin + 5'000'000);
  };
  run_on(engine, main());
  CHECK(wakes == 4);
}

TEST_CASE(
    "sleepers wake in deadline order, and in the order of beginning when deadlines are equal") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(note_after, std::ref(log), 'e', 3ms);
    spawn(note_after, std::ref(log), 'b', 2ms);
    spawn(note_after, std::ref(log), 'a', 1ms);
    spawn(note_after, std::ref(log), 'c', 2ms);
    spawn(note_after, std::ref(log), 'd', 2ms);
    co_await sleep(1h);
  };
  run_on(engine, main());
  CHECK(log == "abcde");
}

TEST_CASE("sleep_until ends at its point in time") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns deadline = engine.now() + 77;
    co_await sleep_until(at(deadline));
    CHECK(engine.now() == deadline);
  };
  run_on(engine, main());
}

TEST_CASE(
    "a point in time that has passed, and zero or less, cost no time, but a turn of other fibers") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    // More than a batch after each of the five, so that a fiber is always ready.
    const auto others = spawn(take_turns, std::ref(log), '.', 5000);
    co_await sleep_until(at(begin - 1));
    log += 'a';
    co_await sleep_until(time_point::min());
    log += 'b';
    co_await sleep(0ms);
    log += 'c';
    co_await sleep(-1h);
    log += 'd';
    co_await sleep(std::chrono::hours::min());
    log += 'e';
    CHECK(engine.now() == begin);
    co_await others.join();
  };
  run_on(engine, main());
  CHECK(log.size() == 5005);
  std::size_t place = 0;
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) {
    REQUIRE(log.find(name) != std::string::npos);
    CHECK(log.find(name) > place);  // other fibers ran before it, and since the previous one
    place = log.find(name) + 1;
  }
}

TEST_CASE("sleep(0) lets every ready fiber run first") {
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(take_turns, std::ref(log), 'a', 3);
    spawn(take_turns, std::ref(log), 'b', 3);
    co_await sleep(0s);
    log += '!';
  };
  scripted_engine engine;  // whose clock does not end the batch
  run_on(engine, main());
  CHECK(log == "ababab!");
}

TEST_CASE("yield puts its fiber at the end of the run queue") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto a = spawn(take_turns, std::ref(log), 'a', 3);
    const auto b = spawn(take_turns, std::ref(log), 'b', 2);
    log += 'm';
    co_await yield();
    log += 'm';
    co_await a.join();
    co_await b.join();
  };
  run_on(engine, main());
  CHECK(log == "mabmaba");
}

TEST_CASE("yield returns at once when no other fiber is ready, and costs no time") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    for (int i = 0; i < 1000; ++i) co_await yield();
    CHECK(engine.now() == begin);
  };
  run_on(engine, main());
}

TEST_CASE("a killed sleeper wakes at once") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    co_await yield();
    co_await sleeper.kill();
    CHECK(sleeper.result() == outcome::cancelled);
    CHECK(engine.now() == begin);
  };
  run_on(engine, main());
}

TEST_CASE("as_result of a sleep is success") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    CHECK(co_await as_result(sleep(1ms)));
    CHECK(co_await as_result(yield()));
  };
  run_on(engine, main());
}

TEST_CASE("starting and ending sleeps does not allocate") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    co_await sleep(1ms);
    const std::size_t before = allocations();
    for (int i = 0; i < 100; ++i) co_await sleep(1ms);
    for (int i = 0; i < 100; ++i) co_await yield();
    CHECK(allocations() == before);
  };
  run_on(engine, main());
}

namespace {

template <class T>
constexpr bool can_sleep_for = requires(T time) {
  ringlet::sleep(time);
};

}  // namespace

TEST_CASE("sleep does not accept a number without a unit") {
  static_assert(!can_sleep_for<int> && !can_sleep_for<unsigned> && !can_sleep_for<long>);
  static_assert(can_sleep_for<std::chrono::seconds>);
}

TEST_SUITE_END();
