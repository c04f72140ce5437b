// mutex: who gets it, in which order, what a kill leaves, and cycles of locks.
//
// Method: the scripted engine's clock moves only when everything sleeps. In fibers that are killed
// no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Locks, notes the name, and holds the mutex for that time.
task<> hold(mutex& on, std::string& log, char name, std::chrono::nanoseconds time = 0s) {
  const mutex::guard lock = co_await on.lock();
  log += name;
  if (time != 0s) co_await sleep(time);
}

task<> lock_until(mutex& on, event& end) {
  const mutex::guard lock = co_await on.lock();
  co_await end.wait();
}

// What came of locking both, one after the other.
task<std::string> lock_both(mutex& first, mutex& second, time_limit timeout = forever) {
  const mutex::guard one = co_await first.lock();
  co_await yield();
  try {
    const mutex::guard other = co_await second.lock(timeout);
    co_return "locked";
  } catch (const deadlock& found) {
    co_return found.what();
  } catch (const timed_out&) {
    co_return "timed out";
  }
}

std::size_t count_of(std::string_view word, const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_SUITE_BEGIN("mutex");

// rows: LK-04 TH-04
TEST_CASE("one fiber at a time holds a mutex, and the rest get it in the order they asked") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c', 'd'}) all.push_back(spawn(hold(lock, log, name, 1ms)));
    co_await sleep(500us);
    CHECK(log == "a");
    CHECK(lock.is_locked());
    CHECK(lock.waiting() == 3);
    co_await joinall(all);
    CHECK(log == "abcd");
    CHECK_FALSE(lock.is_locked());
    CHECK(lock.waiting() == 0);
    CHECK(lock.waiting_peak() == 3);
  });
}

TEST_CASE("a fiber that unlocks a mutex and locks it again does not overtake one that waits") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    std::string log;
    mutex::guard held = co_await lock.lock();
    const fiber<> waiting = spawn(hold(lock, log, 'w'));
    co_await yield();
    held.unlock();
    CHECK_FALSE(held);
    CHECK_FALSE(lock.is_held());
    CHECK_FALSE(lock.try_lock());
    held = co_await lock.lock();
    CHECK(log == "w");
    CHECK(lock.is_held());
    co_await waiting.join();
  });
}

TEST_CASE("a mutex that is free is locked without a turn of other fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    std::string log;
    const fiber<> other = spawn(hold(lock, log, 'o'));
    {
      const mutex::guard held = co_await lock.lock();
      CHECK(log.empty());
    }
    co_await other.join();
    CHECK(log == "o");
  });
}

TEST_CASE("a guard can be moved, and unlocks once") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    mutex::guard first = co_await lock.lock();
    mutex::guard second(std::move(first));
    CHECK_FALSE(first);
    CHECK(second);
    mutex other;
    mutex::guard third = co_await other.lock();
    third = std::move(second);
    CHECK_FALSE(other.is_locked());
    CHECK(lock.is_locked());
    third.unlock();
    third.unlock();
    CHECK_FALSE(lock.is_locked());
  });
}

TEST_CASE("try_lock returns an empty guard while a fiber holds the mutex") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    {
      const mutex::guard held = lock.try_lock();
      CHECK(held);
      CHECK_FALSE(lock.try_lock());
    }
    CHECK_FALSE(lock.is_locked());
    co_return;
  });
}

TEST_CASE("lock throws timed_out when its limit passes, and leaves the line") {
  run_scripted([](scripted_engine& engine) -> task<> {
    mutex lock;
    event end;
    const fiber<> holder = spawn(lock_until(lock, end));
    co_await yield();
    const steady_ns begin = engine.now();
    CHECK_THROWS_AS(static_cast<void>(co_await lock.lock(3ms)), timed_out);
    CHECK(engine.now() == begin + 3'000'000);
    CHECK(lock.waiting() == 0);
    const auto late = co_await as_result(lock.lock(0s));
    CHECK(late.error() == errc::timed_out);
    end.set();
    co_await holder.join();
    CHECK(co_await as_result(lock.lock(0s)));
  });
}

