// deadlock: when it is thrown, its message, and what prevents it.
//
// Method: on the scripted engine a scheduler that sleeps without a deadline aborts the test, so
// each case would end at once if the deadlock were not detected.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Two fibers that wait for each other.
struct embrace {
  fiber<> one;
  fiber<> other;

  void begin() {
    one = spawn([this]() -> task<> { co_await other.join(); });
    other = spawn([this]() -> task<> { co_await one.join(); });
    one.set_name("left");
    other.set_name("right");
  }
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("deadlock");

// row: HB-06
TEST_CASE(
    "run throws deadlock and unwinds the main task last when all fibers wait for each other") {
  scripted_engine engine;
  embrace pair;
  bool unwound = false;
  const auto main = [&]() -> task<> {
    pair.begin();
    try {
      co_await pair.one.join();
    } catch (const cancelled&) {
      unwound = true;
      CHECK(pair.one.result() == outcome::cancelled);
      CHECK(pair.other.result() == outcome::cancelled);
      throw;
    }
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
  CHECK(unwound);
}

TEST_CASE("no error handler in the main task swallows a deadlock") {
  const std::string what = deadlock_of([](scripted_engine&) -> task<> {
    try {
      co_await sleep(std::chrono::hours::max());
    } catch (const std::exception&) {
      FAIL("deadlock was caught as an error");
    }
  });
  CHECK(contains(what, "fiber 1: sleep"));
}

TEST_CASE("deadlock is a std::runtime_error that says which fiber waits for what and where") {
  static_assert(std::is_base_of_v<std::runtime_error, deadlock>);
  embrace pair;
  const std::string what = deadlock_of([&](scripted_engine&) -> task<> {
    pair.begin();
    co_await joinall(pair.one, pair.other);
  });
  CHECK(contains(what, "3 fibers"));
  CHECK(contains(what, "fiber 1: join fiber 2 \"left\""));
  CHECK(contains(what, "fiber 2 \"left\": join fiber 3 \"right\""));
  CHECK(contains(what, "fiber 3 \"right\": join fiber 2 \"left\""));
  CHECK(contains(what, "deadlock_test.cpp:"));
  CHECK_FALSE(contains(what, "joinall.hpp:"));
}

TEST_CASE("a main task that waits alone for an event that nothing can set is deadlocked") {
  CHECK(deadlock_of(
            [](scripted_engine&) -> task<> { co_await sleep(std::chrono::hours::max()); }) != "");
  CHECK(deadlock_of([](scripted_engine&) -> task<> {
          co_await with_timeout(forever, sleep(std::chrono::hours::max()));
        }) != "");
}

TEST_CASE("a deadlock that the main task outlives is reported") {
  std::vector<std::string> reports;
  embrace pair;
  run_scripted(
      [&](scripted_engine&) -> task<> {
        pair.begin();
        try {
          co_await pair.one.join();
        } catch (const cancelled&) {  // and not rethrown
        }
        CHECK(pair.other.result() == outcome::cancelled);
        co_await sleep(1h);  // the kill was thrown once
      },
      collecting(reports));
  REQUIRE(reports.size() == 1);
  CHECK(contains(reports[0], "fiber 1: join fiber 2"));
}

// What prevents a deadlock

TEST_CASE("a sleeping fiber prevents a deadlock") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    spawn([&]() -> task<> {
      co_await sleep(1h);
      pair.one.request_kill();
    });
    CHECK(co_await pair.other.join());
  };
  run_on(engine, main());
}

TEST_CASE("a join with a limit, or with a scope around it, prevents a deadlock") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    CHECK_FALSE(co_await pair.one.join(1h));
    CHECK_THROWS_AS(co_await with_timeout(1h, pair.one.join()), timed_out);
    co_await pair.one.join();
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
}

TEST_CASE("an operation in flight prevents a deadlock until it has ended") {
  scripted_engine engine;
  embrace pair;
  int idle = 0;
  engine.on_idle = [&] {
    if (++idle == 5) engine.complete(engine.oldest(opcode::read), 0);
    return true;
  };
  fiber<> reader;
  const auto main = [&]() -> task<> {
    pair.begin();
    reader = spawn([]() -> task<> { co_await probe(); });
    co_await pair.one.join();
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
  CHECK(reader.result() == outcome::value);
  CHECK(idle == 5);
}

TEST_CASE(
    "a scheduler_handle prevents a deadlock until the last one is dropped while the scheduler "
    "sleeps") {
  scripted_engine engine;
  embrace pair;
  std::optional<scheduler_handle> first;
  std::optional<scheduler_handle> second;
  int idle = 0;
  engine.on_idle = [&] {
    ++idle;
    if (idle == 3) first.reset();
    if (idle == 5) second.reset();
    return true;
  };
  const auto main = [&]() -> task<> {
    pair.begin();
    first.emplace();
    second = first;
    co_await pair.one.join();
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
  CHECK(idle == 5);
  CHECK(engine.notifications() == 1);
}

TEST_CASE("dropping the last scheduler_handle on another thread makes run throw deadlock") {
  embrace pair;
  std::thread other;
  const auto main = [&]() -> task<> {
    pair.begin();
    other = std::thread([handle = scheduler_handle()]() mutable {
      const scheduler_handle dropped = std::move(handle);
    });
    co_await pair.one.join();
  };
  CHECK_THROWS_AS(run(main()), deadlock);
  other.join();
}

TEST_CASE("posted work runs before a deadlock is detected, even if its scheduler_handle is gone") {
  // Regression: the handle was counted, but not the work that it had posted.
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    co_await yield();
    {
      const scheduler_handle here;
      static_cast<void>(here.post([&] { pair.one.request_kill(); }));
    }
    CHECK(co_await pair.other.join());
  };
  run_on(engine, main());
}

TEST_CASE("other fibers are asked to end after the main task, without a deadlock") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    co_await yield();
  };
  run_on(engine, main());
  CHECK(pair.one.result() == outcome::cancelled);
  CHECK(pair.other.result() == outcome::cancelled);
}

TEST_CASE("shields inside a group that the main task waits for do not prevent a deadlock") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto body = [](task_group& group) -> task<> {
      const auto first = std::make_shared<fiber<>>();
      const auto second = group.spawn([first]() -> task<> {
        co_await shield(forever, [](std::shared_ptr<fiber<>> other) -> task<> {
          co_await other->join();
        }(first));
      });
      *first = group.spawn([second]() -> task<> {
        co_await shield(forever, [](fiber<> other) -> task<> { co_await other.join(); }(second));
      });
      co_return;
    };
    co_await with_group(body);
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
}

TEST_CASE("a main task that waits for a fiber that nothing can wake aborts, as a caller's bug") {
  CHECK(aborts_with("nothing can wake", [] {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto body = [](task_group& group) -> task<> {
        group.spawn([]() -> task<> { co_await std::suspend_always(); });  // not a library wait
        co_return;
      };
      co_await with_group(body);
    };
    run_on(engine, main());
  }));
}

TEST_SUITE_END();
