// with_timeout: limits around calls, alone and nested, and what passes through them.
//
// Method: the scripted engine's clock moves only when every fiber sleeps, so numbers decide the
// order.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "sched/throws.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> answer_after(std::chrono::nanoseconds time) {
  co_await sleep(time);
  co_return 42;
}

task<> sleep_for(std::chrono::nanoseconds time) { co_await sleep(time); }

// The outcome of a call, as a word.
task<std::string> outcome_of(task<> call) {
  try {
    co_await call;
    co_return "done";
  } catch (const timed_out&) {
    co_return "timed out";
  } catch (const cancelled&) {
    co_return "cancelled";
  } catch (const std::exception& error) {
    co_return error.what();
  }
}

// Counts constructions and destructions of this type.
struct counted {
  explicit counted(int& alive) : count(&alive) { ++*count; }
  counted(const counted& other) noexcept : count(other.count) { ++*count; }
  counted(counted&& other) noexcept : count(other.count) { ++*count; }
  counted& operator=(const counted&) = delete;
  ~counted() { --*count; }
  int* count;
};

}  // namespace

TEST_SUITE_BEGIN("with_timeout");

TEST_CASE("a call that ends in time returns its value") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK(co_await with_timeout(2ms, answer_after(1ms)) == 42);
    co_await with_timeout(2ms, sleep_for(1ms));
    co_await with_timeout(forever, sleep_for(1ms));
    CHECK(engine.now() == begin + 3'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("a call that is too slow ends at the limit with timed_out") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK_THROWS_AS(co_await with_timeout(2ms, answer_after(1h)), timed_out);
    CHECK(engine.now() == begin + 2'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("timed_out is a system error: std::errc::timed_out") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    try {
      co_await with_timeout(1ms, sleep_for(1h));
      FAIL("it must throw");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::timed_out);
      CHECK(error.code() == errc::timed_out);
      CHECK(std::string(error.what()).find("with_timeout") != std::string::npos);
    }
    const result<int> late = co_await as_result(with_timeout(1ms, answer_after(1h)));
    CHECK(late.error() == std::errc::timed_out);
  };
  run_on(engine, main());
}

TEST_CASE("with_timeout may be put around single waits, too") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    co_await with_timeout(2ms, sleep(1ms));
    CHECK_THROWS_AS(co_await with_timeout(1ms, sleep(2ms)), timed_out);
    co_await with_timeout(0s, yield());
    const auto slow = spawn(answer_after, 5ms);
    CHECK_THROWS_AS(co_await with_timeout(1ms, slow.join()), timed_out);
    CHECK_THROWS_AS(co_await with_timeout(1ms, slow.get()), timed_out);
    CHECK_FALSE(co_await with_timeout(2ms, slow.join(1ms)));  // its own limit is its own affair
    CHECK(co_await with_timeout(1h, slow.join()));
    CHECK(co_await with_timeout(1h, slow.get()) == 42);
    CHECK(co_await with_timeout(1h, fiber(slow).get()) == 42);
    CHECK(co_await with_timeout(1ms, joinall(slow, slow)));
    CHECK(co_await as_result(with_timeout(1ms, as_result(sleep(0s)))));
  };
  run_on(engine, main());
}

TEST_CASE("with_timeout returns values that can only be moved") {
  scripted_engine engine;
  const auto make = []() -> task<std::unique_ptr<int>> {
    co_await yield();
    co_return std::make_unique<int>(7);
  };
  const auto main = [&]() -> task<> {
    const std::unique_ptr<int> number = co_await with_timeout(1s, make());
    CHECK(*number == 7);
    const std::unique_ptr<int> other = co_await with_timeout(1s, spawn(make).get());
    CHECK(*other == 7);
  };
  run_on(engine, main());
}

TEST_CASE("errors of the call pass through") {
  scripted_engine engine;
  const auto fail = []() -> task<> {
    co_await yield();
    throw std::runtime_error("its own");
  };
  const auto main = [&]() -> task<> {
    CHECK(co_await outcome_of(with_timeout(1s, fail())) == "its own");
  };
  run_on(engine, main());
}

// Nesting