TEST_CASE("a fiber that is killed while it waits for a mutex leaves the line") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    event end;
    std::string log;
    const fiber<> holder = spawn(lock_until(lock, end));
    const fiber<> killed = spawn(hold(lock, log, 'k'));
    const fiber<> next = spawn(hold(lock, log, 'n'));
    co_await yield();
    killed.request_kill();
    end.set();
    co_await joinall(holder, killed, next);
    CHECK(log == "n");
    CHECK(killed.result() == outcome::cancelled);
    CHECK_FALSE(lock.is_locked());
  });
}

TEST_CASE("success wins: a fiber that was given the mutex and then killed passes it on") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    event end;
    std::string log;
    const fiber<> holder = spawn(lock_until(lock, end));
    const fiber<> chosen = spawn(hold(lock, log, 'c', 1ms));
    const fiber<> next = spawn(hold(lock, log, 'n'));
    co_await yield();
    end.set();
    co_await holder.join();
    CHECK(lock.is_locked());
    chosen.request_kill();
    co_await joinall(chosen, next);
    CHECK(log == "cn");
    CHECK(chosen.result() == outcome::cancelled);
  });
}

TEST_CASE("a limit around the call leaves the mutex to the next fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    event end;
    std::string log;
    const fiber<> holder = spawn(lock_until(lock, end));
    co_await yield();
    CHECK_THROWS_AS(co_await with_timeout(1ms, hold(lock, log, 'x')), timed_out);
    end.set();
    co_await hold(lock, log, 'y');
    CHECK(log == "y");
    co_await holder.join();
  });
}

TEST_CASE("a mutex can be a part of a select(), which locks it only if it wins") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    {
      auto chosen = co_await select(lock.lock(), sleep(1ms));
      REQUIRE(chosen.index() == 0);
      CHECK(lock.is_held());
      const auto late = co_await select(lock.lock(), sleep(1ms));
      CHECK(late.index() == 1);
      CHECK(lock.waiting() == 0);
    }
    CHECK_FALSE(lock.is_locked());
  });
}

// The line has one that waits twice, in two places.
TEST_CASE("of two mutexes in a select() one is locked, and the other is left alone") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex one, other;
    event end;
    const fiber<> first = spawn(lock_until(one, end)), second = spawn(lock_until(other, end));
    co_await yield();
    const fiber<std::size_t> both = spawn(
        [](mutex& a, mutex& b) -> task<std::size_t> {
          const auto got = co_await select(a.lock(), b.lock());
          co_return got.index();
        },
        std::ref(one), std::ref(other));
    co_await yield();
    end.set();
    co_await joinall(first, second, both);
    CHECK(both.value() == 0);
    CHECK_FALSE(one.is_locked());
    CHECK_FALSE(other.is_locked());
  });
}

// Cycles

TEST_CASE("a cycle of two mutexes is found as it closes, while other fibers and timers live") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex books, stock;
    const fiber<> clock = spawn(sleep_for(1h));
    fiber<std::string> a = spawn(lock_both(books, stock)), b = spawn(lock_both(stock, books));
    a.set_name("seller");
    b.set_name("buyer");
    co_await joinall(a, b);
    CHECK(a.value() == "locked");
    const std::string& text = b.value();
    INFO(text);
    CHECK(
        text.starts_with("deadlock: fiber 4 \"buyer\" and fiber 3 \"seller\" wait for locks of "
                         "each other\n"));
    CHECK(text.find("fiber 4 \"buyer\": lock mutex 0x") != text.npos);
    CHECK(text.find(", held by fiber 3 \"seller\"") != text.npos);
    CHECK(text.find("fiber 3 \"seller\": lock mutex 0x") != text.npos);
    CHECK(text.find(", held by fiber 4 \"buyer\"") != text.npos);
    CHECK(count_of("    at ", text) == 2);
    CHECK(count_of("mutex_test.cpp", text) == 4);  // await and spawn sites
    CHECK_FALSE(books.is_locked());
    CHECK_FALSE(stock.is_locked());
    clock.request_kill();
    co_await clock.join();
  });
}

