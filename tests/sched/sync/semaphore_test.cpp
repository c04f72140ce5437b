// semaphore: who gets permits, in which order, and how they go back.
//
// Method: the scripted engine's clock moves only when everything sleeps. In fibers that are killed
// no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/error.hpp>
#include <ringlet/event.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select_set.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/sync/semaphores.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("semaphore");

// rows: LK-01 TH-06
TEST_CASE("acquire takes permits that are free without waiting, and they go back with the permit") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    semaphore seats(3);
    CHECK(seats.available() == 3);
    {
      const semaphore::permit two = co_await seats.acquire(2);
      CHECK(two.count() == 2);
      CHECK(seats.available() == 1);
      const semaphore::permit one = co_await seats.acquire();
      CHECK(one.count() == 1);
      CHECK(seats.available() == 0);
    }
    CHECK(seats.available() == 3);
    CHECK(engine.waits() == waits);
  });
}

// rows: LK-01 TH-06
TEST_CASE("a semaphore without permits blocks until a fiber releases one") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore arrived(0);
    std::string log;
    const fiber<> waiter = spawn(note_and_consume(arrived, log, 'a'));
    co_await yield();
    CHECK(arrived.waiting() == 1);
    CHECK(log.empty());
    arrived.release();
    CHECK(arrived.waiting() == 0);
    CHECK(arrived.available() == 0);
    co_await waiter.join();
    CHECK(log == "a");
  });
}

// row: TH-06
TEST_CASE("release adds more permits than there were at first") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore arrived(1);
    arrived.release();
    arrived.release(5);
    arrived.release(0);
    CHECK(arrived.available() == 7);
    const semaphore::permit all = co_await arrived.acquire(7);
    CHECK(all.count() == 7);
  });
}

// row: TH-06
TEST_CASE("release of several permits wakes as many fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore arrived(0);
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c'}) {
      all.push_back(spawn(note_and_consume(arrived, log, name)));
    }
    co_await yield();
    arrived.release(2);
    co_await yield();
    CHECK(log == "ab");
    arrived.release(2);
    co_await yield();
    CHECK(log == "abc");
    CHECK(arrived.available() == 1);
  });
}

// row: W19
TEST_CASE("a fiber that gives back its permit and asks for another one does not overtake") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore turn(1);
    std::string log;
    const auto play = [&](char name) -> task<> {
      for (int i = 0; i < 3; ++i) {
        const semaphore::permit mine = co_await turn.acquire();
        log += name;
        co_await yield();
      }
    };
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c'}) all.push_back(spawn(play, name));
    for (const fiber<>& one : all) co_await one.join();
    CHECK(log == "abcabcabc");
  });
}

// row: W19
TEST_CASE("try_acquire does not overtake fibers that wait") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(2);
    CHECK_FALSE(seats.try_acquire(3));
    std::string log;
    const fiber<> large = spawn(note(seats, log, 'l', 3));
    co_await yield();
    CHECK_FALSE(seats.try_acquire());
    seats.release();
    co_await large.join();
    const semaphore::permit all = seats.try_acquire(3);
    CHECK(all.count() == 3);
    CHECK_FALSE(seats.try_acquire());
  });
}

TEST_CASE("a small request never overtakes a large one") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(2);
    std::string log;
    std::vector<fiber<>> all;
    for (const auto& [name, count] : {std::pair('a', 3), std::pair('b', 1), std::pair('c', 2)}) {
      all.push_back(spawn(note(seats, log, name, static_cast<std::size_t>(count))));
    }
    co_await yield();
    CHECK(log.empty());
    CHECK(seats.available() == 2);
    CHECK(seats.waiting() == 3);
    seats.release();
    for (const fiber<>& one : all) co_await one.join();
    CHECK(log == "abc");
  });
}

// S5
TEST_CASE("two fibers that need two of three permits each never block each other") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(3);
    int rounds = 0;
    const auto work = [&]() -> task<> {
      for (int i = 0; i < 100; ++i) {
        const semaphore::permit both = co_await seats.acquire(2);
        CHECK(both.count() == 2);
        co_await yield();
        ++rounds;
      }
    };
    const fiber<> a = spawn(work), b = spawn(work);
    co_await a.join();
    co_await b.join();
    CHECK(rounds == 200);
    CHECK(seats.available() == 3);
  });
}

