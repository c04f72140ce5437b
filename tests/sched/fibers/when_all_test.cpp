// when_all and when_any: values in order, which call ends the rest, and what happens to losers.
//
// Method: as for task_group; the scripted engine's clock moves only when every fiber sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "sched/calls.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> fail(std::chrono::nanoseconds time, const char* what) {
  co_await fail_after(time, what);
  co_return 0;
}

// Returns a value although it is cancelled.
task<int> stubborn(int answer) {
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
  }
  co_return answer;
}

task<int> fail_when_cancelled(const char* what) {
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
  }
  throw std::runtime_error(what);
}

}  // namespace

TEST_SUITE_BEGIN("when_all");

// row: JN-01
TEST_CASE("when_all runs the calls at once, and returns their values in the order of the calls") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const auto [number, nothing, text, owned] =
        co_await when_all(value_after(3ms, 7), sleep_for(1ms), value_after(2ms, std::string("x")),
                          value_after(4ms, std::make_unique<int>(8)));
    CHECK(number == 7);
    CHECK(text == "x");
    CHECK(*owned == 8);
    static_assert(std::is_same_v<std::remove_cvref_t<decltype(nothing)>, std::monostate>);
    CHECK(engine.now() == begin + 4'000'000);
  });
}

TEST_CASE("when_all accepts one call, void calls, and one that returns a reference") {
  run_scripted([](scripted_engine&) -> task<> {
    static int target = 1;
    const auto refer = []() -> task<int&> {
      co_await yield();
      co_return target;
    };
    const std::tuple<int> one = co_await when_all(value_after(1ms, 5));
    CHECK(std::get<0>(one) == 5);
    co_await when_all(sleep_for(1ms), sleep_for(2ms));
    const std::tuple<int&, int> two = co_await when_all(refer(), value_after(1ms, 5));
    CHECK(&std::get<0>(two) == &target);
  });
}

TEST_CASE("each call of when_all is a fiber and a child of the caller, and they begin in order") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const std::uint64_t caller = current().id();
    const auto call = [&](char name) -> task<std::uint64_t> {
      log += name;
      CHECK(current().parent_id() == caller);
      co_await yield();
      log += name;
      co_return current().id();
    };
    const auto [a, b] = co_await when_all(call('a'), call('b'));
    CHECK(a != b);
    CHECK(a != caller);
    CHECK(log == "abab");
  });
}

TEST_CASE(
    "when_all throws the first failure at the end, cancels the rest, and reports later failures") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine& engine) -> task<> {
        const steady_ns begin = engine.now();
        bool ended = false;
        const auto slow_cleanup = [&]() -> task<> {
          try {
            co_await sleep(1h);
          } catch (const cancelled&) {
          }
          co_await shield(1h, sleep_for(2ms));
          ended = true;
        };
        const std::string out = co_await outcome_of(when_all(
            fail_when_cancelled("later"), slow_cleanup(), fail(1ms, "first"), value_after(0ms, 4)));
        CHECK(out == "first");
        CHECK(ended);
        CHECK(engine.now() == begin + 3'000'000);
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"later"});
}

TEST_CASE(
    "a killed call makes when_all throw errc::fiber_cancelled, and the other calls continue") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    bool went_on = false;
    const auto dying = []() -> task<int> {
      current().kill();
      co_await yield();
      co_return 1;
    };
    const auto other = [&]() -> task<> {
      co_await sleep(2ms);
      went_on = true;
    };
    const std::string out = co_await outcome_of(when_all(dying(), other()));
    CHECK(out == "fiber_cancelled");
    CHECK(went_on);
    CHECK(engine.now() == begin + 2'000'000);
  });
}

TEST_CASE("an interruption of when_all's caller first ends the calls") {
  std::string log;
  const auto call = [&](char name) -> task<> {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    co_await shield(1h, sleep_for(1ms));
    log += name;
  };
  run_scripted([&](scripted_engine&) -> task<> {
    SUBCASE("a kill") {
      const fiber<> caller =
          spawn([&]() -> task<> { log += co_await outcome_of(when_all(call('a'), call('b'))); });
      co_await sleep(1ms);
      co_await caller.kill();
      CHECK(log == "abcancelled");
    }
    SUBCASE("a kill with an exception") {
      const fiber<> caller =
          spawn([&]() -> task<> { log += co_await outcome_of(when_all(call('a'), call('b'))); });
      co_await sleep(1ms);
      co_await caller.kill(std::make_exception_ptr(std::runtime_error("given")));
      CHECK(log == "abgiven");
    }
    SUBCASE("a limit") {
      log += co_await outcome_of(with_timeout(1ms, when_all(call('a'), call('b'))));
      CHECK(log == "abtimed out");
    }
    SUBCASE("a kill before they begin") {
      const fiber<> caller = spawn([&]() -> task<> {
        current().kill();
        log += co_await outcome_of(when_all(call('a'), call('b')));
      });
      co_await caller.join();
      CHECK(log == "cancelled");
    }
  });
}