TEST_CASE("the nearest of nested limits wins, and each one throws for itself") {
  scripted_engine engine;
  std::string log;
  const auto inner = [&](time_limit timeout) -> task<> {
    log += co_await outcome_of(with_timeout(timeout, sleep_for(1h))) + " inside, ";
    co_await sleep(1ms);
    log += "continued, ";
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    SUBCASE("the inner one") {
      log += co_await outcome_of(with_timeout(5ms, inner(2ms)));
      CHECK(log == "timed out inside, continued, done");
      CHECK(engine.now() == begin + 3'000'000);
    }
    SUBCASE("the outer one, which the inner limit does not swallow") {
      log += co_await outcome_of(with_timeout(2ms, inner(5ms)));
      CHECK(log == "cancelled inside, timed out");
      CHECK(engine.now() == begin + 2'000'000);
    }
    SUBCASE("both at once: the outer one") {
      const auto deadline = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(begin));
      log += co_await outcome_of(with_timeout(deadline + 2ms, inner(deadline + 2ms)));
      CHECK(log == "cancelled inside, timed out");
    }
    SUBCASE("no limit inside changes nothing") {
      log += co_await outcome_of(with_timeout(2ms, inner(forever)));
      CHECK(log == "cancelled inside, timed out");
    }
    SUBCASE("no limit outside changes nothing") {
      log += co_await outcome_of(with_timeout(forever, inner(2ms)));
      CHECK(log == "timed out inside, continued, done");
    }
  };
  run_on(engine, main());
}

TEST_CASE("the outer limit still holds after the inner one has passed") {
  scripted_engine engine;
  const auto call = [&]() -> task<> {
    for (;;) {
      try {
        co_await with_timeout(3ms, sleep_for(1h));
      } catch (const timed_out&) {
      }
    }
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK(co_await outcome_of(with_timeout(10ms, call())) == "timed out");
    CHECK(engine.now() == begin + 10'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("a kill passes through any number of limits around it") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto killed = spawn([&]() -> task<> {
      log = co_await outcome_of(with_timeout(2ms, with_timeout(1ms, sleep_for(1h))));
    });
    SUBCASE("before the limits") { co_await yield(); }
    SUBCASE("in the turn in which the inner limit passes") {
      // This sleep begins before the limit does, so this fiber is resumed first.
      co_await sleep(1ms);
    }
    killed.request_kill();
    co_await killed.join();
  };
  run_on(engine, main());
  CHECK(log == "cancelled");
}

TEST_CASE("limits of one fiber do not affect another that it spawns") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    fiber<> child;
    const auto call = [&]() -> task<> {
      child = spawn(sleep_for, 5ms);
      co_await child.join();
    };
    CHECK(co_await outcome_of(with_timeout(1ms, call())) == "timed out");
    CHECK(child.result() == outcome::pending);
    CHECK(co_await child.join());
    CHECK(child.result() == outcome::value);
  };
  run_on(engine, main());
}

// How the call reacts

TEST_CASE("a call that catches the interruption is interrupted again at each further wait") {
  scripted_engine engine;
  int caught = 0;
  const auto stubborn = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        ++caught;
      }
    }
    co_await sleep(1h);
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK(co_await outcome_of(with_timeout(1ms, stubborn())) == "timed out");
    CHECK(engine.now() == begin + 1'000'000);
    co_await sleep(1ms);  // outside, no trace is left
  };
  run_on(engine, main());
  CHECK(caught == 10);
}

TEST_CASE("success wins: a call that finishes although its limit has passed returns its value") {
  scripted_engine engine;
  const auto late = [&]() -> task<int> {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    co_return 5;
  };
  const auto main = [&]() -> task<> {
    CHECK(co_await with_timeout(1ms, late()) == 5);
    // Due in the same turn as the limit, and begun first.
    const auto a = spawn(sleep_for, 1ms);
    co_await yield();
    CHECK(co_await outcome_of(with_timeout(1ms, sleep_for(1ms))) == "timed out");
    CHECK(co_await with_timeout(1ms, a.join()));
  };
  run_on(engine, main());
}

TEST_CASE("a call whose limit has passed can still do everything that needs no wait") {
  scripted_engine engine;
  const auto at_once = []() -> task<int> { co_return 3; };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto ended = spawn(at_once);
    co_await ended.join();
    for (const time_limit timeout : {time_limit(0s), time_limit(-1h), time_limit::at(1)}) {
      CHECK(co_await with_timeout(timeout, at_once()) == 3);
      CHECK(co_await with_timeout(timeout, ended.get()) == 3);
      CHECK_THROWS_AS(co_await with_timeout(timeout, sleep(1ns)), timed_out);
    }
    CHECK(engine.now() == begin);
  };
  run_on(engine, main());
}

