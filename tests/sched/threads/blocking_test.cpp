// blocking: calls on other threads, their results, and what a cancellation can still do.
//
// Method: calls wait at latches that the test opens, so "it has begun" and "it has not" are facts.
// All workers are kept busy to hold further calls in the line. Worker threads check nothing; they
// only note.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/blocking.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/detail/blocking_pool.hpp>
#include <ringlet/event.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "sched/scripted_run.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Occupies every worker of the process until release().
class busy_workers {
 public:
  // Returns when every worker is in its call.
  task<> occupy() {
    for (std::size_t i = 0; i < blocking_pool::threads_max; ++i) {
      fibers_.push_back(spawn([this]() -> task<> {
        auto call = [this] {
          begun_.count_down();
          open_.wait();
        };
        co_await blocking(call);
      }));
    }
    co_await yield();
    begun_.wait();
  }
  task<> release() {
    open_.count_down();
    co_await joinall(fibers_);
  }

 private:
  std::latch begun_{blocking_pool::threads_max};
  std::latch open_{1};
  std::vector<fiber<>> fibers_;
};

task<> wait_twice(std::string& log, std::function<int()> call, time_limit timeout) {
  try {
    log += std::to_string(co_await blocking(call, timeout));
  } catch (const cancelled&) {
    log += "cancelled";
  } catch (const timed_out&) {
    log += "timed out";
  }
  log += ", ";
  try {
    co_await yield();
    log += "free";
  } catch (const cancelled&) {
    log += "cancelled";
  }
}

}  // namespace

TEST_SUITE_BEGIN("blocking");

// Results and errors

TEST_CASE("blocking() makes the call on another thread, and returns its value on this one") {
  const auto main = []() -> task<> {
    const std::thread::id here = std::this_thread::get_id();
    const std::thread::id there = co_await blocking([] { return std::this_thread::get_id(); });
    CHECK(there != here);
    CHECK(std::this_thread::get_id() == here);
  };
  run(main());
}

TEST_CASE("a blocking call may return nothing, or a value that can only be moved") {
  const auto main = []() -> task<> {
    std::atomic<bool> called = false;
    auto note = [&] { called = true; };
    co_await blocking(note);
    CHECK(called);
    const std::unique_ptr<int> number = co_await blocking([] { return std::make_unique<int>(7); });
    CHECK(*number == 7);
  };
  run(main());
}

TEST_CASE("an exception in a blocking call is thrown in the caller") {
  const auto main = []() -> task<> {
    CHECK_THROWS_WITH(co_await blocking([] { throw std::runtime_error("from afar"); }),
                      "from afar");
    CHECK_THROWS_WITH(co_await blocking([]() -> int { throw std::runtime_error("from afar"); }),
                      "from afar");
  };
  run(main());
}

TEST_CASE("as_result of a blocking call is its value, or the system error that it threw") {
  const auto main = []() -> task<> {
    const result<int> value = co_await as_result(blocking([] { return 5; }));
    CHECK(value.has_value());
    CHECK(*value == 5);
    CHECK(co_await as_result(blocking([] {})));
    const result<int> error = co_await as_result(blocking(
        []() -> int { throw std::system_error(std::make_error_code(std::errc::not_connected)); }));
    CHECK(error.error() == std::errc::not_connected);
    CHECK_THROWS_WITH((void)co_await as_result(blocking([] { throw std::runtime_error("a bug"); })),
                      "a bug");
  };
  run(main());
}

TEST_CASE("a named callable is used in place, and a small temporary is stored") {
  const auto main = []() -> task<> {
    struct counter {
      int calls = 0;
      int operator()() { return ++calls; }
    };
    counter named;
    CHECK(co_await blocking(named) == 1);
    CHECK(co_await blocking(named) == 2);
    CHECK(named.calls == 2);
    int base = 40;
    CHECK(co_await blocking([base] { return base + 2; }) == 42);
  };
  run(main());
}

