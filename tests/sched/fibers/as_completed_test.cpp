// as_completed: a loop over fibers in the order in which they end.
//
// Method: as in ended_fibers_test.cpp, which tests the wait itself.
// SPDX-License-Identifier: MIT
#include <ringlet/as_completed.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <list>
#include <stdexcept>
#include <string>
#include <vector>

#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> sleep_and_answer(std::chrono::milliseconds time, int number) {
  co_await sleep(time);
  co_return number;
}

std::vector<fiber<int>> sleepers(std::initializer_list<int> times) {
  std::vector<fiber<int>> made;
  for (const int time : times) {
    made.push_back(spawn(sleep_and_answer, std::chrono::milliseconds(time), time));
  }
  return made;
}

task<std::string> places_of(async_generator<std::size_t> ends) {
  std::string places;
  while (const auto place = co_await ends.next()) places += std::to_string(*place);
  co_return places;
}

}  // namespace

TEST_SUITE_BEGIN("as_completed");

// row: JN-03
TEST_CASE("as_completed yields each index when its fiber ends, and ends with the last fiber") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({3, 1, 2});
    std::string log;
    auto ends = as_completed(fibers);
    while (auto place = co_await ends.next()) {
      const int number = co_await fibers[*place].get();
      CHECK(engine.now() == scripted_engine::start_time + number * 1'000'000);
      log += std::to_string(*place);
    }
    CHECK(log == "120");
    CHECK(co_await ends.next() == std::nullopt);
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("a slow loop over as_completed misses no fiber") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({4, 2, 3, 1});
    auto ends = as_completed(fibers);
    std::string log;
    while (auto place = co_await ends.next()) {
      log += std::to_string(*place);
      co_await sleep(10ms);
    }
    CHECK(log == "3120");
  };
  run_on(engine, main());
}

// rows: W48 JN-03
TEST_CASE("fibers that had already ended come first in list order, and duplicates come twice") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    auto fibers = sleepers({3, 1, 5});
    co_await sleep(4ms);
    fibers.push_back(fibers[2]);
    fibers.push_back(fibers[0]);
    CHECK(co_await places_of(as_completed(fibers)) == "01423");
    const std::vector<fiber<int>> nobody;
    CHECK(co_await places_of(as_completed(nobody)) == "");
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("as_completed accepts any range of handles, copies it, and keeps the fibers") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const std::array pair = {spawn(sleep_and_answer, 2ms, 1), spawn(sleep_and_answer, 1ms, 2)};
    CHECK(co_await places_of(as_completed(pair)) == "10");
    std::list<fiber<int>> listed(pair.begin(), pair.end());
    listed.push_back(spawn(sleep_and_answer, 1ms, 3));
    auto ends = as_completed(listed);
    listed.clear();
    CHECK(co_await places_of(std::move(ends)) == "012");
    auto temporary = as_completed(sleepers({2, 1}));
    CHECK(co_await places_of(std::move(temporary)) == "10");
  };
  run_on(engine, main());
}

// rows: W12 JN-03
TEST_CASE(
    "one limit covers all fibers from the first next() on, and the remaining fibers continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({4, 12, 8});
    auto ends = as_completed(fibers, 6ms);
    co_await sleep(3ms);
    CHECK(co_await places_of(std::move(ends)) == "02");
    CHECK(engine.now() == scripted_engine::start_time + 9'000'000);
    CHECK(fibers[1].result() == outcome::pending);
    CHECK(co_await places_of(as_completed(fibers, 0s)) == "02");
    CHECK(co_await places_of(as_completed(fibers)) == "021");
    const std::chrono::steady_clock::time_point past(std::chrono::nanoseconds(1));
    auto too_late = as_completed(sleepers({1}), past);
    CHECK(co_await places_of(std::move(too_late)) == "");
  };
  run_on(engine, main());
}

// rows: W49 JN-03
TEST_CASE("an as_completed that is dropped early leaves nothing behind, and its fibers continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({1, 2, 3});
    {
      auto ends = as_completed(fibers);
      CHECK(co_await ends.next() == 0u);
      auto never_begun = as_completed(fibers);
    }
    co_await fibers[2].join();
    CHECK(fibers[1].value() == 2);
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("as_completed yields failed fibers, and the loop decides what to do about them") {
  scripted_engine engine;
  const auto fail = []() -> task<int> {
    throw std::runtime_error("expected");
    co_return 0;
  };
  const auto main = [&]() -> task<> {
    auto fibers = sleepers({2, 1});
    fibers.push_back(spawn(fail));
    fibers[0].request_kill();
    std::string log;
    auto ends = as_completed(fibers);
    while (auto place = co_await ends.next()) {
      const auto& ended = fibers[*place];
      log += ended.result() == outcome::value ? "v" : ended.error() != nullptr ? "e" : "x";
    }
    CHECK(log == "xev");
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("a kill or a limit in next() passes through, ends the loop, and leaves nothing behind") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({5, 6});
    const auto looping = spawn(
        [&]() -> task<> { const std::string places = co_await places_of(as_completed(fibers)); });
    co_await sleep(1ms);
    CHECK(co_await looping.kill());
    CHECK(looping.result() == outcome::cancelled);
    auto ends = as_completed(fibers);
    bool late = false;
    try {
      co_await with_timeout(1ms, ends.next());
    } catch (const timed_out&) {
      late = true;
    }
    CHECK(late);
    CHECK(co_await ends.next() == std::nullopt);
    CHECK(co_await places_of(as_completed(fibers)) == "01");
  };
  run_on(engine, main());
}

TEST_SUITE_END();