TEST_CASE("the limit of with_timeout may be a point in time") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const std::chrono::steady_clock::time_point deadline(std::chrono::nanoseconds(engine.now()) +
                                                         3ms);
    co_await sleep(1ms);
    CHECK(co_await outcome_of(with_timeout(deadline, sleep_for(1h))) == "timed out");
    CHECK(std::chrono::nanoseconds(engine.now()) == deadline.time_since_epoch());
  };
  run_on(engine, main());
}

TEST_CASE("a duration counts from the co_await") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    auto call = with_timeout(2ms, answer_after(1ms));
    co_await sleep(5ms);
    CHECK(co_await call == 42);
  };
  run_on(engine, main());
}

TEST_CASE("with_timeout waits until an operation inside has really ended") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    engine.hold_cancellations(true);
    bool ended = false;
    const auto limited = spawn([&]() -> task<> {
      CHECK_THROWS_AS(co_await with_timeout(1ms, probe()), timed_out);
      ended = true;
    });
    co_await sleep(5ms);
    CHECK(engine.cancelled(opcode::read) == 1);
    CHECK_FALSE(ended);
    engine.hold_cancellations(false);
    co_await limited.join();
    CHECK(ended);

    engine.hold_cancellations(true);
    const auto lucky = spawn([&]() -> task<> { CHECK(co_await with_timeout(1ms, probe()) == 9); });
    co_await sleep(5ms);
    engine.complete(engine.oldest(opcode::read), 9);  // it ended before its cancellation
    co_await lucky.join();
  };
  run_on(engine, main());
}

// Temporaries, which g++ 12 miscompiles elsewhere

TEST_CASE("arguments and values are destroyed once each") {
  scripted_engine engine;
  int alive = 0;
  const auto pass = [](counted object) -> task<counted> {
    co_await yield();
    co_return object;
  };
  const auto throw_away = [](counted) -> task<> { co_await sleep(1h); };
  const auto main = [&]() -> task<> {
    {
      const counted value = co_await with_timeout(1s, pass(counted(alive)));
      CHECK(alive == 1);
    }
    CHECK(alive == 0);
    CHECK_THROWS_AS(co_await with_timeout(1ms, throw_away(counted(alive))), timed_out);
    CHECK(alive == 0);
    if (counted value = co_await with_timeout(1s, pass(counted(alive))); value.count != nullptr) {
      CHECK(alive == 1);
    }
    CHECK(alive == 0);
  };
  run_on(engine, main());
  CHECK(alive == 0);
}

TEST_CASE("a limit allocates only its frame, which is pooled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    co_await with_timeout(1ms, sleep_for(0s));
    const std::size_t before = allocations();
    for (int i = 0; i < 10; ++i) co_await with_timeout(1ms, sleep_for(0s));
    CHECK(allocations() == before);
  };
  run_on(engine, main());
}

// Extending

namespace {

// Extends the limit around it after `first`, then sleeps for an hour.
auto extend_after(std::chrono::milliseconds first, time_limit timeout, bool& extended) {
  return [first, timeout, &extended](deadline_scope& deadline) -> task<> {
    co_await sleep(first);
    extended = deadline.extend(timeout);
    co_await sleep(1h);
  };
}

}  // namespace

// row: TM-01
TEST_CASE("the call may extend its limit: later, earlier, or forever") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    bool extended = false;
    const auto end_of = [&](time_limit timeout) -> task<std::chrono::nanoseconds> {
      const steady_ns since = engine.now();
      auto call = extend_after(2ms, timeout, extended);
      const std::string end = co_await outcome_of(with_timeout(10ms, call));
      CHECK(extended);
      CHECK(end == (timeout.is_forever() ? "done" : "timed out"));
      co_return std::chrono::nanoseconds(engine.now() - since);
    };
    SUBCASE("later, counted from the extension") { CHECK(co_await end_of(20ms) == 22ms); }
    SUBCASE("earlier") { CHECK(co_await end_of(3ms) == 5ms); }
    SUBCASE("at once, in the next turn") { CHECK(co_await end_of(0s) == 2ms); }
    SUBCASE("a time that has passed") { CHECK(co_await end_of(-1h) == 2ms); }
    SUBCASE("to a point in time") {
      const std::chrono::steady_clock::time_point start{std::chrono::nanoseconds(begin)};
      CHECK(co_await end_of(start + 15ms) == 15ms);
    }
    SUBCASE("forever") { CHECK(co_await end_of(forever) == 1h + 2ms); }
  };
  run_on(engine, main());
}