TEST_CASE("success wins in when_all over a kill that comes when all calls have succeeded") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    fiber<> caller;
    const auto last = [&]() -> task<int> {
      co_await sleep(1ms);
      co_return 3;
    };
    caller = spawn([&]() -> task<> {
      const auto [number] = co_await when_all(last());
      log += std::to_string(number);
      try {
        co_await yield();
      } catch (const cancelled&) {
        log += " cancelled";
      }
    });
    // Due in the same turn, behind the call: its fiber ends, then this one runs, then the caller.
    co_await yield();
    co_await yield();
    co_await sleep(1ms);
    CHECK(log.empty());
    co_await caller.kill();
    CHECK(log == "3 cancelled");
  });
}

TEST_CASE("values and arguments of calls are destroyed once each") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    const auto pass = [](counted object) -> task<counted> {
      co_await yield();
      co_return object;
    };
    {
      const auto [a, b] = co_await when_all(pass(counted(lives, 1)), pass(counted(lives, 2)));
      CHECK(a.value() == 1);
      CHECK(b.value() == 2);
      CHECK(lives.alive() == 2);
    }
    CHECK(lives.alive() == 0);
    {
      const auto first = co_await when_any(pass(counted(lives, 1)), pass(counted(lives, 2)));
      CHECK(std::get<0>(first.calls).value().value() == 1);
    }
    CHECK(lives.alive() == 0);
  });
  CHECK(lives.alive() == 0);
}

// when_any

// row: JN-04
TEST_CASE("when_any returns which call was first, and cancels the rest") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const auto race =
        co_await when_any(sleep_for(1h), value_after(2ms, 7), value_after(3ms, std::string("x")));
    CHECK(race.index == 1);
    const auto& [a, b, c] = race.calls;
    CHECK(a.result() == outcome::cancelled);
    CHECK(b.result() == outcome::value);
    CHECK(b.value() == 7);
    CHECK(c.result() == outcome::cancelled);
    CHECK(engine.now() == begin + 2'000'000);
  });
}

TEST_CASE("when_any returns when all calls have ended, not before") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const auto slow = []() -> task<> { co_await shield(1h, sleep_for(5ms)); };
    const auto race = co_await when_any(slow(), value_after(1ms, 1));
    CHECK(race.index == 1);
    CHECK(std::get<0>(race.calls).result() == outcome::value);
    CHECK(engine.now() == begin + 5'000'000);
  });
}

TEST_CASE("when_any returns a loser that succeeded after all") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto race = co_await when_any(stubborn(1), value_after(1ms, 2), stubborn(3));
    CHECK(race.index == 1);
    CHECK(std::get<0>(race.calls).value() == 1);
    CHECK(std::get<1>(race.calls).value() == 2);
    CHECK(std::get<2>(race.calls).value() == 3);
  });
}

TEST_CASE("when_any ranks calls that end in the same turn by the queue, and keeps the later one") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto by_time = co_await when_any(value_after(1ms, 1), value_after(1ms, 2));
    CHECK(by_time.index == 0);
    CHECK(std::get<1>(by_time.calls).value() == 2);
    const auto at_once = [](int number) -> task<int> { co_return number; };
    const auto ready = co_await when_any(at_once(1), at_once(2), at_once(3));
    CHECK(ready.index == 0);
    CHECK(std::get<1>(ready.calls).value() == 2);
    CHECK(std::get<2>(ready.calls).value() == 3);
  });
}

TEST_CASE("when_any returns failures as outcomes: of the first call, of losers, of all") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto first = co_await when_any(stubborn(1), fail(1ms, "quick"));
    CHECK(first.index == 1);
    CHECK(text_of(std::get<1>(first.calls).error()) == "quick");
    CHECK(std::get<0>(first.calls).value() == 1);
    const auto all = co_await when_any(fail(2ms, "a"), fail(1ms, "b"), fail_when_cancelled("c"));
    CHECK(all.index == 1);
    CHECK(std::get<0>(all.calls).result() == outcome::cancelled);
    CHECK(text_of(std::get<1>(all.calls).error()) == "b");
    CHECK(text_of(std::get<2>(all.calls).error()) == "c");
  });
}

TEST_CASE("unhandled failures in the outcome are reported, and handled ones are not") {
  std::vector<std::string> reports;
  run_scripted(
      [&](scripted_engine&) -> task<> {
        {
          const auto race = co_await when_any(fail(1ms, "seen"), fail_when_cancelled("not"));
          CHECK(text_of(std::get<0>(race.calls).error()) == "seen");
          CHECK(reports.empty());
        }
        CHECK(reports == std::vector<std::string>{"not"});
      },
      collecting(reports));
}

