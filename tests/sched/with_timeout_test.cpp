// with_timeout: limits around calls, alone and nested, and what they must let pass.
//
// Method: the scripted engine's clock moves only when everything sleeps, so who is first is a
// matter of numbers.
#include <ringlet/as_result.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "allocations.hpp"
#include "scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> answer_after(std::chrono::nanoseconds time) {
  co_await sleep(time);
  co_return 42;
}

task<> sleep_for(std::chrono::nanoseconds time) { co_await sleep(time); }

// What came out of a call, as a word.
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

// Counts how often something of this type was made and destroyed.
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

TEST_CASE("a call that is fast enough yields its value") {
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

TEST_CASE("a call that is too slow ends at the limit, as timed_out") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    CHECK_THROWS_AS(co_await with_timeout(2ms, answer_after(1h)), timed_out);
    CHECK(engine.now() == begin + 2'000'000);
  };
  run_on(engine, main());
}

TEST_CASE("timed_out is an error of the world: std::errc::timed_out") {
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

TEST_CASE("with_timeout goes around single waits, too") {
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

TEST_CASE("values may be move-only") {
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

TEST_CASE("of nested limits the nearest wins, and each one throws for itself") {
  scripted_engine engine;
  std::string log;
  const auto inner = [&](until limit) -> task<> {
    log += co_await outcome_of(with_timeout(limit, sleep_for(1h))) + " inside, ";
    co_await sleep(1ms);
    log += "went on, ";
  };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    SUBCASE("the inner one") {
      log += co_await outcome_of(with_timeout(5ms, inner(2ms)));
      CHECK(log == "timed out inside, went on, done");
      CHECK(engine.now() == begin + 3'000'000);
    }
    SUBCASE("the outer one, which the inner one does not swallow") {
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
      CHECK(log == "timed out inside, went on, done");
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

TEST_CASE("a kill passes through, whatever the limits around it") {
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

TEST_CASE("limits of one fiber do not touch another that it spawns") {
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

// What the call makes of it

TEST_CASE("a call that catches it and waits again is interrupted again, however often") {
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
    co_await sleep(1ms);  // outside, nothing is left of it
  };
  run_on(engine, main());
  CHECK(caught == 10);
}

TEST_CASE("success wins: a call that finishes although its time has come has finished") {
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
    // It is due in the same turn as the limit, and was begun first.
    const auto a = spawn(sleep_for, 1ms);
    co_await yield();
    CHECK(co_await outcome_of(with_timeout(1ms, sleep_for(1ms))) == "timed out");
    CHECK(co_await with_timeout(1ms, a.join()));
  };
  run_on(engine, main());
}

TEST_CASE("a limit that has passed lets the call do what needs no waiting") {
  scripted_engine engine;
  const auto at_once = []() -> task<int> { co_return 3; };
  const auto main = [&]() -> task<> {
    const steady_ns begin = engine.now();
    const auto ended = spawn(at_once);
    co_await ended.join();
    for (const until limit : {until(0s), until(-1h), until::at(1)}) {
      CHECK(co_await with_timeout(limit, at_once()) == 3);
      CHECK(co_await with_timeout(limit, ended.get()) == 3);
      CHECK_THROWS_AS(co_await with_timeout(limit, sleep(1ns)), timed_out);
    }
    CHECK(engine.now() == begin);
  };
  run_on(engine, main());
}

TEST_CASE("the limit may be a point in time") {
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

TEST_CASE("an operation inside is waited for until it has really ended") {
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
    engine.complete(engine.oldest(opcode::read), 9);  // it was faster than its cancellation
    co_await lucky.join();
  };
  run_on(engine, main());
}

// What g++ 12 gets wrong about temporaries, it must not get wrong here

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

TEST_CASE("a limit allocates nothing beyond its frame, which is pooled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    co_await with_timeout(1ms, sleep_for(0s));
    const std::size_t before = allocations();
    for (int i = 0; i < 10; ++i) co_await with_timeout(1ms, sleep_for(0s));
    CHECK(allocations() == before);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