// row: TM-01
TEST_CASE("a limit may be extended many times, and begin with none") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto keep_alive = [](deadline_scope& deadline) -> task<> {
      for (int i = 0; i < 5; ++i) {
        co_await sleep(2ms);
        CHECK_FALSE(deadline.has_passed());
        CHECK(deadline.extend(3ms));
      }
      CHECK(deadline.extend(forever));
      CHECK(deadline.extend(1ms));
      co_await sleep(1h);
    };
    CHECK(co_await outcome_of(with_timeout(forever, keep_alive)) == "timed out");
    CHECK(engine.now() == begin + 11'000'000);
  };
  run_on(engine, main());
}

// row: TM-01
TEST_CASE("has_passed is true after the limit has passed, and extend is too late") {
  scripted_engine engine;
  std::string log;
  const auto stubborn = [&](deadline_scope& deadline) -> task<> {
    log += deadline.has_passed() ? "passed " : "not passed ";
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      log += deadline.has_passed() ? "passed " : "not passed ";
    }
    log += deadline.extend(1h) ? "extended " : "too late ";
    log += deadline.extend(forever) ? "extended " : "too late ";
    try {
      co_await sleep(1ms);
      log += "slept ";
    } catch (const cancelled&) {
      log += "cancelled ";
    }
    co_await sleep(1ms);
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK(co_await outcome_of(with_timeout(2ms, stubborn)) == "timed out");
    CHECK(engine.now() == begin + 2'000'000);
  };
  run_on(engine, main());
  CHECK(log == "not passed passed too late too late cancelled ");
}

// row: TM-01
TEST_CASE("extend is in time as long as the scheduler has not seen the limit pass") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto compute = [&](deadline_scope& deadline) -> task<> {
      co_await yield();
      engine.advance(5'000'000);  // computes beyond its limit
      CHECK_FALSE(deadline.has_passed());
      CHECK(deadline.extend(1ms));
      co_await sleep(1h);
    };
    CHECK(co_await outcome_of(with_timeout(2ms, compute)) == "timed out");
    CHECK(engine.now() == begin + 6'000'000);
  };
  run_on(engine, main());
}

// row: TM-03
TEST_CASE("extending the inner limit does not move the outer one, and the reverse") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    SUBCASE("the inner one beyond the outer one") {
      const auto inner = [&](deadline_scope& deadline) -> task<> {
        CHECK(deadline.extend(1h));
        co_await sleep(2h);
      };
      const auto call = [&]() -> task<> {
        log += co_await outcome_of(with_timeout(1ms, inner)) + " inside, ";
        co_await sleep(1ms);
      };
      log += co_await outcome_of(with_timeout(5ms, call()));
      CHECK(log == "cancelled inside, timed out");
      CHECK(engine.now() == begin + 5'000'000);
    }
    SUBCASE("the outer one, from inside the inner one") {
      const auto outer = [&](deadline_scope& deadline) -> task<> {
        const auto call = [&]() -> task<> {
          CHECK(deadline.extend(10ms));
          co_await sleep(1h);
        };
        log += co_await outcome_of(with_timeout(5ms, call())) + " inside, ";
        co_await sleep(1h);
      };
      log += co_await outcome_of(with_timeout(2ms, outer));
      CHECK(log == "timed out inside, timed out");
      CHECK(engine.now() == begin + 10'000'000);
    }
  };
  run_on(engine, main());
}