TEST_CASE("a request for no permits waits for its turn only") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(0);
    const semaphore::permit none = co_await seats.acquire(0);
    CHECK_FALSE(none);
    std::string log;
    const fiber<> one = spawn(note(seats, log, 'a', 1)), zero = spawn(note(seats, log, 'b', 0));
    co_await yield();
    CHECK(log.empty());
    seats.release();
    co_await zero.join();
    CHECK(log == "ab");
  });
}

// row: LK-03
TEST_CASE("a semaphore with unlimited permits never makes a fiber wait") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    semaphore none(semaphore::unlimited);
    std::vector<semaphore::permit> held;
    for (int i = 0; i < 50; ++i) held.push_back(co_await none.acquire(1'000'000));
    CHECK(none.try_acquire());
    CHECK(none.waiting_peak() == 0);
    held.clear();
    CHECK(none.available() == semaphore::unlimited);
    CHECK(engine.waits() == waits);
  });
}

// Permits

TEST_CASE("a permit can be split, and its parts go back one by one") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(5);
    semaphore::permit all = co_await seats.acquire(5);
    {
      const semaphore::permit two = all.split(2);
      CHECK(two.count() == 2);
      CHECK(all.count() == 3);
      CHECK(seats.available() == 0);
    }
    CHECK(seats.available() == 2);
    all.release(1);
    CHECK(all.count() == 2);
    CHECK(seats.available() == 3);
    all.release(0);
    const semaphore::permit rest = all.split(2);
    CHECK_FALSE(all);
    all.release();
    CHECK(seats.available() == 3);
    CHECK_FALSE(all.split(0));
    CHECK(rest);
  });
}

TEST_CASE("a permit that was moved from is empty") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(5);
    semaphore::permit first = co_await seats.acquire(2);
    semaphore::permit second(std::move(first));
    CHECK(first.count() == 0);
    CHECK(second.count() == 2);
    first = co_await seats.acquire(3);
    CHECK(seats.available() == 0);
    first = std::move(second);
    CHECK(seats.available() == 3);
    CHECK(first.count() == 2);
    first = semaphore::permit();
    CHECK(seats.available() == 5);
  });
}

TEST_CASE("a permit may be moved to another fiber, and outlive the one that took it") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(1);
    semaphore::permit moved;
    const fiber<> taker = spawn([&]() -> task<> { moved = co_await seats.acquire(); });
    co_await taker.join();
    CHECK(seats.available() == 0);
    moved.release();
    CHECK(seats.available() == 1);
  });
}

// row: LK-01
TEST_CASE("a permit that is consumed does not go back, and release may follow in another fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(2);
    (co_await seats.acquire(2)).consume();
    CHECK(seats.available() == 0);
    const fiber<> other = spawn([&]() -> task<> {
      seats.release(2);
      co_return;
    });
    co_await other.join();
    CHECK(seats.available() == 2);
    semaphore::permit none;
    none.consume();
  });
}

TEST_CASE("a permit that is released early lets the next fiber in") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(3);
    semaphore::permit all = co_await seats.acquire(3);
    std::string log;
    const fiber<> a = spawn(note(seats, log, 'a', 2)), b = spawn(note(seats, log, 'b', 1));
    co_await yield();
    all.release(1);
    co_await yield();
    CHECK(log.empty());
    all.release(1);
    co_await b.join();
    CHECK(log == "ab");
    CHECK(a.done());
  });
}

// Many

// S7
TEST_CASE("a release for a thousand fibers wakes them in slices, in their order") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 1000;
    semaphore arrived(0);
    std::vector<std::size_t> log;
    std::vector<fiber<>> all;
    const auto take = [&](std::size_t place) -> task<> {
      (co_await arrived.acquire()).consume();
      // A slice was served this turn, and of the one before some have not run.
      CHECK(count - arrived.waiting() - log.size() <= 2 * 256);
      log.push_back(place);
    };
    for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(take, i));
    co_await sleep(1ms);
    CHECK(arrived.waiting() == count);
    arrived.release(count + 1);
    CHECK(arrived.waiting() == count - 256);
    CHECK_FALSE(arrived.try_acquire());
    for (const fiber<>& one : all) co_await one.join();
    CHECK(std::is_sorted(log.begin(), log.end()));
    CHECK(arrived.available() == 1);
    CHECK(arrived.waiting_peak() == count);
  });
}

