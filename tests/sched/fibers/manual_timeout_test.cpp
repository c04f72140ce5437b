// manual_timeout: a limit that is started and stopped by hand, and that it keeps to the order of
// scopes.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/manual_timeout.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// What comes out of that call, under a limit that is started and stopped by hand.
task<> limited(time_limit timeout, task<> call) {
  manual_timeout limit;
  limit.start(timeout);
  try {
    co_await call;
  } catch (...) {
    limit.rethrow();
  }
  limit.stop();
}

task<> throw_error_of(const char* what) {
  co_await yield();
  throw std::runtime_error(what);
}

task<> sleep_twice() {
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
  }
  co_await sleep(1h);
}

}  // namespace

TEST_SUITE_BEGIN("manual timeout");

// rows: TM-01 W9
TEST_CASE("a limit that passes ends the waits of its fiber, and becomes timed_out") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::string words = co_await outcome_of(limited(5ms, sleep_for(1h)));
    CHECK(words == "timed out");
    CHECK(engine.now() == scripted_engine::start_time + 5'000'000);
    words = co_await outcome_of(limited(5ms, sleep_for(1ms)));
    CHECK(words == "done");
    words = co_await outcome_of(limited(5ms, throw_error_of("expected")));
    CHECK(words == "expected");
    words = co_await outcome_of(limited(5ms, sleep_twice()));  // every wait
    CHECK(words == "timed out");
    co_await sleep(1h);  // it is over
  });
}

// row: W10
TEST_CASE("without a limit nothing passes, and with 0 only what needs no waiting is done") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string words = co_await outcome_of(limited(forever, sleep_for(24h)));
    CHECK(words == "done");
    event door;
    door.set();
    const auto pass = [&]() -> task<> { co_await door.wait(); };
    words = co_await outcome_of(limited(0s, pass()));
    CHECK(words == "done");
    words = co_await outcome_of(limited(0s, sleep_for(1ms)));
    CHECK(words == "timed out");
  });
}

// rows: W7 W8 TM-03
TEST_CASE("of nested limits the one that passes first ends only what is inside it") {
  run_scripted([](scripted_engine& engine) -> task<> {
    // The outer one passes first: the inner one does not take it for its own.
    std::string words = co_await outcome_of(limited(1ms, limited(5ms, sleep_for(1h))));
    CHECK(words == "timed out");
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
    manual_timeout outer, inner;
    outer.start(1h);
    inner.start(1ms);
    std::string log;
    try {
      co_await sleep(2h);
    } catch (const cancelled& thrown) {
      CHECK(inner.is_reason_of(thrown));
      CHECK_FALSE(outer.is_reason_of(thrown));
      log += "inner";
    }
    CHECK(inner.has_passed());
    CHECK_FALSE(outer.has_passed());
    CHECK_FALSE(inner.stop());
    co_await sleep(1ms);
    CHECK(outer.stop());
    CHECK(log == "inner");
    // And with a limit around.
    words = co_await outcome_of(with_timeout(1ms, limited(1h, sleep_for(2h))));
    CHECK(words == "timed out");
    const fiber<std::string> killed = spawn(outcome_of(limited(1h, sleep_for(2h))));
    co_await yield();
    killed.request_kill();
    words = co_await killed.get();
    CHECK(words == "cancelled");
  });
}

// row: TM-01
TEST_CASE("a limit can be started in one call and stopped in another, and started again") {
  run_scripted([](scripted_engine&) -> task<> {
    struct session {
      manual_timeout limit;
      task<> begin() {
        co_await yield();
        limit.start(5ms);
      }
      task<> end() {
        co_await yield();
        in_time = limit.stop();
      }
      bool in_time = false;
    };
    session one;
    for (int round = 0; round < 3; ++round) {
      CHECK_FALSE(one.limit.is_active());
      co_await one.begin();
      CHECK(one.limit.is_active());
      co_await sleep(4ms);
      co_await one.end();
      CHECK(one.in_time);
    }
    co_await sleep(1h);
    CHECK(one.limit.stop());
  });
}