TEST_CASE("a cycle of three mutexes is found, and only its fibers are listed") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex a, b, c;
    const fiber<std::string> one = spawn(lock_both(a, b)), two = spawn(lock_both(b, c)),
                             three = spawn(lock_both(c, a));
    std::string log;
    const fiber<> outside = spawn(hold(a, log, 'o'));
    co_await joinall(one, two, three, outside);
    CHECK(one.value() == "locked");
    CHECK(two.value() == "locked");
    INFO(three.value());
    CHECK(
        three.value().find("deadlock: fiber 4, fiber 2 and fiber 3 wait for locks of each other") !=
        std::string::npos);
    CHECK(three.value().find("fiber 5") == std::string::npos);
    CHECK(log == "o");
  });
}

TEST_CASE("a fiber that locks a mutex which it holds gets a deadlock that says so") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    const mutex::guard held = co_await lock.lock();
    std::string text;
    try {
      const mutex::guard again = co_await lock.lock();
    } catch (const deadlock& found) {
      text = found.what();
    }
    INFO(text);
    CHECK(text.starts_with("deadlock: fiber 1 waits for a lock that it holds itself\n"));
    CHECK(lock.waiting() == 0);
    CHECK(lock.is_held());
  });
}

TEST_CASE("a limit of any wait of a cycle, or of a call around it, leaves it to the limit") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex a, b;
    SUBCASE("of the wait that closes it") {
      const fiber<std::string> one = spawn(lock_both(a, b)), two = spawn(lock_both(b, a, 1ms));
      co_await joinall(one, two);
      CHECK(one.value() == "locked");
      CHECK(two.value() == "timed out");
    }
    SUBCASE("of another wait") {
      const fiber<std::string> one = spawn(lock_both(a, b, 1ms)), two = spawn(lock_both(b, a));
      co_await joinall(one, two);
      CHECK(one.value() == "timed out");
      CHECK(two.value() == "locked");
    }
    SUBCASE("of a call around a wait") {
      const auto within = [](mutex& first, mutex& second) -> task<std::string> {
        try {
          co_return co_await with_timeout(1ms, lock_both(first, second));
        } catch (const timed_out&) {
          co_return "out of time";
        }
      };
      const fiber<std::string> one = spawn(within, std::ref(a), std::ref(b));
      const fiber<std::string> two = spawn(lock_both(b, a));
      co_await joinall(one, two);
      CHECK(one.value() == "out of time");
      CHECK(two.value() == "locked");
    }
  });
}

TEST_CASE("a lock that is a part of a select() closes no cycle") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex a, b;
    const auto selecting = [](mutex& first, mutex& second) -> task<std::size_t> {
      const mutex::guard held = co_await first.lock();
      co_await yield();
      const auto got = co_await select(second.lock(), sleep(1ms));
      co_return got.index();
    };
    const fiber<std::size_t> one = spawn(selecting, std::ref(a), std::ref(b));
    const fiber<std::string> two = spawn(lock_both(b, a));
    co_await joinall(one, two);
    CHECK(one.value() == 1);
    CHECK(two.value() == "locked");
  });
}

TEST_CASE("without memory for the report of a cycle, the deadlock of all fibers is reported") {
  if (!allocations_are_counted()) return;
  CHECK(deadlock_of([](scripted_engine&) -> task<> {
          mutex lock;
          const mutex::guard held = co_await lock.lock();
          std::optional<out_of_memory> none(std::in_place);
          const auto ends_it = [&none]() -> task<> {
            none.reset();
            co_return;
          };
          none.reset();
          const fiber<> other = spawn(ends_it);
          none.emplace();
          const mutex::guard again = co_await lock.lock();
        }).starts_with("deadlock: every fiber waits for another one"));
}

// What the rest is told

TEST_CASE("dump() shows a wait for a mutex with its holder and how many wait") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    event end;
    std::string log;
    fiber<> holder = spawn(lock_until(lock, end));
    holder.set_name("clerk");
    const fiber<> one = spawn(hold(lock, log, 'a')), two = spawn(hold(lock, log, 'b'));
    co_await yield();
    const std::string text = dump();
    INFO(text);
    CHECK(text.find("lock mutex 0x") != text.npos);
    CHECK(text.find(" with 2 waiting (at most 2), held by fiber 2 \"clerk\"") != text.npos);
    end.set();
    co_await joinall(holder, one, two);
  });
}