// S6
TEST_CASE("a fiber that comes while fibers are woken in slices stands behind them") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore arrived(0);
    std::string log;
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i < 600; ++i) {
      all.push_back(spawn(note_and_consume(arrived, log, 'a')));
    }
    co_await sleep(1ms);
    arrived.release(600);
    const fiber<> late = spawn(note_and_consume(arrived, log, 'z'));
    for (const fiber<>& one : all) co_await one.join();
    CHECK(log == std::string(600, 'a'));
    CHECK(arrived.waiting() == 1);
    arrived.release();
    co_await late.join();
  });
}

// What others see of it

TEST_CASE("dump shows what a fiber asks of a semaphore, and how full that is") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(2);
    std::string log;
    const fiber<> a = spawn(note(seats, log, 'a', 3)), b = spawn(note(seats, log, 'b', 1));
    co_await yield();
    char where[80];
    std::snprintf(where, sizeof where, "3 of semaphore %p with 2 free and 2 waiting (at most 2)",
                  static_cast<void*>(&seats));
    CHECK(dump().find(where) != std::string::npos);
    CHECK(dump().find("acquire") != std::string::npos);
    seats.release();
    CHECK(dump().find(where) == std::string::npos);
    co_await b.join();
    CHECK(seats.waiting_peak() == 2);
  });
}

// rows: HB-03 W42
TEST_CASE("a fiber that waits alone for a semaphore is a deadlock") {
  semaphore closed(0);
  const std::string words =
      deadlock_of([&](scripted_engine&) -> task<> { co_await take_one(closed); });
  CHECK(words.find("deadlock") == 0);
  CHECK(words.find("1 of semaphore 0x") != std::string::npos);
  CHECK(closed.waiting() == 0);
  closed.release();  // it has left no trace
  CHECK(closed.try_acquire());
}

TEST_CASE("a semaphore may be used outside of run()") {
  semaphore seats(1);
  const semaphore::permit mine = seats.try_acquire();
  CHECK(mine);
  CHECK_FALSE(seats.try_acquire());
}

TEST_CASE("a semaphore does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::string log(64, ' ');
      log.clear();
      semaphore seats(0);
      const fiber<> a = spawn(note(seats, log, 'a', 1)), b = spawn(note(seats, log, 'b', 2, 1ms)),
                    c = spawn(note(seats, log, 'c', 3)), d = spawn(note(seats, log, 'd', 2));
      const std::size_t before = allocations();
      const out_of_memory none;
      co_await yield();
      seats.release(2);
      c.request_kill();
      co_await sleep(2ms);
      seats.release(2);
      co_await a.join();
      co_await b.join();
      co_await c.join();
      co_await d.join();
      CHECK(log == "abd");
      co_return allocations() - before;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

// Misuse

TEST_CASE("a number of permits that cannot be is refused, and named") {
  const auto refusal = [](auto call) {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(
      refusal([] { semaphore seats(static_cast<std::size_t>(-1)); }) ==
      "the permits of a semaphore are 18446744073709551615, but must be 0 to 9223372036854775807");
  semaphore seats(1);
  CHECK(refusal([&] { (void)seats.try_acquire(semaphore::unlimited + 1); }) ==
        "9223372036854775808 permits were asked for, but a semaphore of 9223372036854775807 gives "
        "0 to 9223372036854775807 at once");
  CHECK_FALSE(refusal([&] { (void)seats.acquire(semaphore::unlimited + 1); }).empty());
}

TEST_CASE("more permits than there are numbers for abort") {
  CHECK(aborts_with("release() of 1 would give a semaphore of at most 9223372036854775807", [] {
    semaphore seats(semaphore::unlimited);
    seats.release();
  }));
}

TEST_CASE("a permit that is asked for more than it has aborts") {
  CHECK(aborts_with("a permit for 2 was asked for 3: it can give no more than it has", [] {
    semaphore seats(2);
    semaphore::permit both = seats.try_acquire(2);
    (void)both.split(3);
  }));
  CHECK(aborts_with("a permit for 0 was asked for 1", [] {
    semaphore::permit none;
    none.release(1);
  }));
}

TEST_CASE("a semaphore that is destroyed while a fiber waits for it aborts") {
  CHECK(aborts_with("a semaphore was destroyed while a fiber waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<semaphore> seats(0);
      const fiber<> waiter = spawn(take_one(*seats));
      co_await yield();
      seats.reset();
    });
  }));
}

