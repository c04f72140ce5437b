// ended_fibers: which of several fibers have ended, in which order, and what a wait for the next
// one must not lose.
//
// Method: fibers that end at a known time of the scripted engine's clock; the order is compared as
// a string of indices. Fibers that are killed have no co_await inside a CHECK, which would swallow
// the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/extend/ended_fibers.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> sleep_for(std::chrono::milliseconds time) { co_await sleep(time); }

task<> fail() {
  throw std::runtime_error("expected");
  co_return;
}

std::vector<fiber<>> sleepers(std::initializer_list<int> times) {
  std::vector<fiber<>> made;
  for (const int time : times) made.push_back(spawn(sleep_for, std::chrono::milliseconds(time)));
  return made;
}

std::vector<fiber_base*> targets_of(const std::vector<fiber<>>& fibers) {
  std::vector<fiber_base*> targets;
  for (const auto& each : fibers) targets.push_back(&each.state());
  return targets;
}

// The indices of all fibers that ended before the limit, as in "201".
task<std::string> rest_of(ended_fibers& ends, time_limit timeout = forever) {
  const time_limit deadline = time_limit::at(timeout.resolve(current_scheduler().now()));
  std::string places;
  while (const auto place = co_await ends.next(deadline)) places += std::to_string(*place);
  co_return places;
}

}  // namespace

TEST_SUITE_BEGIN("ended_fibers");

// row: JN-02
TEST_CASE("ended_fibers returns indices in the order in which fibers end, then nothing at once") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({3, 1, 2});
    ended_fibers ends(targets_of(fibers));
    CHECK(co_await rest_of(ends) == "120");
    CHECK(engine.now() == scripted_engine::start_time + 3'000'000);
    CHECK(co_await ends.next() == std::nullopt);
    CHECK(co_await ends.next(0s) == std::nullopt);
  };
  run_on(engine, main());
}

// row: JN-02
TEST_CASE("fibers that had ended before come first, in the order of the list") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({5, 2, 9, 1});
    co_await sleep(3ms);  // the last one ended before the second one did
    ended_fibers ends(targets_of(fibers));
    CHECK(co_await ends.next(0s) == 1u);
    CHECK(co_await ends.next(0s) == 3u);
    CHECK(co_await ends.next(0s) == std::nullopt);
    CHECK(co_await rest_of(ends) == "02");
  };
  run_on(engine, main());
}

// row: JN-02
TEST_CASE("ended_fibers of an empty list returns nothing at once") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    ended_fibers ends({});
    CHECK(co_await ends.next() == std::nullopt);
    co_return;
  };
  run_on(engine, main());
}

// row: W48
TEST_CASE("a fiber that is listed twice is returned twice") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto fibers = sleepers({2, 1});
    const std::vector<fiber<>> listed = {fibers[0], fibers[1], fibers[0], fibers[1]};
    ended_fibers ends(targets_of(listed));
    CHECK(co_await rest_of(ends) == "1302");
    ended_fibers again(targets_of(listed));
    CHECK(co_await rest_of(again) == "0123");
  };
  run_on(engine, main());
}

TEST_CASE("ended_fibers returns failed and killed fibers, and their errors stay unhandled") {
  scripted_engine engine;
  int reported = 0;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error&) { ++reported; };
  const auto main = [&]() -> task<> {
    std::vector<fiber<>> fibers = sleepers({5, 9});
    fibers.push_back(spawn(fail));
    const auto not_begun = spawn(sleep_for, 1ms);
    not_begun.request_kill();
    fibers.push_back(not_begun);
    fibers[1].request_kill();
    ended_fibers ends(targets_of(fibers));
    CHECK(co_await rest_of(ends) == "1230");
  };
  run_on(engine, main(), settings);
  CHECK(reported == 1);
}

TEST_CASE("fibers that end while no fiber waits are kept in order") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({3, 2, 1, 4});
    ended_fibers ends(targets_of(fibers));
    co_await sleep(10ms);
    CHECK(co_await rest_of(ends, 0s) == "2103");
  };
  run_on(engine, main());
}

// row: W12
TEST_CASE("a wait whose limit passes returns nothing, and the next wait continues") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({3, 6});
    ended_fibers ends(targets_of(fibers));
    CHECK(co_await ends.next(1ms) == std::nullopt);
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
    CHECK(co_await ends.next(0s) == std::nullopt);
    CHECK(co_await ends.next(-1h) == std::nullopt);
    CHECK(co_await ends.next(1h) == 0u);
    const result<std::optional<std::size_t>> last = co_await as_result(ends.next());
    CHECK(*last == 1u);
  };
  run_on(engine, main());
}