// row: TM-01
TEST_CASE("with_timeout of a function returns its value, and passes errors on") {
  scripted_engine engine;
  const auto make = [](deadline_scope&) -> task<std::unique_ptr<int>> {
    co_await yield();
    co_return std::make_unique<int>(7);
  };
  int target = 0;
  const auto refer = [&target](deadline_scope&) -> task<int&> { co_return target; };
  const auto fail = [](deadline_scope&) -> task<int> {
    throw std::runtime_error("its own");
    co_return 0;
  };
  const auto refuse = [](deadline_scope&) -> task<> { throw std::runtime_error("no task"); };
  struct counting {
    int calls = 0;
    task<int> operator()(deadline_scope&) {
      ++calls;
      co_await yield();
      co_return calls;
    }
  };
  const auto main = [&]() -> task<> {
    const std::unique_ptr<int> number = co_await with_timeout(1s, make);
    CHECK(*number == 7);
    CHECK(&co_await with_timeout(1s, refer) == &target);
    CHECK_THROWS_WITH(co_await with_timeout(1s, fail), "its own");
    CHECK_THROWS_WITH(co_await with_timeout(1s, refuse), "no task");
    counting shared;
    CHECK(co_await with_timeout(1s, shared) == 1);
    CHECK(co_await with_timeout(1s, shared) == 2);  // borrowed, not copied
    const bool temporary = co_await with_timeout(1s, [](deadline_scope& deadline) -> task<bool> {
      co_await yield();
      co_return !deadline.has_passed();
    });
    CHECK(temporary);
  };
  run_on(engine, main());
}

TEST_CASE("a deadline_scope used directly ends the waits inside, and sets has_passed") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    std::string log;
    {
      deadline_scope mine(2ms);
      try {
        co_await sleep(1h);
      } catch (const cancelled& reason) {
        log += reason.from(&mine) ? "mine " : "not mine ";
      }
      CHECK(mine.has_passed());
    }
    co_await sleep(1ms);
    CHECK(log == "mine ");
  };
  run_on(engine, main());
}

// Which limit it was

namespace {

task<> throw_timed_out() {
  co_await yield();
  throw timed_out("its own");
}

task<int> throw_timed_out_for_int() {
  co_await throw_timed_out();
  co_return 1;
}

}  // namespace

// rows: W8 TM-04
TEST_CASE("a timed_out that the call itself throws is not mistaken for the limit's") {
  scripted_engine engine;
  std::string log;
  const auto note = [&](task<> call) -> task<> {
    try {
      co_await call;
      log += "done ";
    } catch (const timed_out& error) {
      log += std::string(error.what()).starts_with("its own") ? "its own " : "the limit's ";
    }
  };
  const auto function = [](deadline_scope&) -> task<> { return throw_timed_out(); };
  const auto moving_on = []() -> task<> { co_await move_on_after(1s, throw_timed_out()); };
  const auto moving_on_with_int = []() -> task<> {
    co_await move_on_after(1s, throw_timed_out_for_int());
  };
  const auto or_else = []() -> task<> { co_await timeout_or(1s, throw_timed_out_for_int(), 5); };
  const auto main = [&]() -> task<> {
    co_await note(with_timeout(1s, throw_timed_out()));
    co_await note(with_timeout(1s, function));
    co_await note(moving_on());
    co_await note(moving_on_with_int());
    co_await note(or_else());
    // An inner limit that passes is an error of the call to the outer limit.
    CHECK_THROWS_AS(co_await move_on_after(1s, with_timeout(1ms, sleep_for(1h))), timed_out);
    CHECK_THROWS_AS(co_await timeout_or(1s, with_timeout(1ms, answer_after(1h)), 5), timed_out);
  };
  run_on(engine, main());
  CHECK(log == "its own its own its own its own its own ");
}

// row: W9
TEST_CASE("timed_out derives from std::exception, and the interruption of inner waits does not") {
  static_assert(std::is_base_of_v<std::system_error, timed_out>);
  scripted_engine engine;
  bool swallowed = false;
  const auto careless = [&]() -> task<> {
    try {
      co_await sleep(1h);
    } catch (const std::exception&) {
      swallowed = true;
    }
  };
  const auto main = [&]() -> task<> {
    CHECK(co_await outcome_of(with_timeout(1ms, careless())) == "timed out");
  };
  run_on(engine, main());
  CHECK_FALSE(swallowed);
}

