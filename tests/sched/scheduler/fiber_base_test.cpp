// What every fiber has, whatever its result type: the outcome, and ends that do not allocate.
//
// Method: callbacks and fibers note their steps in one string, and unhandled failures are noted,
// too. Fibers that are killed have no co_await inside a CHECK, which would swallow the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <string>

#include "fiber_ends.hpp"
#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("fiber_base");

// rows: W2 GL-05
TEST_CASE(
    "a killed fiber is cancelled, without a value or an error, and get throws "
    "errc::fiber_cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn(sleep_long);
    co_await yield();
    co_await target.kill();
    CHECK(target.result() == outcome::cancelled);
    CHECK(target.done());
    CHECK(target.error() == nullptr);
    bool thrown = false;
    try {
      co_await target.get();
    } catch (const std::system_error& error) {
      thrown = error.code() == errc::fiber_cancelled;
    }
    CHECK(thrown);
  };
  run_on(engine, main());
}

// row: GL-05
TEST_CASE("the outcome of a killed fiber is its last result, not the kill") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto caught = spawn([]() -> task<int> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_return 3;
    });
    const auto thrown_by_itself = spawn([]() -> task<> {
      throw cancelled();
      co_return;
    });
    co_await yield();
    co_await caught.kill();
    CHECK(caught.result() == outcome::value);
    CHECK(thrown_by_itself.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// row: GL-05
TEST_CASE("reading the value of a fiber that has none aborts") {
  const auto read = [](auto body) {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto target = spawn(body);
      if (target.id() != 2) co_await yield();
      (void)target.value();
    };
    run_on(engine, main());
  };
  constexpr auto sentence = "the value of a fiber without a value was read";
  CHECK(aborts_with(sentence, [&] { read(answer); }));  // it has not begun
  CHECK(aborts_with(sentence, [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto target = spawn(answer);
      co_await target.kill();
      (void)target.value();
    };
    run_on(engine, main());
  }));
}

// Allocation

TEST_CASE("kills, joins and ends do not allocate, except a small block for a given exception") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto round = [](bool counted) -> task<> {
      const auto sleeper = spawn(sleep_long);
      const auto joiner = spawn([=]() -> task<> { co_await sleeper.join(1h); });
      const auto not_begun = spawn(sleep_long);
      const std::exception_ptr given = error_of("given");
      joiner.on_done([] {});
      co_await yield();
      const auto victim = spawn(sleep_long);
      const std::size_t before = allocations();
      victim.request_kill();
      sleeper.request_kill();
      const std::size_t killed = allocations();
      joiner.request_kill(given);
      const std::size_t given_one = allocations();
      co_await joiner.join();
      co_await victim.join();
      const std::size_t ended = allocations();
      not_begun.request_kill();
      co_await not_begun.join();
      if (!counted || !allocations_are_counted()) co_return;
      CHECK(killed == before);
      CHECK(given_one == killed + 1);
      CHECK(ended == given_one);
    };
    co_await round(false);  // fills the pools
    co_await round(true);
  };
  std::string reported;
  run_on(engine, main(), noting(reported));
}

TEST_SUITE_END();