TEST_CASE("an interruption of when_any's caller first ends the calls") {
  std::string log;
  const auto call = [&](char name) -> task<> {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    co_await shield(1h, sleep_for(1ms));
    log += name;
  };
  run_scripted([&](scripted_engine&) -> task<> {
    SUBCASE("a kill") {
      const fiber<> caller =
          spawn([&]() -> task<> { log += co_await outcome_of(when_any(call('a'), call('b'))); });
      co_await sleep(1ms);
      co_await caller.kill();
      CHECK(log == "abcancelled");
    }
    SUBCASE("a kill with an exception, which is rethrown unchanged") {
      const fiber<> caller =
          spawn([&]() -> task<> { log += co_await outcome_of(when_any(call('a'), call('b'))); });
      co_await sleep(1ms);
      co_await caller.kill(std::make_exception_ptr(std::runtime_error("given")));
      CHECK(log == "abgiven");
    }
    SUBCASE("a kill when one call has won, and the other has not ended yet") {
      const fiber<> caller = spawn(
          [&]() -> task<> { log += co_await outcome_of(when_any(call('a'), sleep_for(1ms))); });
      co_await sleep(1500us);
      co_await caller.kill();
      CHECK(log == "acancelled");
    }
    SUBCASE("a limit") {
      log += co_await outcome_of(with_timeout(1ms, when_any(call('a'), call('b'))));
      CHECK(log == "abtimed out");
    }
  });
}

TEST_CASE("when_any returns a limit that passes in a call as an outcome like any other") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto race =
        co_await when_any(with_timeout(1ms, sleep_for(1h)), with_timeout(2ms, sleep_for(1h)));
    CHECK(race.index == 0);
    CHECK(text_of(std::get<0>(race.calls).error()).find("timed out") != std::string::npos);
    CHECK(std::get<1>(race.calls).result() == outcome::cancelled);
  });
}

TEST_CASE("calls may nest: all of any of all") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const auto [race, number] =
        co_await when_all(when_any(when_all(value_after(3ms, 1), value_after(1ms, 2)),
                                   when_all(value_after(2ms, 3), value_after(1ms, 4))),
                          value_after(1ms, 5));
    CHECK(race.index == 1);
    CHECK(std::get<1>(race.calls).value() == std::tuple(3, 4));
    CHECK(std::get<0>(race.calls).result() == outcome::cancelled);
    CHECK(number == 5);
    CHECK(engine.now() == begin + 2'000'000);
  });
}

// Waits

TEST_CASE("when_all takes waits, alone and beside tasks, and returns their values") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    queue<std::unique_ptr<int>> numbers;
    event ready;
    const auto feed = [&]() -> task<> {
      co_await sleep(1ms);
      ready.set();
      co_await sleep(1ms);
      co_await numbers.push(std::make_unique<int>(7));
    };
    spawn(feed());
    const auto [number, is_set] = co_await when_all(numbers.pop(), ready.wait());
    CHECK(*number == 7);
    CHECK(is_set);
    CHECK(engine.now() == begin + 2'000'000);
    const auto [nothing, word] = co_await when_all(yield(), value_after(1ms, std::string("x")));
    static_assert(std::is_same_v<std::remove_cvref_t<decltype(nothing)>, std::monostate>);
    CHECK(word == "x");
  });
}

TEST_CASE("a wait that fails in when_all ends the rest, and a kill leaves nothing behind") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> numbers;
    CHECK(co_await outcome_of(when_all(numbers.pop(1ms), sleep(1h))) == "timed out");
    std::string log;
    const fiber<> caller = spawn([&]() -> task<> {
      log = co_await outcome_of(when_all(numbers.pop(), fail_when_cancelled("hidden")));
    });
    SUBCASE("while they wait") { co_await sleep(1ms); }
    SUBCASE("before they begin") { co_await yield(); }
    co_await caller.kill();
    CHECK(log == "cancelled");
    CHECK(numbers.try_push(3));
    CHECK(co_await numbers.pop() == 3);
  });
}

TEST_CASE("when_any takes waits, and cancels those that lose") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> numbers;
    event ready;
    const auto first = co_await when_any(numbers.pop(), sleep(1ms), ready.wait());
    CHECK(first.index == 1);
    CHECK(std::get<0>(first.calls).result() == outcome::cancelled);
    CHECK(std::get<2>(first.calls).result() == outcome::cancelled);
    CHECK(numbers.try_push(3));
    const auto second = co_await when_any(numbers.pop(), value_after(1h, 4));
    CHECK(second.index == 0);
    CHECK(std::get<0>(second.calls).value() == 3);
  });
}

TEST_SUITE_END();