// row: W10
TEST_CASE("with_timeout without a limit arms no timer, and a limit of zero ends the first wait") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto call = [&]() -> task<> {
      log += "called ";
      co_await yield();  // needs no timer, and ends in this turn
      log += "yielded ";
      co_await sleep(0s);
      log += "not here ";
    };
    CHECK(co_await outcome_of(with_timeout(0s, call())) == "timed out");
    const auto look = [&]() -> task<> {
      CHECK(current_scheduler().timers().empty());
      co_return;
    };
    co_await with_timeout(forever, look());
    co_await with_timeout(std::chrono::hours::max(), look());
  };
  run_on(engine, main());
  CHECK(log == "called yielded ");
}

// rows: W8 TM-03
TEST_CASE("none of the forms swallows an outer limit, a kill, or a given exception") {
  scripted_engine engine;
  std::string log;
  const auto forms = [&]() {
    const auto by_function = [](deadline_scope&) -> task<> { return sleep_for(1h); };
    std::vector<std::function<task<>()>> all;
    all.push_back([] { return with_timeout(1min, sleep_for(1h)); });
    all.push_back([=]() -> task<> { co_await with_timeout(1min, by_function); });
    all.push_back([]() -> task<> { co_await with_timeout(1min, sleep(1h)); });
    all.push_back([]() -> task<> { co_await timeout_or(1min, answer_after(1h), 5); });
    all.push_back([]() -> task<> { co_await move_on_after(1min, sleep_for(1h)); });
    all.push_back([]() -> task<> { co_await move_on_after(1min, answer_after(1h)); });
    return all;
  };
  const auto note = [&](const std::function<task<>()>& form) -> task<> {
    log += co_await outcome_of(form()) + " ";
    co_await sleep(0s);
  };
  const auto main = [&]() -> task<> {
    for (const auto& form : forms()) {
      log.clear();
      SUBCASE("an outer limit") {
        log += co_await outcome_of(with_timeout(1ms, note(form)));
        CHECK(log == "cancelled timed out");
      }
      SUBCASE("a kill") {
        const auto killed = spawn(note, form);
        co_await yield();
        co_await killed.kill();
        CHECK(log == "cancelled ");
      }
      SUBCASE("an exception that the fiber is killed with") {
        const auto killed = spawn(note, form);
        co_await yield();
        co_await killed.kill(std::make_exception_ptr(std::runtime_error("given")));
        CHECK(log == "given ");
      }
    }
  };
  run_on(engine, main());
}

// rows: W8 TM-03
TEST_CASE("the outer one of two expired limits ends the call") {
  scripted_engine engine;
  std::string log;
  const auto clean_up_slowly = [&]() -> task<> {
    co_await shield(1h, sleep_for(5ms));  // both limits pass in this time, the inner one first
    co_await sleep(1h);
  };
  const auto main = [&]() -> task<> {
    const auto inner = [&]() -> task<> {
      log += co_await outcome_of(with_timeout(1ms, clean_up_slowly())) + " inside, ";
      co_await sleep(1h);
    };
    log += co_await outcome_of(with_timeout(2ms, inner()));
    CHECK(log == "cancelled inside, timed out");
    log.clear();
    const auto moving_on = [&]() -> task<> {
      co_await move_on_after(1ms, clean_up_slowly());
      log += "continued ";
    };
    log += co_await outcome_of(with_timeout(2ms, moving_on()));
    CHECK(log == "timed out");
  };
  run_on(engine, main());
}

// rows: W8 TM-03
TEST_CASE("a kill in the turn in which the limit passes is thrown first") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto killed = spawn([&]() -> task<> {
      log += co_await outcome_of(with_timeout(1ms, sleep_for(1h))) + " ";
      log += co_await outcome_of(sleep_for(1ms));
    });
    co_await sleep(1ms);
    // The limit has not been seen yet, or its fiber not been resumed: the spawn order decides.
    killed.request_kill();
    co_await killed.join();
  };
  run_on(engine, main());
  CHECK(log == "cancelled done");
}

// timeout_or and move_on_after

