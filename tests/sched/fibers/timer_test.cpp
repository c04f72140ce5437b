// timer: when its function is called, that it is not when the timer was cancelled, and who owns the
// fiber that runs it.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/now.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/timer.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<timer::idle_wait>);
static_assert(!std::copy_constructible<timer>);
static_assert(!timer_function<int (*)()>);
static_assert(!timer_function<task<int> (*)()>);

namespace {

steady_ns after_start(std::chrono::nanoseconds time) {
  return scripted_engine::start_time + time.count();
}

}  // namespace

TEST_SUITE_BEGIN("timer");

// row: TH-10
TEST_CASE("a timer calls its function once, after the delay, in a fiber of its own") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::vector<steady_ns> calls;
    const std::uint64_t me = current().id();
    timer plain([&] {
      CHECK(current().id() != me);
      calls.push_back(engine.now());
    });
    timer waiting([&]() -> task<> {
      co_await sleep(1ms);
      calls.push_back(engine.now());
    });
    CHECK_FALSE(plain.is_armed());
    plain.start(2ms);
    waiting.start(3ms);
    CHECK(plain.is_armed());
    co_await sleep(1h);
    CHECK(calls == std::vector<steady_ns>{after_start(2ms), after_start(4ms)});
    CHECK_FALSE(plain.is_armed());
    CHECK_FALSE(waiting.is_running());
  });
}

// row: TH-10
TEST_CASE("cancel() prevents the call only before the timer has fired") {
  run_scripted([](scripted_engine&) -> task<> {
    int calls = 0;
    timer later([&]() -> task<> {
      ++calls;
      co_await sleep(1ms);
      ++calls;
    });
    CHECK_FALSE(later.cancel());
    later.start(1ms);
    CHECK(later.cancel());
    CHECK_FALSE(later.cancel());
    CHECK_FALSE(later.is_armed());
    co_await sleep(10ms);
    CHECK(calls == 0);
    later.start(1ms);
    co_await sleep(1500us);
    CHECK(later.is_running());
    CHECK_FALSE(later.cancel());
    co_await later.join();
    CHECK(calls == 2);
  });
}

// row: TH-10
TEST_CASE("a timer that was cancelled or has fired can be started again") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::vector<steady_ns> calls;
    std::optional<timer> beat;
    beat.emplace([&] {
      calls.push_back(engine.now());
      if (calls.size() < 3) beat->start(2ms);
    });
    beat->start(1h);
    CHECK(beat->cancel());
    beat->start(1ms);
    co_await sleep(1h);
    CHECK(calls == std::vector<steady_ns>{after_start(1ms), after_start(3ms), after_start(5ms)});
  });
}

TEST_CASE("restart() replaces the delay of an armed timer") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::vector<steady_ns> calls;
    timer idle([&] { calls.push_back(engine.now()); });
    idle.restart(5ms);
    for (int i = 0; i < 4; ++i) {
      co_await sleep(4ms);
      idle.restart(5ms);
    }
    CHECK(calls.empty());
    idle.restart(1ms);
    co_await idle.join();
    CHECK(calls == std::vector<steady_ns>{after_start(17ms)});
    idle.restart(forever);
    CHECK(idle.is_armed());
    co_await sleep(1h);
    CHECK(calls.size() == 1);
    CHECK(idle.cancel());
    idle.start(0s);
    co_await idle.join();
    idle.start(now() + 1ms);
    co_await idle.join();
    CHECK(calls.size() == 3);
  });
}

TEST_CASE("a timer that is due while its function runs calls it again afterwards") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::vector<steady_ns> begins;
    timer slow([&]() -> task<> {
      begins.push_back(engine.now());
      co_await sleep(10ms);
    });
    slow.start(1ms);
    co_await sleep(2ms);
    slow.start(1ms);
    co_await sleep(2ms);
    CHECK(slow.is_armed());
    CHECK(slow.is_running());
    co_await slow.join();
    CHECK(begins == std::vector<steady_ns>{after_start(1ms), after_start(11ms)});
    CHECK(engine.now() == after_start(21ms));
    slow.start(1ms);
    co_await sleep(2ms);
    slow.start(1ms);
    co_await sleep(2ms);
    CHECK(slow.cancel());  // it is late, and has not fired
    co_await slow.join();
    CHECK(begins.size() == 3);
  });
}

// Who owns what

// row: TH-10
TEST_CASE("destroying a timer cancels it, and ends its call") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    {
      timer armed([&] { log += "not here"; });
      armed.start(1ms);
    }
    std::optional<timer> running;
    running.emplace([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += "cancelled ";
        throw;
      }
    });
    running->start(1ms);
    co_await sleep(2ms);
    CHECK(running->is_running());
    running.reset();
    CHECK(log.empty());  // it does not wait for the end
    co_await yield();
    CHECK(log == "cancelled ");
    co_await sleep(1h);
  });
  CHECK(log == "cancelled ");
}

TEST_CASE("a function may destroy its own timer, and continues") {
  run_scripted([](scripted_engine&) -> task<> {
    std::unique_ptr<timer> once;
    std::string log;
    once =
        std::make_unique<timer>([&, text = std::string("still here, and not short")]() -> task<> {
          once.reset();
          co_await sleep(1ms);
          log = text;
        });
    once->start(1ms);
    co_await sleep(1h);
    CHECK(log == "still here, and not short");
  });
}

