// concurrent_semaphore: turns, permits, and threads that share them.
//
// Method: one scheduler on the scripted engine serves its own fibers, by the same messages that
// other threads use. Then plain threads and two schedulers count how many hold a permit.
// RINGLET_TEST_SCALE makes these runs that many times longer.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/concurrent_semaphore.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/random.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using permit = concurrent_semaphore::permit;

task<> settle() { co_await sleep(1ns); }

task<> note(concurrent_semaphore& from, std::string& log, char name, std::size_t count) {
  const permit taken = co_await from.acquire(count);
  log += name;
}

// Notes when it has the permits; then waits again, where a pending kill is thrown.
task<> note_then_wait(concurrent_semaphore& from, std::string& log, char name) {
  const permit taken = co_await from.acquire();
  log += name;
  co_await yield();
  log += "on";
}

}  // namespace

TEST_SUITE_BEGIN("concurrent_semaphore");

TEST_CASE("permits are acquired up to their number, and come back by themselves") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_semaphore seats(3);
    {
      const permit two = co_await seats.acquire(2);
      CHECK(two.count() == 2);
      CHECK(seats.available() == 1);
      CHECK_FALSE(seats.try_acquire(2));
      const permit one = seats.try_acquire();
      CHECK(one);
    }
    CHECK(seats.available() == 3);
    const permit none = co_await seats.acquire(std::size_t{0});
    CHECK_FALSE(none);
  });
}

TEST_CASE("a permit can be moved, split, given back early, and used up") {
  concurrent_semaphore seats(4);
  permit all = seats.try_acquire(4);
  permit half = all.split(2);
  CHECK(all.count() == 2);
  half.release(1);
  CHECK(seats.available() == 1);
  half = std::move(all);
  CHECK(half.count() == 2);
  CHECK(seats.available() == 2);
  half.consume();
  CHECK(seats.available() == 2);
  seats.release(3);
  CHECK(seats.available() == 5);
}

TEST_CASE("a count that is out of range is refused") {
  CHECK_THROWS_AS(concurrent_semaphore(concurrent_semaphore::unlimited + 1), std::invalid_argument);
  concurrent_semaphore seats(1);
  CHECK_THROWS_AS((void)seats.try_acquire(static_cast<std::size_t>(-1)), std::invalid_argument);
  CHECK_THROWS_AS((void)seats.acquire(static_cast<std::size_t>(-1)), std::invalid_argument);
  CHECK_THROWS_AS((void)seats.acquire_blocking(static_cast<std::size_t>(-1)),
                  std::invalid_argument);
}

// S5
TEST_CASE("acquire(k) takes k permits at once, and a small request does not overtake a large one") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_semaphore seats(3);
    std::string log;
    permit two = co_await seats.acquire(2);
    const fiber<> large = spawn(note(seats, log, 'L', 3));
    const fiber<> small = spawn(note(seats, log, 's', 1));
    co_await settle();
    CHECK(seats.waiting() == 2);
    CHECK_FALSE(seats.try_acquire());
    two.release();
    co_await large.join();
    co_await small.join();
    CHECK(log == "Ls");
    CHECK(seats.waiting_peak() == 2);
    CHECK(seats.available() == 3);
  });
}

// S4
TEST_CASE("when the first of the line leaves, those behind it that can go ahead do") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_semaphore seats(4);
    const permit one = co_await seats.acquire();
    std::string log;
    const fiber<> large = spawn(note(seats, log, 'L', 4));
    const fiber<> small = spawn(note(seats, log, 's', 1));
    co_await settle();
    CHECK(log.empty());
    large.request_kill();
    co_await small.join();
    CHECK(log == "s");
    co_await large.join();
    CHECK(large.result() == outcome::cancelled);
  });
}

// S1 S3
TEST_CASE("success wins: a kill or a limit after the release loses no permit") {
  run_scripted([](scripted_engine& engine) -> task<> {
    concurrent_semaphore seats(0);
    std::string log;
    const fiber<> killed = spawn(note_then_wait(seats, log, 'k'));
    co_await settle();
    seats.release();
    killed.request_kill();
    co_await killed.join();
    CHECK(log == "k");
    CHECK(seats.available() == 1);
    permit last = co_await seats.acquire();
    const fiber<> late = spawn([&]() -> task<> { (void)co_await seats.acquire(5ms); });
    co_await yield();
    last.release();
    engine.advance(10'000'000);
    co_await late.join();
    CHECK(late.result() == outcome::value);
    permit again = co_await seats.acquire();
    const result<permit> none = co_await as_result(seats.acquire(1ms));
    CHECK(none.error() == errc::timed_out);
    again.release();
    CHECK(seats.available() == 1);
  });
}

TEST_CASE("permits that a select() was given and does not want go to the next in line") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_semaphore seats(0);
    event other;
    std::string log;
    const fiber<> choosing =
        spawn([&]() -> task<> { (void)co_await select(seats.acquire(2), other.wait()); });
    const fiber<> next = spawn(note(seats, log, 'n', 1));
    co_await settle();
    seats.release(2);
    CHECK(seats.available() == 0);
    other.set();
    co_await choosing.join();
    co_await next.join();
    CHECK(log == "n");
    CHECK(seats.available() == 2);
  });
}

