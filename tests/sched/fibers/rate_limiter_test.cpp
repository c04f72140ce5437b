// rate_limiter: exact at every rate, first come, first served, and nothing is lost when a fiber
// leaves the line.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/now.hpp>
#include <ringlet/rate_limiter.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<rate_limiter::permit_wait>);
static_assert(selectable<rate_limiter::limited_permit_wait>);

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

// Notes "a2@30 " when it has got its 2 permits after 30 ms, "a- " when its limit has passed.
task<> note(rate_limiter& limit, std::string& log, char name, std::uint64_t count,
            time_limit timeout = forever) {
  const bool came = co_await limit.acquire(count, timeout);
  log += name;
  const auto passed =
      now().time_since_epoch() - std::chrono::nanoseconds(scripted_engine::start_time);
  log += came ? std::to_string(count) + "@" +
                    std::to_string(
                        std::chrono::duration_cast<std::chrono::milliseconds>(passed).count())
              : "-";
  log += " ";
}

}  // namespace

TEST_SUITE_BEGIN("rate limiter");

TEST_CASE("a full bucket gives out a burst, and then its rate") {
  run_scripted([](scripted_engine&) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 3});
    std::string log;
    CHECK(limit.available() == 3);
    for (int i = 0; i < 6; ++i) co_await note(limit, log, 'a', 1);
    CHECK(log == "a1@0 a1@0 a1@0 a1@10 a1@20 a1@30 ");
    CHECK(limit.available() == 0);
    co_await sleep(25ms);
    CHECK(limit.available() == 2);
    co_await sleep(1h);
    CHECK(limit.available() == 3);
    CHECK(limit.burst() == 3);
  });
}

TEST_CASE("no permit is lost to rounding, and none is given out early") {
  run_scripted([](scripted_engine& engine) -> task<> {
    // A third of a second each, and a prime number of permits in a prime number of nanoseconds.
    for (const auto& [rate, per, rounds] :
         {std::tuple(std::uint64_t{3}, std::chrono::nanoseconds(1s), 300),
          std::tuple(std::uint64_t{999'983}, std::chrono::nanoseconds(1'000'000'007), 999'983)}) {
      const steady_ns begin = engine.now();
      rate_limiter limit({.rate = rate, .burst = 1, .per = per});
      std::uint64_t taken = 0;
      const int step = rounds > 1000 ? 1000 : 1;
      CHECK(limit.try_acquire());
      for (int i = 0; i < rounds / step; ++i) {
        co_await limit.acquire();
        ++taken;
        const auto passed = static_cast<unsigned long long>(engine.now() - begin);
        // Not before its time, and at the first nanosecond that is.
        REQUIRE(static_cast<long double>(passed) * static_cast<long double>(rate) >=
                static_cast<long double>(taken) * static_cast<long double>(per.count()));
        REQUIRE(static_cast<long double>(passed - 1) * static_cast<long double>(rate) <
                static_cast<long double>(taken) * static_cast<long double>(per.count()));
      }
    }
  });
}

TEST_CASE("huge rates, huge bursts and long idle times do not overflow") {
  run_scripted([](scripted_engine& engine) -> task<> {
    rate_limiter fastest({.rate = most, .burst = most});
    CHECK(fastest.try_acquire(most));
    CHECK(fastest.available() == 0);
    engine.advance(std::chrono::nanoseconds(24h * 365 * 100).count());
    CHECK(fastest.available() == most);
    rate_limiter slowest({.rate = 1, .burst = 2, .per = std::chrono::nanoseconds::max()});
    CHECK(slowest.try_acquire(2));
    CHECK_FALSE(co_await slowest.acquire(2, 1h));
    rate_limiter wide({.rate = 1, .burst = most, .per = std::chrono::nanoseconds::max()});
    CHECK(wide.try_acquire(most));
    CHECK_FALSE(co_await wide.acquire(most, 1h));
    CHECK(wide.available() == 0);
  });
}

TEST_CASE("fibers are served in arrival order, and a small request never overtakes a large one") {
  run_scripted([](scripted_engine&) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 5});
    std::string log;
    CHECK(limit.try_acquire(4));
    const fiber<> a = spawn([&]() -> task<> { co_await note(limit, log, 'a', 5); });
    const fiber<> b = spawn([&]() -> task<> { co_await note(limit, log, 'b', 1); });
    const fiber<> c = spawn([&]() -> task<> { co_await note(limit, log, 'c', 2); });
    co_await yield();
    CHECK(limit.waiting() == 3);
    CHECK_FALSE(limit.try_acquire(1));  // there is one, but fibers are in line
    co_await c.join();
    CHECK(log == "a5@40 b1@50 c2@70 ");
    CHECK(limit.waiting() == 0);
    CHECK(limit.waiting_peak() == 3);
    co_await a.join();
    co_await b.join();
  });
}