TEST_CASE("the end of the fiber that started a timer does not affect it") {
  run_scripted([](scripted_engine&) -> task<> {
    int calls = 0;
    timer later([&] { ++calls; });
    const fiber<> starter = spawn([&]() -> task<> {
      later.start(1ms);
      co_await sleep(1h);
    });
    co_await yield();
    co_await starter.kill();
    co_await later.join();
    CHECK(calls == 1);
  });
}

TEST_CASE("a failure of the function is reported, and the timer can be used again") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        timer failing([] { throw std::runtime_error("expected"); });
        failing.start(1ms);
        co_await failing.join();
        failing.start(1ms);
        co_await failing.join();
        co_await yield();
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"expected", "expected"});
}

TEST_CASE("the end of the run cancels a timer that outlives it") {
  int calls = 0;
  std::optional<timer> left, unused;
  run_scripted([&](scripted_engine&) -> task<> {
    unused.emplace([&] { ++calls; });
    left.emplace([&] { ++calls; });
    left->start(1ms);
    co_return;
  });
  CHECK_FALSE(left->is_armed());
  CHECK_FALSE(left->cancel());
  left.reset();
  CHECK(calls == 0);
}

// Waiting for it

// row: TH-10
TEST_CASE("join() waits until the timer is neither armed nor running") {
  run_scripted([](scripted_engine& engine) -> task<> {
    timer later([]() -> task<> { co_await sleep(2ms); });
    bool came = co_await later.join();
    CHECK(came);
    later.start(1ms);
    came = co_await later.join(2ms);
    CHECK_FALSE(came);
    came = co_await later.join();
    CHECK(came);
    CHECK(engine.now() == after_start(3ms));
    later.start(1h);
    const fiber<> canceller = spawn([&]() -> task<> {
      co_await sleep(1ms);
      later.cancel();
    });
    const auto taken = co_await select(later.join(), sleep(1h));
    CHECK(taken.index() == 0);
    CHECK(engine.now() == after_start(4ms));
  });
}

TEST_CASE("of a kill and the end of the call the first one counts for join()") {
  run_scripted([](scripted_engine&) -> task<> {
    timer later([] {});
    std::string log;
    const fiber<> joiner = spawn([&]() -> task<> {
      later.start(1h);
      co_await later.join();
      log += "idle";
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("killed first") {
      joiner.request_kill();
      later.cancel();
      co_await joiner.join();
      CHECK(log.empty());
    }
    SUBCASE("cancelled first") {
      later.cancel();
      joiner.request_kill();
      co_await joiner.join();
      CHECK(log == "idle");
    }
    CHECK(joiner.result() == outcome::cancelled);
  });
}

TEST_CASE("dump() shows the timer that a fiber joins, and the fiber that runs its function") {
  run_scripted([](scripted_engine&) -> task<> {
    timer later([]() -> task<> { co_await sleep(1h); });
    later.start(1ms);
    const fiber<> joiner = spawn([&]() -> task<> { co_await later.join(); });
    co_await yield();
    CHECK(dump().find("join of a timer 0x") != std::string::npos);
    CHECK(dump().find("that is armed") != std::string::npos);
    co_await sleep(2ms);
    CHECK(dump().find("whose function runs, held by fiber ") != std::string::npos);
    joiner.request_kill();
  });
}

// Memory, threads, broken rules

TEST_CASE("restarting, firing and cancelling a timer do not allocate") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    int calls = 0;
    timer later([&] { ++calls; });
    later.start(1ms);
    {
      const out_of_memory none;
      for (int i = 0; i < 100; ++i) later.restart(1ms);
      CHECK(later.cancel());
      later.start(1ms);
    }
    const empty_frame_pool empty(512);
    const std::size_t before = allocations();
    co_await later.join();
    CHECK(calls == 1);
    CHECK(allocations() == before);
  });
}

TEST_CASE("start() that finds no memory leaves the timer as it was") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    int calls = 0;
    timer later([&] { ++calls; });
    for (int number = 0;; ++number) {
      bool failed = false;
      {
        const failing_allocation one(number);
        try {
          later.start(1ms);
        } catch (const std::bad_alloc&) {
          failed = true;
        }
      }
      if (!failed) break;
      CHECK_FALSE(later.is_armed());
    }
    co_await later.join();
    CHECK(calls == 1);
  });
}

TEST_CASE("wrong uses of a timer abort") {
  CHECK(aborts_with("a timer was made outside of run()", [] { timer early([] {}); }));
  CHECK(aborts_with("a timer was started while it was armed", [] {
    run_scripted([](scripted_engine&) -> task<> {
      timer later([] {});
      later.start(1ms);
      later.start(1ms);
      co_return;
    });
  }));
  CHECK(aborts_with("the function of a timer joins its own timer", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<timer> later;
      later.emplace([&]() -> task<> { co_await later->join(); });
      later->start(1ms);
      co_await sleep(1h);
    });
  }));
  CHECK(aborts_with("a timer was destroyed while a fiber waited in its join()", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<timer> later;
      later.emplace([] {});
      later->start(1h);
      const fiber<> joiner = spawn([&]() -> task<> { co_await later->join(); });
      co_await yield();
      later.reset();
    });
  }));
}

TEST_CASE("a timer on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a timer was used on a thread that is not that of the scheduler", [] {
    run_scripted([](scripted_engine&) -> task<> {
      timer later([] {});
      std::thread([&] { later.start(1ms); }).join();
      co_return;
    });
  }));
}

TEST_SUITE_END();