TEST_CASE("a semaphore that is destroyed while a permit of it is held aborts") {
  CHECK(aborts_with("a semaphore was destroyed while 2 of its permits were held", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<semaphore> seats(3);
      const semaphore::permit held = co_await seats->acquire(2);
      seats.reset();
    });
  }));
}

TEST_CASE("an exception that destroys a semaphore ends the waits for it with errc::closed") {
  std::string words;
  std::vector<std::string> reports;
  run_scripted(
      [&](scripted_engine&) -> task<> {
        fiber<std::string> waiter;
        try {
          semaphore seats(1);
          waiter = spawn(outcome_of(take(seats, 2)));
          const fiber<std::string> small = spawn(outcome_of(take(seats, 1)));
          co_await yield();
          throw std::runtime_error("owner");
        } catch (const std::runtime_error&) {
        }
        words = co_await waiter.get();
      },
      collecting(reports));
  CHECK(words == "closed");
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].find("a semaphore was destroyed") == 0);
}

TEST_CASE("a semaphore that is used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  const auto on_another_thread = [](auto use) {
    return aborts_with("a semaphore was used on a thread that is not its scheduler's", [use] {
      run_scripted([use](scripted_engine&) -> task<> {
        semaphore seats(2);
        semaphore::permit mine = co_await seats.acquire();
        std::thread([&] { use(seats, mine); }).join();
      });
    });
  };
  CHECK(on_another_thread([](semaphore& seats, semaphore::permit&) { seats.release(); }));
  CHECK(on_another_thread([](semaphore& seats, semaphore::permit&) { (void)seats.try_acquire(); }));
  CHECK(on_another_thread([](semaphore&, semaphore::permit& mine) { mine.release(); }));
  CHECK(on_another_thread([](semaphore&, semaphore::permit& mine) { mine.consume(); }));
}

TEST_CASE("a child of fork() may exit although permits of the parent are held and waited for") {
  run_scripted([](scripted_engine&) -> task<> {
    static std::optional<semaphore> seats;
    seats.emplace(1);
    const semaphore::permit mine = co_await seats->acquire();
    const fiber<> waiter = spawn(take_one(*seats));
    co_await yield();
    const child_end end = run_in_child([] { seats.reset(); });
    CHECK(end.status == 0);
    waiter.request_kill();
    co_await waiter.join();
  });
}

TEST_CASE("fibers behind a slice whose last fiber never takes its permits are served") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore arrived(0);
    event end;
    std::string log;
    std::vector<fiber<>> all;
    const auto never_read = [&]() -> task<> {
      select_set calls;
      calls.add([&] { return arrived.acquire(0); });
      (void)co_await calls.first();
      co_await end.wait();
    };
    for (std::size_t i = 0; i < 255; ++i) all.push_back(spawn(note_and_consume(arrived, log, 'a')));
    all.push_back(spawn(never_read()));
    for (std::size_t i = 0; i < 345; ++i) all.push_back(spawn(note_and_consume(arrived, log, 'b')));
    co_await sleep(1ms);
    arrived.release(600);
    CHECK(arrived.waiting() == 345);
    co_await sleep(1ms);
    CHECK(arrived.waiting() == 0);
    CHECK(log == std::string(255, 'a') + std::string(345, 'b'));
    end.set();
    for (const fiber<>& one : all) co_await one.join();
  });
}

TEST_SUITE_END();