TEST_CASE("restart() replaces the limit unless it has passed") {
  run_scripted([](scripted_engine& engine) -> task<> {
    manual_timeout limit;
    limit.start(5ms);
    for (int i = 0; i < 5; ++i) {
      co_await sleep(4ms);
      CHECK(limit.restart(5ms));
    }
    CHECK_THROWS_AS(co_await sleep(1h), cancelled);
    CHECK(engine.now() == scripted_engine::start_time + 25'000'000);
    CHECK_FALSE(limit.restart(1h));
    CHECK_FALSE(limit.stop());
  });
}

TEST_CASE("success wins: what finishes although the limit has passed is finished") {
  run_scripted([](scripted_engine&) -> task<> {
    manual_timeout limit;
    limit.start(1h);
    const fiber<> other = spawn([&]() -> task<> {
      CHECK(limit.restart(5ms));
      co_return;
    });
    co_await sleep(5ms);  // is due at the same moment, and first
    CHECK(limit.has_passed());
    CHECK_FALSE(limit.stop());
    co_await yield();
  });
}

TEST_CASE("the limit of one fiber leaves others alone, and its groups end with it") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const body_of_group body = [&](task_group& group) -> task<> {
      group.spawn(note_cancellations, std::ref(log), 1, "member ");
      co_await sleep(2h);
    };
    const fiber<> other = spawn(sleep_for, 1h);
    const std::string words = co_await outcome_of(limited(1ms, in_group(body)));
    CHECK(words == "timed out");
    CHECK(log == "member ");
    CHECK_FALSE(other.done());
    other.request_kill();
  });
}

TEST_CASE("dump() shows the limit") {
  run_scripted([](scripted_engine&) -> task<> {
    const fiber<std::string> one = spawn(outcome_of(limited(5s, sleep_for(1h))));
    co_await yield();
    const std::string text = dump();
    CHECK(text.find("5.000 s") != std::string::npos);
    one.request_kill();
    co_await one.join();
  });
}

TEST_CASE("starting, stopping and passing do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    manual_timeout limit;
    const std::size_t before = allocations();
    for (int i = 0; i < 100; ++i) {
      limit.start(1ms);
      limit.restart(2ms);
      limit.stop();
    }
    CHECK(allocations() == before);
    co_return;
  });
}

// row: TM-01
TEST_CASE("wrong uses of a manual_timeout abort") {
  CHECK(aborts_with("a manual_timeout was started while it was active", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout limit;
      limit.start(1s);
      limit.start(1s);
      co_return;
    });
  }));
  CHECK(aborts_with("was stopped while a limit, group or shield that had begun later", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout outer, inner;
      outer.start(1s);
      inner.start(1s);
      outer.stop();
      co_return;
    });
  }));
  CHECK(aborts_with("scopes must end in the reverse order of their creation", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout limit;
      const auto start = [&]() -> task<> {
        limit.start(1s);
        co_return;
      };
      co_await with_timeout(2s, start());
    });
  }));
  CHECK(aborts_with("was stopped by a fiber that had not started it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout limit;
      const fiber<> starter = spawn([&]() -> task<> {
        limit.start(1s);
        co_await sleep(1h);
      });
      co_await yield();
      limit.stop();
    });
  }));
  CHECK(aborts_with("a fiber ended while a manual_timeout that it had started was active", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout limit;
      const fiber<> starter = spawn([&]() -> task<> {
        limit.start(1s);
        co_return;
      });
      co_await starter.join();
    });
  }));
  CHECK(aborts_with("rethrow() of a manual_timeout was called outside of", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout limit;
      limit.start(1s);
      limit.rethrow();
      co_return;
    });
  }));
}

TEST_CASE("a manual_timeout that is stopped on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a manual_timeout was stopped on a thread that is not its fiber's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      manual_timeout limit;
      limit.start(1s);
      std::thread([&] { limit.stop(); }).join();
      co_return;
    });
  }));
}

TEST_SUITE_END();