TEST_CASE("other fibers run while a call blocks") {
  const auto main = []() -> task<> {
    std::latch opened{1};
    spawn([&]() -> task<> {
      opened.count_down();  // or the call would never end
      co_return;
    });
    auto call = [&] { opened.wait(); };
    co_await blocking(call);
  };
  run(main());
}

TEST_CASE("a fiber whose blocking call is running is not deadlocked") {
  const auto main = []() -> task<> {
    const auto calling =
        spawn([]() -> task<int> { co_return co_await blocking([] { return 3; }); });
    CHECK(co_await calling.get() == 3);
  };
  run(main());
}

// The line

TEST_CASE("calls beyond the number of threads wait in line, and all of them are made") {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  const auto call = [&] {
    const int now = ++running;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::yield();
    --running;
  };
  const auto main = [&]() -> task<> {
    std::vector<fiber<>> callers;
    for (int i = 0; i < 200; ++i) {
      callers.push_back(spawn([&]() -> task<> { co_await blocking(call); }));
    }
    co_await joinall(callers);
    for (const auto& caller : callers) CHECK(caller.result() == outcome::value);
  };
  run(main());
  CHECK(most <= static_cast<int>(blocking_pool::threads_max));
}

TEST_CASE("a call that is killed before it began is never made, and its fiber does not wait") {
  std::atomic<bool> called = false;
  std::string log;
  const auto main = [&]() -> task<> {
    busy_workers workers;
    co_await workers.occupy();
    const auto call = [&] {
      called = true;
      return 1;
    };
    const auto killed = spawn(wait_twice, std::ref(log), call, forever);
    co_await yield();
    killed.request_kill();
    CHECK(co_await killed.join());
    co_await workers.release();
  };
  run(main());
  CHECK(log == "cancelled, free");
  CHECK_FALSE(called);
}

TEST_CASE("a call whose limit passes before it began is never made") {
  std::atomic<bool> called = false;
  std::string log;
  const auto main = [&]() -> task<> {
    busy_workers workers;
    co_await workers.occupy();
    const auto call = [&] {
      called = true;
      return 1;
    };
    const auto late = spawn(wait_twice, std::ref(log), call, 1us);
    CHECK(co_await late.join());
    auto refused = [&] { called = true; };
    CHECK((co_await as_result(blocking(refused, 0s))).error() == errc::timed_out);
    CHECK_THROWS_AS(co_await with_timeout(1us, blocking(refused)), timed_out);
    co_await workers.release();
  };
  run(main());
  CHECK(log == "timed out, free");
  CHECK_FALSE(called);
}

// While the call runs

TEST_CASE("a running call cannot be stopped: a kill waits for its end, and success wins") {
  std::latch begun{1};
  std::latch open{1};
  std::string log;
  const auto main = [&]() -> task<> {
    const auto call = [&] {
      begun.count_down();
      open.wait();
      return 5;
    };
    const auto killed = spawn(wait_twice, std::ref(log), call, forever);
    co_await yield();
    begun.wait();
    killed.request_kill();
    CHECK_FALSE(co_await killed.join(0s));
    CHECK(log.empty());
    open.count_down();
    co_await killed.join();
  };
  run(main());
  CHECK(log == "5, cancelled");
}

TEST_CASE("a limit that passes while the call runs does not discard its value") {
  std::latch begun{1};
  std::latch open{1};
  std::string log;
  const auto main = [&]() -> task<> {
    const auto call = [&] {
      begun.count_down();
      open.wait();
      return 5;
    };
    // Whenever the limit is seen to have passed, the call has begun.
    const auto deadline = std::chrono::steady_clock::now() + 1ms;
    const auto late = spawn(wait_twice, std::ref(log), call, deadline);
    co_await yield();
    begun.wait();
    co_await sleep_until(deadline + 1us);
    CHECK(log.empty());
    open.count_down();
    co_await late.join();
  };
  run(main());
  CHECK(log == "5, free");
}