// row: TM-04
TEST_CASE("timeout_or returns the value in time, else the alternative") {
  scripted_engine engine;
  const auto make = [](std::chrono::milliseconds time) -> task<std::unique_ptr<int>> {
    co_await sleep(time);
    co_return std::make_unique<int>(7);
  };
  const auto word = [](std::chrono::milliseconds time) -> task<std::string> {
    co_await sleep(time);
    co_return "in time";
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK(co_await timeout_or(2ms, answer_after(1ms), 5) == 42);
    CHECK(co_await timeout_or(2ms, answer_after(1h), 5) == 5);
    CHECK(co_await timeout_or(2ms, answer_after(1h), 'a') == 97);
    CHECK(co_await timeout_or(2ms, word(1ms), "too late") == "in time");
    CHECK(co_await timeout_or(2ms, word(9ms), "too late") == "too late");
    CHECK(co_await timeout_or(0s, answer_after(0ms), 5) == 5);
    CHECK(co_await timeout_or(forever, answer_after(1ms), 5) == 42);
    CHECK(engine.now() == begin + 9'000'000);
    auto in_time = timeout_or(2ms, make(1ms), std::make_unique<int>(3));
    CHECK(*co_await in_time == 7);
    auto too_late = timeout_or(2ms, make(5ms), std::make_unique<int>(3));
    CHECK(*co_await too_late == 3);
    auto nothing = timeout_or(2ms, make(5ms), nullptr);
    CHECK(co_await nothing == nullptr);
  };
  run_on(engine, main());
}

// row: TM-02
TEST_CASE("move_on_after returns false, or no value, when the limit passes first") {
  scripted_engine engine;
  const auto make = [](std::chrono::milliseconds time) -> task<std::unique_ptr<int>> {
    co_await sleep(time);
    co_return std::make_unique<int>(7);
  };
  const auto main = [&]() -> task<> {
    static_assert(std::is_same_v<decltype(move_on_after(1s, sleep_for(1s)))::value_type, bool>);
    const steady_ns begin = engine.now();
    CHECK(co_await move_on_after(2ms, sleep_for(1ms)));
    CHECK_FALSE(co_await move_on_after(2ms, sleep_for(1h)));
    CHECK(co_await move_on_after(2ms, answer_after(1ms)) == 42);
    CHECK(co_await move_on_after(2ms, answer_after(1h)) == std::nullopt);
    CHECK(engine.now() == begin + 6'000'000);
    const std::optional<std::unique_ptr<int>> in_time = co_await move_on_after(2ms, make(1ms));
    CHECK(**in_time == 7);
    const std::optional<std::unique_ptr<int>> too_late = co_await move_on_after(2ms, make(5ms));
    CHECK_FALSE(too_late.has_value());
  };
  run_on(engine, main());
}

// row: TM-04
TEST_CASE("timeout_or and move_on_after may be put around single waits, too") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto slow = spawn(answer_after, 5ms);
    CHECK(co_await timeout_or(1ms, slow.get(), 5) == 5);
    CHECK_FALSE(co_await move_on_after(1ms, sleep(1h)));
    CHECK(co_await move_on_after(1ms, slow.get()) == std::nullopt);
    CHECK(co_await move_on_after(5ms, slow.get()) == 42);
    CHECK(co_await timeout_or(1ms, slow.get(), 5) == 42);
    CHECK(co_await move_on_after(1ms, yield()));
  };
  run_on(engine, main());
}

TEST_CASE("success wins in timeout_or and move_on_after, too, and their errors pass through") {
  scripted_engine engine;
  const auto late = []() -> task<int> {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    co_return 6;
  };
  const auto late_without_value = [&]() -> task<> { co_await late(); };
  const auto fail = []() -> task<int> {
    throw std::runtime_error("its own");
    co_return 0;
  };
  const auto fail_without_value = [&]() -> task<> { co_await fail(); };
  const auto main = [&]() -> task<> {
    CHECK(co_await timeout_or(1ms, late(), 5) == 6);
    CHECK(co_await move_on_after(1ms, late()) == 6);
    CHECK(co_await move_on_after(1ms, late_without_value()));
    CHECK_THROWS_WITH(co_await timeout_or(1s, fail(), 5), "its own");
    CHECK_THROWS_WITH((void)co_await move_on_after(1s, fail()), "its own");
    CHECK_THROWS_WITH(co_await move_on_after(1s, fail_without_value()), "its own");
  };
  run_on(engine, main());
}

TEST_CASE("the alternative and the value of the call are destroyed once each") {
  scripted_engine engine;
  int alive = 0;
  const auto make = [&alive](std::chrono::milliseconds time) -> task<counted> {
    co_await sleep(time);
    co_return counted(alive);
  };
  const auto main = [&]() -> task<> {
    for (const auto time : {1ms, 9ms}) {
      {
        const counted instead(alive);
        const counted value = co_await timeout_or(2ms, make(time), instead);
        CHECK(alive == 2);
      }
      CHECK(alive == 0);
      {
        const std::optional<counted> value = co_await move_on_after(2ms, make(time));
        CHECK(alive == (value.has_value() ? 1 : 0));
      }
      CHECK(alive == 0);
    }
  };
  run_on(engine, main());
}