TEST_CASE("when the first in line leaves, those behind it go ahead") {
  run_scripted([](scripted_engine&) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 5});
    std::string log;
    event door;
    CHECK(limit.try_acquire(2));
    fiber<> large;
    SUBCASE("killed") {
      large = spawn([&]() -> task<> { co_await note(limit, log, 'a', 5); });
    }
    SUBCASE("late") {
      large = spawn([&]() -> task<> { co_await note(limit, log, '?', 5, 1ms); });
    }
    SUBCASE("another part of its select() wins") {
      large = spawn([&]() -> task<> {
        const auto taken = co_await select(limit.acquire(5), door.wait());
        CHECK(taken.index() == 1);
      });
    }
    const fiber<> b = spawn([&]() -> task<> { co_await note(limit, log, 'b', 2); });
    const fiber<> c = spawn([&]() -> task<> { co_await note(limit, log, 'c', 1); });
    const fiber<> d = spawn([&]() -> task<> { co_await note(limit, log, 'd', 1); });
    co_await yield();
    CHECK(log.empty());
    co_await sleep(1ms);
    if (!large.done()) {
      door.set();
      co_await yield();
      if (!large.done()) large.request_kill();
    }
    co_await d.join();
    CHECK(log.substr(log.find('b')) == "b2@1 c1@1 d1@10 ");
    co_await large.join();
  });
}

TEST_CASE("permits for many fibers are handed out in slices, in order") {
  run_scripted([](scripted_engine& engine) -> task<> {
    constexpr std::uint64_t count = 1000;
    rate_limiter limit({.rate = 1'000'000'000, .burst = count});
    CHECK(limit.try_acquire(count));
    std::vector<fiber<>> all;
    std::uint64_t done = 0;
    const auto take = [&](std::uint64_t number) -> task<> {
      co_await limit.acquire();
      CHECK(done++ == number);
    };
    const fiber<> large = spawn([&]() -> task<> { co_await limit.acquire(count); });
    co_await yield();
    for (std::uint64_t i = 0; i < count; ++i) all.push_back(spawn(take, i));
    co_await yield();
    engine.advance(2'000);
    large.request_kill();
    CHECK(limit.waiting() == count - 256);
    co_await all.back().join();
    CHECK(done == count);
  });
}

TEST_CASE("a fiber that is woken late does not lower the rate, up to another burst") {
  run_scripted([](scripted_engine& engine) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 2});
    std::string log;
    CHECK(limit.try_acquire(2));
    const auto take = [&]() -> task<> {
      for (int i = 0; i < 8; ++i) co_await note(limit, log, 'a', 1);
    };
    const fiber<> taker = spawn(take);
    co_await yield();
    engine.advance(25'000'000);  // the machine was busy
    co_await sleep(30ms);
    CHECK(log == "a1@25 a1@25 a1@30 a1@40 a1@50 ");
    engine.advance(1'000'000'000);
    co_await taker.join();
    CHECK(log.substr(log.find("50 ") + 3) == "a1@1055 a1@1055 a1@1055 ");
  });
}

// rows: W10 TM-06
TEST_CASE("with a limit acquire() returns false and takes nothing, unless permits come in time") {
  run_scripted([](scripted_engine& engine) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 1});
    CHECK(co_await limit.acquire(1, 0s));
    CHECK_FALSE(co_await limit.acquire(1, 0s));
    CHECK_FALSE(co_await limit.acquire(1, 9ms));
    CHECK_FALSE(co_await limit.acquire(0s));
    CHECK(co_await limit.acquire(1, 1ms));  // at the very moment
    CHECK(engine.now() == scripted_engine::start_time + 10'000'000);
    const result<bool> late = co_await as_result(limit.acquire(1, 1ms));
    CHECK_FALSE(*late);
    const auto taken = co_await select(limit.acquire(), sleep(1h));
    CHECK(taken.index() == 0);
    CHECK(engine.now() == scripted_engine::start_time + 20'000'000);
  });
}