TEST_CASE("success wins: an end in the turn of the limit is returned") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    // Yields once more than the wait needs to see its limit.
    const auto slow = spawn([]() -> task<> { co_await sleep(1ms); });
    co_await yield();
    std::vector<fiber_base*> targets = {&slow.state()};
    ended_fibers ends(targets);
    // Both are due at 1 ms; the sleeper was armed first, so it ends before this fiber is resumed.
    CHECK(co_await ends.next(1ms) == 0u);
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("a killed wait loses nothing: the next wait returns the same fiber") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({2, 4});
    ended_fibers ends(targets_of(fibers));
    std::string log;
    const auto waiting = spawn([&]() -> task<> {
      for (int i = 0; i < 3; ++i) {
        try {
          const auto place = co_await ends.next();
          log += std::to_string(*place) + " ";
        } catch (const cancelled&) {
          log += "cancelled ";
        }
      }
    });
    SUBCASE("while it waits for an end") {
      co_await sleep(1ms);
      waiting.request_kill();
      co_await waiting.join();
      CHECK(log == "cancelled 0 1 ");
    }
    SUBCASE("after an end has woken it: success wins") {
      fibers[0].on_done([&] { waiting.request_kill(); });
      co_await waiting.join();
      CHECK(log == "0 cancelled 1 ");
    }
    SUBCASE("while it waits for the last end") {
      co_await sleep(3ms);
      waiting.request_kill();
      co_await waiting.join();
      CHECK(log == "0 cancelled 1 ");
    }
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("every next is a checkpoint, even when it has something to return") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({1});
    co_await fibers[0].join();
    std::string log;
    const auto waiting = spawn([&]() -> task<> {
      ended_fibers ends(targets_of(fibers));
      current().kill();
      bool thrown = false;
      try {
        co_await ends.next();
      } catch (const cancelled&) {
        thrown = true;
      }
      log += thrown ? "cancelled " : "missed ";
      const auto place = co_await ends.next();
      log += std::to_string(*place);
    });
    co_await waiting.join();
    CHECK(log == "cancelled 0");
  };
  run_on(engine, main());
}

// row: W7
TEST_CASE("ended_fibers does not mistake a limit around the wait for its own") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({5});
    ended_fibers ends(targets_of(fibers));
    bool late = false;
    try {
      co_await with_timeout(1ms, ends.next(2ms));
    } catch (const timed_out&) {
      late = true;
    }
    CHECK(late);
    CHECK(co_await ends.next() == 0u);
  };
  run_on(engine, main());
}

// row: JN-03
TEST_CASE("ended_fibers that is dropped early leaves nothing behind, and its fibers continue") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({1, 2, 3});
    {
      ended_fibers ends(targets_of(fibers));
      CHECK(co_await ends.next() == 0u);
    }
    co_await fibers[2].join();
    CHECK(fibers[1].result() == outcome::value);
    const auto killed = spawn([&]() -> task<> {
      const auto more = sleepers({5, 6});
      ended_fibers ends(targets_of(more));
      co_await ends.next();
    });
    co_await yield();
    co_await killed.kill();
    co_await sleep(10ms);
  };
  run_on(engine, main());
}

TEST_CASE("dump says how many of the awaited fibers have not ended") {
  scripted_engine engine;
  std::string text;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({1, 9, 9});
    const auto waiting = spawn([&]() -> task<> {
      ended_fibers ends(targets_of(fibers));
      co_await rest_of(ends);
    });
    co_await sleep(3ms);
    text = dump();
    co_await waiting.kill();
  };
  run_on(engine, main());
  CHECK(text.find("fiber 5: join one of 2 fibers, for 0.002 s\n") != text.npos);
}

TEST_CASE("waiting for oneself, waiting twice at once, or for another scheduler's fibers aborts") {
  CHECK(aborts_with("a fiber joins itself", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      std::vector<fiber_base*> targets = {&current()};
      ended_fibers ends(targets);
      co_return;
    };
    run_on(engine, main());
  }));
  CHECK(aborts_with("two fibers wait for the same ends", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto fibers = sleepers({5});
      ended_fibers ends(targets_of(fibers));
      const auto wait = [&]() -> task<> { co_await ends.next(); };
      const auto a = spawn(wait);
      const auto b = spawn(wait);
      co_await a.join();
      co_await b.join();
    };
    run_on(engine, main());
  }));
}

TEST_CASE("ended_fibers does not allocate for waits, ends and kills after its construction") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto fibers = sleepers({1, 2, 3, 4, 5});
    const auto targets = targets_of(fibers);
    co_await yield();
    ended_fibers ends(targets);
    const auto killed = spawn([&]() -> task<> { co_await ends.next(); });
    co_await yield();
    const std::size_t before = allocations();
    killed.request_kill();
    co_await killed.join();
    int count = 0;
    while (co_await ends.next(1h)) ++count;
    CHECK(allocations() == before);
    CHECK(count == 5);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