TEST_CASE("limits that pass and extensions allocate only pooled frames") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto extending = [](deadline_scope& deadline) -> task<> {
      deadline.extend(1ms);
      co_await sleep(1h);
    };
    const auto round = [&]() -> task<> {
      CHECK_FALSE(co_await move_on_after(1ms, sleep_for(1h)));
      CHECK(co_await timeout_or(1ms, answer_after(1h), 5) == 5);
      bool late = false;
      try {
        co_await with_timeout(1h, extending);
      } catch (const cancelled&) {
      } catch (const timed_out&) {
        late = true;
      }
      CHECK(late);
    };
    co_await round();
    const std::size_t before = allocations();
    for (int i = 0; i < 5; ++i) {
      co_await move_on_after(1ms, sleep_for(1h));
      co_await timeout_or(1ms, answer_after(1h), 5);
    }
    CHECK(allocations() == before);
  };
  run_on(engine, main());
}

TEST_CASE("using a deadline_scope after its call has returned aborts") {
  if (sanitized) return;  // AddressSanitizer detects it first
  const auto use = [](void (*wrong)(deadline_scope&)) {
    return [wrong] {
      const auto main = [wrong]() -> task<> {
        deadline_scope* kept = nullptr;
        const auto body = [&kept](deadline_scope& limit) -> task<> {
          kept = &limit;
          co_return;
        };
        co_await with_timeout(1s, body);
        wrong(*kept);
      };
      scripted_engine engine;
      run_on(engine, main());
    };
  };
  const char* const rule = "a deadline_scope was used after its call had returned";
  CHECK(aborts_with(rule, use([](deadline_scope& ended) { ended.extend(1ms); })));
  CHECK(aborts_with(rule, use([](deadline_scope& ended) { ended.cancel(); })));
  CHECK(aborts_with(rule, use([](deadline_scope& ended) { (void)ended.has_passed(); })));
  CHECK(aborts_with(rule, use([](deadline_scope& ended) { (void)ended.is_cancelled(); })));
}

// Unwinding is most of the cost of a limit, and limits pass by the thousand.
TEST_CASE(
    "a limit that passes is thrown at the wait inside and at the caller, and nowhere between" *
    doctest::skip(!counts_throws)) {
  scripted_engine engine;
  std::vector<std::uint64_t> throws;
  run_on(engine, [](std::vector<std::uint64_t>& counts) -> task<> {
    std::uint64_t before = throws_so_far();
    const auto count = [&] {
      counts.push_back(throws_so_far() - std::exchange(before, throws_so_far()));
    };
    try {
      co_await with_timeout(1s, answer_after(2s));
    } catch (const timed_out&) {
    }
    count();
    try {
      co_await with_timeout(1s, sleep(2s));
    } catch (const timed_out&) {
    }
    count();
    const auto late = [](deadline_scope&) { return answer_after(2s); };
    try {
      co_await with_timeout(1s, late);
    } catch (const timed_out&) {
    }
    count();
    co_await move_on_after(1s, answer_after(2s));
    count();
    co_await timeout_or(1s, answer_after(2s), 1);
    count();
    const fiber<int> killed = spawn(answer_after(2s));
    co_await yield();
    co_await killed.kill();
    count();
  }(throws));
  const std::vector<std::uint64_t> expected{2, 2, 2, 1, 1, 1};
  CHECK(throws == expected);
}

TEST_CASE("an error that passes through a limit is rethrown once, to the caller" *
          doctest::skip(!counts_throws)) {
  scripted_engine engine;
  std::uint64_t throws = 0;
  run_on(engine, [](std::uint64_t& count) -> task<> {
    const std::uint64_t before = throws_so_far();
    try {
      co_await with_timeout(1s, []() -> task<> {
        throw std::runtime_error("refused");
        co_return;
      }());
    } catch (const std::runtime_error&) {
    }
    count = throws_so_far() - before;
  }(throws));
  CHECK(throws == 2);
}

TEST_SUITE_END();