TEST_CASE("locking, handing over, cancelling and unlocking do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    event end;
    std::string log;
    log.reserve(16);
    const fiber<> holder = spawn(lock_until(lock, end));
    const fiber<> killed = spawn(hold(lock, log, 'k'));
    const fiber<> next = spawn(hold(lock, log, 'n'));
    co_await yield();
    {
      const out_of_memory none;
      killed.request_kill();
      end.set();
      co_await next.join();
      const mutex::guard held = co_await lock.lock();
    }
    co_await joinall(holder, killed);
    CHECK(log == "n");
  });
}

TEST_CASE(
    "unlocking a mutex that is not locked, or from another fiber, aborts and names the holder") {
  CHECK(aborts_with("a mutex was unlocked that no fiber had locked (in fiber 1", [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      lock.unlock();
      co_return;
    });
  }));
  CHECK(
      aborts_with("a mutex was unlocked by a fiber that does not hold it: fiber 2 \"owner\" holds "
                  "it, and only that fiber may unlock it (in fiber 1",
                  [] {
                    run_scripted([](scripted_engine&) -> task<> {
                      mutex lock;
                      event end;
                      fiber<> holder = spawn(lock_until(lock, end));
                      holder.set_name("owner");
                      co_await yield();
                      lock.unlock();
                    });
                  }));
  CHECK(aborts_with("a mutex was unlocked by a fiber that does not hold it: fiber 1", [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      const auto drops = [](mutex::guard) -> task<> { co_return; };
      co_await spawn(drops, co_await lock.lock()).join();
    });
  }));
}

TEST_CASE("destroying a mutex that a fiber holds aborts and names the fiber") {
  CHECK(aborts_with("a mutex was destroyed while fiber 2 held it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      event end;
      fiber<> holder;
      {
        mutex lock;
        holder = spawn(lock_until(lock, end));
        co_await yield();
      }
    });
  }));
}

TEST_CASE("a mutex that is used by a thread that is not its scheduler's aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a lock was used on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      { const mutex::guard held = co_await lock.lock(); }
      std::thread([&] {
        run_scripted(
            [&](scripted_engine&) -> task<> { const mutex::guard held = co_await lock.lock(); });
      }).join();
    });
  }));
}

TEST_CASE("a thread that is not the scheduler's of a mutex aborts, also if it has to wait") {
  if (sanitized) return;
  CHECK(aborts_with("a lock was used on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      const mutex::guard held = co_await lock.lock();
      std::thread([&] {
        run_scripted(
            [&](scripted_engine&) -> task<> { const mutex::guard other = co_await lock.lock(1s); });
      }).join();
    });
  }));
}

TEST_CASE("a fiber that ends while it holds a mutex aborts, and is named") {
  constexpr auto words = "fiber 2 \"owner\", spawned at ";
  constexpr auto rule = "has ended while it held a lock: a guard must not outlive its fiber";
  const auto kept = [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      mutex::guard stays;
      const auto leave = [&]() -> task<> { stays = co_await lock.lock(); };
      fiber<> owner = spawn(leave());
      owner.set_name("owner");
      co_await owner.join();
    });
  };
  CHECK(aborts_with(words, kept));
  CHECK(aborts_with(rule, kept));
  const auto returned = [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      const auto leave = [&]() -> task<mutex::guard> { co_return co_await lock.lock(); };
      (void)co_await spawn(leave()).get();
    });
  };
  CHECK(aborts_with(rule, returned));
}

TEST_CASE("a fiber that has been handed a mutex, or has unlocked it, may end") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    std::string log;
    const fiber<> first = spawn(hold(lock, log, 'a', 1ms));
    const fiber<> second = spawn(hold(lock, log, 'b', 1ms));
    const auto tries = [&]() -> task<> {
      const mutex::guard none = lock.try_lock();
      CHECK_FALSE(none);
      co_return;
    };
    co_await spawn(tries()).join();
    co_await joinall(first, second);
    CHECK(log == "ab");
  });
}

TEST_SUITE_END();
