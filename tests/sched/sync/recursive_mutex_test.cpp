// recursive_mutex: its holder may lock it again; everybody else waits until the last unlock.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/recursive_mutex.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Locks `depth` times, one inside the other, with a wait at the bottom.
task<> nest(recursive_mutex& on, std::string& log, char name, int depth) {
  const recursive_mutex::guard lock = co_await on.lock();
  log += name;
  if (depth == 1) {
    co_await sleep(1ms);
  } else {
    co_await nest(on, log, name, depth - 1);
  }
}

}  // namespace

TEST_SUITE_BEGIN("recursive_mutex");

// rows: LK-04 TH-05
TEST_CASE(
    "the holder of a recursive_mutex locks it again, and other fibers wait for the last unlock") {
  run_scripted([](scripted_engine&) -> task<> {
    recursive_mutex lock;
    std::string log;
    const fiber<> one = spawn(nest(lock, log, 'a', 3)), two = spawn(nest(lock, log, 'b', 2));
    co_await sleep(500us);
    CHECK(lock.depth() == 3);
    CHECK(log == "aaa");
    co_await one.join();
    co_await two.join();
    CHECK(log == "aaabb");
    CHECK(lock.depth() == 0);
    CHECK_FALSE(lock.is_locked());
  });
}

TEST_CASE("guards of a recursive_mutex may go in any order, and the last one unlocks") {
  run_scripted([](scripted_engine&) -> task<> {
    recursive_mutex lock;
    recursive_mutex::guard first = co_await lock.lock();
    recursive_mutex::guard second = lock.try_lock();
    recursive_mutex::guard third = co_await lock.lock(0s);
    CHECK(lock.depth() == 3);
    first.unlock();
    third.unlock();
    CHECK(lock.is_held());
    second.unlock();
    CHECK_FALSE(lock.is_locked());
  });
}

TEST_CASE("a recursive_mutex can be a part of a select(), also for its holder") {
  run_scripted([](scripted_engine&) -> task<> {
    recursive_mutex lock;
    const recursive_mutex::guard held = co_await lock.lock();
    {
      const auto got = co_await select(lock.lock(), sleep(1ms));
      CHECK(got.index() == 0);
      CHECK(lock.depth() == 2);
    }
    CHECK(lock.depth() == 1);
  });
}

TEST_CASE("recursive mutexes that are locked in a cycle are a deadlock") {
  run_scripted([](scripted_engine&) -> task<> {
    recursive_mutex a, b;
    const auto both = [](recursive_mutex& first, recursive_mutex& second) -> task<> {
      const recursive_mutex::guard one = co_await first.lock();
      co_await yield();
      const recursive_mutex::guard other = co_await second.lock();
    };
    const fiber<> one = spawn(both, std::ref(a), std::ref(b));
    const fiber<> two = spawn(both, std::ref(b), std::ref(a));
    co_await one.join();
    co_await two.join();
    CHECK(one.result() == outcome::value);
    CHECK(text_of(two.error())
              .starts_with("deadlock: fiber 3 and fiber 2 wait for locks of each other"));
  });
}

TEST_CASE("unlocking a recursive_mutex more often than it was locked aborts") {
  CHECK(aborts_with("a recursive_mutex was unlocked that no fiber had locked", [] {
    run_scripted([](scripted_engine&) -> task<> {
      recursive_mutex lock;
      { const recursive_mutex::guard held = co_await lock.lock(); }
      lock.unlock();
    });
  }));
}

TEST_CASE("a fiber that ends while it holds a recursive_mutex aborts, however often it locked it") {
  CHECK(aborts_with("has ended while it held a lock", [] {
    run_scripted([](scripted_engine&) -> task<> {
      recursive_mutex lock;
      recursive_mutex::guard stays;
      const auto leave = [&]() -> task<> {
        const recursive_mutex::guard goes = co_await lock.lock();
        stays = co_await lock.lock();
      };
      co_await spawn(leave()).join();
    });
  }));
}

TEST_SUITE_END();
