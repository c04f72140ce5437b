// async_generator in a fiber: its waits are the fiber's, with limits, kills and the dump.
//
// Method: the scripted engine's clock moves only when every fiber sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/async_generator.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

async_generator<int> ticks(std::chrono::nanoseconds pause) {
  for (int i = 1;; ++i) {
    co_await sleep(pause);
    co_yield i;
  }
}

}  // namespace

TEST_SUITE_BEGIN("async_generator: waits");

// row: GN-07
TEST_CASE("a generator that sleeps lets other fibers run") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    std::string log;
    const auto other = spawn([&]() -> task<> {
      auto slow = ticks(30ms);
      while (auto tick = co_await slow.next()) log += "slow" + std::to_string(*tick) + " ";
    });
    auto fast = ticks(20ms);
    while (auto tick = co_await fast.next()) {
      log += "fast" + std::to_string(*tick) + " ";
      if (*tick == 4) break;
    }
    CHECK(log == "fast1 slow1 fast2 slow2 fast3 fast4 ");
    co_await other.kill();
  };
  run_on(engine, main());
}

TEST_CASE("a limit around next ends the generator with timed_out") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    auto values = ticks(1s);
    const auto first = co_await with_timeout(2s, values.next());
    CHECK(first == 1);
    bool late = false;
    try {
      co_await with_timeout(1ms, values.next());
    } catch (const timed_out&) {
      late = true;
    }
    CHECK(late);
    const auto none = co_await values.next();
    CHECK_FALSE(none);
  };
  run_on(engine, main());
}

TEST_CASE("the dump of a fiber leads through the generator in which it waits") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto consumer = spawn([]() -> task<> {
      auto values = ticks(1h);
      co_await values.next();
    });
    co_await yield();
    const std::string text = dump();
    const std::size_t body = text.find("in ", text.find("fiber 2: sleep"));
    REQUIRE(body != text.npos);
    const std::string first_call = text.substr(body, text.find('\n', body) - body);
    CHECK(first_call.find("ticks") != first_call.npos);
    const std::size_t next = text.find("\n    at ", body);
    CHECK(next != text.npos);
    co_await consumer.kill();
  };
  run_on(engine, main());
}

TEST_SUITE_END();