TEST_CASE("run returns when the running calls have ended, and queued calls are not made") {
  std::atomic<int> ended = 0;
  std::atomic<bool> called = false;
  std::latch begun{blocking_pool::threads_max};
  std::latch open{1};
  const auto call = [&] {
    begun.count_down();
    open.wait();
    ++ended;
  };
  const auto call_in_line = [&] { called = true; };
  const auto main = [&]() -> task<> {
    for (std::size_t i = 0; i < blocking_pool::threads_max; ++i) {
      spawn([&]() -> task<> { co_await blocking(call); });
    }
    co_await yield();
    begun.wait();
    spawn([&]() -> task<> { co_await blocking(call_in_line); });
    spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        open.count_down();  // the main task has ended by now
        throw;
      }
    });
    co_await yield();
  };
  run(main());
  CHECK(ended == static_cast<int>(blocking_pool::threads_max));
  CHECK_FALSE(called);
}

// On an engine whose workers do what the test says

TEST_CASE("the engine's worker makes a call when it gets to it") {
  scripted_engine engine;
  bool called = false;
  std::string steps;
  engine.on_idle = [&] {
    steps += called ? "called " : "not yet ";
    if (engine.jobs_queued() == 1) {
      engine.begin_job();
    } else if (engine.jobs_begun() == 1) {
      engine.end_job();
    }
    return true;
  };
  const auto main = [&]() -> task<int> {
    auto call = [&] {
      called = true;
      return 5;
    };
    co_return co_await blocking(call);
  };
  CHECK(run_on(engine, main()) == 5);
  CHECK(steps == "not yet not yet ");
}

TEST_CASE("a withdrawn call leaves no external wait behind, so a deadlock is detected") {
  for (const bool by_kill : {true, false}) {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto calling = spawn([&]() -> task<> {
        auto call = [] { FAIL("it was made"); };
        static_cast<void>(
            co_await as_result(blocking(call, by_kill ? time_limit(forever) : time_limit(1ms))));
      });
      co_await yield();
      CHECK(engine.jobs_queued() == 1);
      if (by_kill) calling.request_kill();
      CHECK(co_await calling.join());
      CHECK(engine.jobs_queued() == 0);
      event never_set;
      co_await never_set.wait();  // the scripted engine aborts a test that would sleep forever
    };
    CHECK_THROWS_AS(run_on(engine, main()), deadlock);
  }
}

TEST_CASE("a kill does not stop a call that has begun, and its fiber is not deadlocked") {
  scripted_engine engine;
  std::string log;
  engine.on_idle = [&] {
    if (engine.jobs_begun() == 0) return false;
    engine.end_job();
    return true;
  };
  const auto main = [&]() -> task<> {
    const auto killed = spawn(
        wait_twice, std::ref(log), [] { return 5; }, forever);
    co_await yield();
    engine.begin_job();
    killed.request_kill();
    co_await killed.join();
  };
  run_on(engine, main());
  CHECK(log == "5, cancelled");
}

TEST_CASE("a caller without a worker gets the error, and may continue") {
  scripted_engine engine;
  engine.refuse_jobs(std::make_error_code(std::errc::resource_unavailable_try_again));
  const auto main = []() -> task<> {
    auto call = [] { FAIL("it was made"); };
    CHECK_THROWS_AS(co_await blocking(call), std::system_error);
    co_await yield();
  };
  run_on(engine, main());
}

TEST_CASE("several schedulers share the workers") {
  // For ThreadSanitizer, too.
  std::array<int, 3> sums{};
  std::vector<std::thread> threads;
  for (int& sum : sums) {
    threads.emplace_back([&sum] {
      const auto main = [&]() -> task<> {
        std::vector<fiber<int>> callers;
        for (int i = 1; i <= 50; ++i) {
          callers.push_back(spawn(
              [](int number) -> task<int> {
                co_return co_await blocking([number] { return number; });
              },
              i));
        }
        for (auto& caller : callers) sum += co_await caller.get();
      };
      run(main());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int sum : sums) CHECK(sum == 1275);
}

TEST_SUITE_END();
