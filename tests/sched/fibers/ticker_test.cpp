// ticker: when it ticks, and how many ticks a late fiber is told of under each policy.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/ticker.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<ticker::tick_wait>);

namespace {

using rows = std::vector<std::string>;

// "3@450" for a next() that returned 3 after 450 ms. Each row of `pauses` is a time that the fiber
// is busy before it calls next().
task<rows> ticks_of(scripted_engine& engine, missed_ticks policy,
                    std::vector<std::chrono::milliseconds> pauses) {
  const steady_ns begin = engine.now();
  ticker beat(100ms, policy);
  rows seen;
  for (const std::chrono::milliseconds pause : pauses) {
    engine.advance(std::chrono::nanoseconds(pause).count());
    const std::uint64_t passed = co_await beat.next();
    seen.push_back(std::to_string(passed) + "@" +
                   std::to_string((engine.now() - begin) / 1'000'000));
  }
  co_return seen;
}

}  // namespace

TEST_SUITE_BEGIN("ticker");

TEST_CASE("a ticker ticks once per period, and counts what a late fiber has missed") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::vector<std::chrono::milliseconds> pauses{0ms, 30ms, 350ms, 0ms, 0ms, 0ms, 0ms};
    rows seen = co_await ticks_of(engine, missed_ticks::skip, pauses);
    CHECK(seen == rows{"1@100", "1@200", "3@550", "1@600", "1@700", "1@800", "1@900"});
    seen = co_await ticks_of(engine, missed_ticks::burst, pauses);
    CHECK(seen == rows{"1@100", "1@200", "1@550", "1@550", "1@550", "1@600", "1@700"});
    seen = co_await ticks_of(engine, missed_ticks::delay, pauses);
    CHECK(seen == rows{"1@100", "1@200", "3@550", "1@650", "1@750", "1@850", "1@950"});
  });
}

TEST_CASE("a fiber that comes a little late gets its tick at once") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::vector<std::chrono::milliseconds> pauses{100ms, 199ms, 1ms};
    const rows seen = co_await ticks_of(engine, missed_ticks::skip, pauses);
    CHECK(seen == rows{"1@100", "1@299", "1@300"});
  });
}

// rows: W10 TM-06
TEST_CASE("the limit of next() that passes before the tick loses no tick") {
  run_scripted([](scripted_engine& engine) -> task<> {
    ticker beat(100ms);
    CHECK(beat.period() == 100ms);
    CHECK_THROWS_AS(co_await beat.next(60ms), timed_out);
    const auto late = co_await as_result(beat.next(0s));
    CHECK(late.error() == errc::timed_out);
    CHECK(engine.now() == scripted_engine::start_time + 60'000'000);
    std::uint64_t passed = co_await beat.next(60ms);
    CHECK(passed == 1);
    CHECK(engine.now() == scripted_engine::start_time + 100'000'000);
    passed = co_await beat.next(100ms);  // the tick and the limit at once
    CHECK(passed == 1);
    CHECK_THROWS_AS(co_await with_timeout(50ms, beat.next()), timed_out);
    passed = co_await beat.next();
    CHECK(passed == 1);
    CHECK(engine.now() == scripted_engine::start_time + 300'000'000);
  });
}

TEST_CASE("a ticker can be a part of a select()") {
  run_scripted([](scripted_engine&) -> task<> {
    ticker beat(10ms);
    event door;
    std::string log;
    const fiber<> opener = spawn([&]() -> task<> {
      co_await sleep(25ms);
      door.set();
    });
    for (;;) {
      const auto taken = co_await select(beat.next(), door.wait());
      if (taken.index() == 1) break;
      log += std::to_string(std::get<0>(taken));
    }
    CHECK(log == "11");
    const std::uint64_t passed = co_await beat.next();
    CHECK(passed == 1);
    const auto late = co_await select(beat.next(), sleep(5ms));
    CHECK(late.index() == 1);
    const auto limited = co_await as_result(select(beat.next(1ms), door.wait(1h)));
    CHECK(limited->index() == 1);
  });
}

TEST_CASE("of a kill and a tick the first one counts") {
  run_scripted([](scripted_engine& engine) -> task<> {
    ticker beat(10ms);
    std::string log;
    const fiber<> waiter = spawn([&]() -> task<> {
      const std::uint64_t passed = co_await beat.next();
      log += std::to_string(passed);
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("killed first") {
      waiter.request_kill();
      engine.advance(10'000'000);
      co_await waiter.join();
      CHECK(log.empty());
      const std::uint64_t passed = co_await beat.next();
      CHECK(passed == 1);
    }
    SUBCASE("killed after the tick") {
      const fiber<> killer = spawn([&]() -> task<> {
        co_await sleep(10ms);
        waiter.request_kill();
      });
      co_await waiter.join();
      CHECK(log == "1");
      co_await killer.join();
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

TEST_CASE("reset() begins a new grid") {
  run_scripted([](scripted_engine& engine) -> task<> {
    ticker beat(100ms);
    engine.advance(250'000'000);
    beat.reset();
    const std::uint64_t passed = co_await beat.next();
    CHECK(passed == 1);
    CHECK(engine.now() == scripted_engine::start_time + 350'000'000);
  });
}

TEST_CASE("extreme periods neither overflow nor tick too often") {
  run_scripted([](scripted_engine& engine) -> task<> {
    ticker never_ticks(std::chrono::hours::max());
    CHECK_THROWS_AS(co_await never_ticks.next(24h), timed_out);
    ticker fast(1ns);
    engine.advance(std::chrono::nanoseconds(24h).count());
    const std::uint64_t passed = co_await fast.next();
    CHECK(passed == 86'400'000'000'000);
    ticker slow(std::chrono::nanoseconds(4'000'000'000'000'000'000), missed_ticks::delay);
    CHECK_THROWS_AS(co_await slow.next(24h), timed_out);
    CHECK_THROWS_AS(ticker(0s), std::invalid_argument);
    CHECK_THROWS_AS(ticker(-1s), std::invalid_argument);
  });
}

TEST_CASE("dump() shows which ticker a fiber waits for, and next() does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    ticker beat(10ms);
    const fiber<> waiter = spawn([&]() -> task<> { co_await beat.next(); });
    co_await yield();
    CHECK(dump().find("tick of a ticker 0x") != std::string::npos);
    CHECK(dump().find("every 10000000 ns") != std::string::npos);
    const std::size_t before = allocations();
    co_await sleep(10ms);
    CHECK(allocations() == before);
    co_await waiter.join();
  });
}

TEST_CASE("a ticker that two fibers wait for aborts, and so does destroying it too early") {
  CHECK(aborts_with("a ticker was used while a fiber waited in its next()", [] {
    run_scripted([](scripted_engine&) -> task<> {
      ticker beat(10ms);
      const fiber<> waiter = spawn([&]() -> task<> { co_await beat.next(); });
      co_await yield();
      co_await beat.next();
    });
  }));
  CHECK(aborts_with("a ticker was used while a fiber waited in its next()", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<ticker> beat(std::in_place, 10ms);
      const fiber<> waiter = spawn([&]() -> task<> { co_await beat->next(); });
      co_await yield();
      beat.reset();
    });
  }));
}

TEST_CASE("a ticker that is made outside of run() aborts, and is named") {
  CHECK(aborts_with("a ticker was made outside of run()", [] { ticker early(1s); }));
}

TEST_SUITE_END();