TEST_CASE("of a kill and the permits the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 1});
    std::string log;
    CHECK(limit.try_acquire());
    const fiber<> waiter = spawn([&]() -> task<> {
      co_await note(limit, log, 'a', 1);
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("killed first") {
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log.empty());
      co_await sleep(10ms);
      CHECK(limit.available() == 1);
    }
    SUBCASE("killed after the permits had come") {
      const fiber<> killer = spawn([&]() -> task<> {
        co_await sleep(10ms);
        waiter.request_kill();
      });
      co_await waiter.join();
      CHECK(log == "a1@10 ");
      co_await killer.join();
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

TEST_CASE("100,000 random kills and limits lose and double no permit") {
  run_scripted([](scripted_engine& engine) -> task<> {
    constexpr int rounds = 2'000;
    rate_limiter limit({.rate = 1'000'000, .burst = 10});
    const steady_ns begin = engine.now();
    std::uint64_t taken = 0;
    const auto take = [&](std::uint64_t count, time_limit timeout) -> task<> {
      const bool came = co_await limit.acquire(count, timeout);
      if (came) taken += count;
    };
    for (int round = 0; round < rounds; ++round) {
      std::vector<fiber<>> all;
      for (int i = 0; i < 50; ++i) {
        const std::uint64_t chance = engine.random() >> 20;
        const std::uint64_t count = 1 + chance % 10;
        const time_limit timeout =
            (chance & 0x1000) != 0 ? time_limit(std::chrono::microseconds(chance % 97)) : forever;
        all.push_back(spawn(take, count, timeout));
      }
      co_await sleep(std::chrono::microseconds((engine.random() >> 20) % 100));
      for (const fiber<>& one : all) one.request_kill();
      for (const fiber<>& one : all) co_await one.join();
      REQUIRE(limit.waiting() == 0);
      const auto passed = static_cast<std::uint64_t>(engine.now() - begin) / 1000;
      REQUIRE(taken + limit.available() <= 10 + passed);
    }
    CHECK(taken > 50'000);
  });
}

TEST_CASE("numbers out of range throw, with the range") {
  run_scripted([](scripted_engine&) -> task<> {
    CHECK_THROWS_AS(rate_limiter({.rate = 0}), std::invalid_argument);
    CHECK_THROWS_AS(rate_limiter({.burst = 0}), std::invalid_argument);
    CHECK_THROWS_AS(rate_limiter({.per = 0s}), std::invalid_argument);
    CHECK_THROWS_AS(rate_limiter({.per = -1s}), std::invalid_argument);
    rate_limiter limit({.rate = 1, .burst = 4});
    CHECK_THROWS_WITH(co_await limit.acquire(5),
                      "a rate_limiter was asked for 5 permits at once: the number must be from 1 "
                      "to 4, its burst");
    CHECK_THROWS_AS(co_await limit.acquire(0), std::invalid_argument);
    CHECK_THROWS_AS(limit.try_acquire(5), std::invalid_argument);
  });
}

TEST_CASE("dump() shows the permits and the line, and the line is no deadlock") {
  run_scripted([](scripted_engine&) -> task<> {
    rate_limiter limit({.rate = 1, .burst = 4});
    CHECK(limit.try_acquire(3));
    std::string log;
    const fiber<> a = spawn([&]() -> task<> { co_await note(limit, log, 'a', 2); });
    co_await yield();
    CHECK(dump().find("acquire 2 of 0x") != std::string::npos);
    CHECK(dump().find("with 1 permits of at most 4, 1 waiting (at most 1)") != std::string::npos);
    co_await a.join();  // only the limiter can end this wait
    CHECK(log == "a2@1000 ");
  });
}

TEST_CASE("waiting, waking and cancelling do not allocate") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    rate_limiter limit({.rate = 100, .burst = 1});
    CHECK(limit.try_acquire());
    const auto take = [&]() -> task<> { co_await limit.acquire(); };
    const fiber<> a = spawn(take), b = spawn(take), c = spawn(take);
    co_await yield();
    const out_of_memory none;
    b.request_kill();
    co_await c.join();
    CHECK(a.done());
  });
}

TEST_CASE("a rate_limiter may outlive the run, and be destroyed while fibers are woken") {
  std::optional<rate_limiter> left;
  run_scripted([&](scripted_engine&) -> task<> {
    left.emplace(rate_options{.rate = 100, .burst = 1});
    CHECK(left->try_acquire());
    const auto take = [&]() -> task<> { co_await left->acquire(); };
    const fiber<> a = spawn(take);
    co_await a.join();
  });
  left.reset();
}

TEST_CASE(
    "a rate_limiter that is destroyed while a fiber waits aborts, and so does another thread") {
  CHECK(aborts_with("a rate_limiter was destroyed while a fiber waited for a permit", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<rate_limiter> limit;
      limit.emplace(rate_options{.rate = 1, .burst = 1});
      CHECK(limit->try_acquire());
      const fiber<> waiter = spawn([&]() -> task<> { co_await limit->acquire(); });
      co_await yield();
      limit.reset();
    });
  }));
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a rate_limiter was used on a thread that is not that of the scheduler", [] {
    run_scripted([](scripted_engine&) -> task<> {
      rate_limiter limit({.rate = 1, .burst = 1});
      std::thread([&] { limit.try_acquire(); }).join();
      co_return;
    });
  }));
}

TEST_CASE("a rate_limiter that is made outside of run() aborts, and is named") {
  CHECK(aborts_with("a rate_limiter was made outside of run()",
                    [] { rate_limiter early({.rate = 1}); }));
}

TEST_SUITE_END();