TEST_CASE("dump() shows the semaphore that a fiber waits for") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_semaphore seats(1);
    std::string log;
    const fiber<> waiting = spawn(note(seats, log, 'w', 2));
    co_await settle();
    const std::string text = dump();
    CHECK(text.find("acquire 2 of concurrent semaphore") != std::string::npos);
    CHECK(text.find("with 1 free and 1 waiting") != std::string::npos);
    waiting.request_kill();
    co_await waiting.join();
  });
}

TEST_CASE("broken rules abort with a sentence that names them") {
  CHECK(aborts_with("a concurrent_semaphore was destroyed while 2 of its permits were held", [] {
    std::optional<concurrent_semaphore> seats(3);
    const permit held = seats->try_acquire(2);
    seats.reset();
  }));
  CHECK(aborts_with("destroyed while a fiber or a thread waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<concurrent_semaphore> seats(0);
      std::string log;
      const fiber<> waiting = spawn(note(*seats, log, 'w', 1));
      co_await yield();
      seats.reset();
    });
  }));
  CHECK(aborts_with("acquire_blocking() of a concurrent_semaphore was called on the thread", [] {
    run_scripted([](scripted_engine&) -> task<> {
      concurrent_semaphore seats(1);
      const permit held = seats.acquire_blocking();
      co_return;
    });
  }));
  CHECK(aborts_with("a permit for 1 was asked for 2", [] {
    concurrent_semaphore seats(3);
    permit one = seats.try_acquire();
    (void)one.split(2);
  }));
  CHECK(aborts_with("would give a concurrent_semaphore with 1 permits more than", [] {
    concurrent_semaphore seats(1);
    seats.release(concurrent_semaphore::unlimited);
  }));
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("concurrent_semaphore between threads");

TEST_CASE("a plain thread waits for a permit, until it gets one or its limit passes") {
  concurrent_semaphore seats(1);
  permit held = seats.acquire_blocking();
  CHECK_THROWS_AS((void)seats.acquire_blocking(1ms), timed_out);
  std::thread other([&] { (void)seats.acquire_blocking(1, 1h); });
  const auto main = [&]() -> task<> {
    while (seats.waiting() == 0) co_await yield();
    held.release();  // on another thread than acquired it: this one has a scheduler
    (void)co_await seats.acquire();
  };
  run(main());
  other.join();
  CHECK(seats.available() == 1);
}

TEST_CASE("never more than the permits are held, and none is lost when waits are killed or late") {
  const int rounds = 2'000 * static_cast<int>(test_scale());
  concurrent_semaphore seats(3);
  std::atomic<int> held = 0;
  std::atomic<int> most = 0;
  const auto hold = [&](std::size_t count) {
    const int now = held += static_cast<int>(count);
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    held -= static_cast<int>(count);
  };
  const auto main = [&](std::uint64_t seed) -> task<> {
    random_numbers random(seed);
    for (int i = 0; i < rounds; ++i) {
      const std::size_t count = 1 + random.below(3);
      const time_limit limit = random.once_in(4) ? time_limit(0s) : forever;
      const fiber<> holder = spawn([&, count, limit]() -> task<> {
        const auto taken = co_await as_result(seats.acquire(count, limit));
        if (taken) hold(count);
        co_await yield();
      });
      for (std::size_t turns = random.below(4); turns != 0; --turns) co_await yield();
      if (random.once_in(2)) holder.request_kill();
      co_await holder.join();
    }
  };
  std::thread one([&] { run(main(1)); });
  std::thread two([&] { run(main(2)); });
  for (int i = 0; i < rounds; ++i) {
    const permit taken = seats.acquire_blocking(1 + static_cast<std::size_t>(i) % 3);
    hold(taken.count());
  }
  one.join();
  two.join();
  CHECK(most <= 3);
  CHECK(seats.available() == 3);
}

// S13: with an unfair lock the thread would get the permit each time, and nothing else would run.
TEST_CASE("a thread that acquires and releases in a loop does not starve two schedulers") {
  const int handovers = 5'000 * static_cast<int>(test_scale());
  concurrent_semaphore baton(1);
  std::array<int, 2> taken = {0, 0};
  std::atomic<bool> ended = false;
  std::uint64_t spun = 0;
  std::thread spinning([&] {
    while (!ended) {
      if (const permit mine = baton.try_acquire()) ++spun;
    }
  });
  const auto main = [&](int& mine) -> task<> {
    while (mine < handovers) {
      const permit held = co_await baton.acquire();
      if (++mine % 8 == 0) co_await yield();  // so that the other scheduler has to wait in line
    }
  };
  std::thread other([&] { run(main(taken[1])); });
  run(main(taken[0]));
  other.join();
  ended = true;
  spinning.join();
  CHECK(taken == std::array<int, 2>{handovers, handovers});
  CHECK(baton.available() == 1);
  MESSAGE("the thread got the permit " << spun << " times");
}

TEST_SUITE_END();
