// latch: when its waits end, in which order, and what must not be done with it.
//
// Method: the scripted engine's clock moves only when all fibers sleep, or when a test moves it. In
// fibers that are killed no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/latch.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <optional>
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

namespace {

// Notes the name, and '+' at zero or '-' when the limit passed.
task<> note(latch& on, std::string& log, char name, time_limit timeout = forever) {
  const bool came = co_await on.wait(timeout);
  log += name;
  log += came ? '+' : '-';
}

task<> arrive(latch& at, std::string& log, char name) {
  co_await at.arrive_and_wait();
  log += name;
}

}  // namespace

TEST_SUITE_BEGIN("latch");

TEST_CASE("a latch wakes all waiting fibers at zero, in their order, and stays at zero") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    latch ready(3);
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c'}) all.push_back(spawn(note(ready, log, name)));
    co_await yield();
    ready.count_down();
    CHECK(ready.left() == 2);
    co_await yield();
    CHECK(log.empty());
    CHECK_FALSE(ready.is_zero());
    ready.count_down(2);
    CHECK(ready.is_zero());
    CHECK(log.empty());  // the caller continues
    co_await all[2].join();
    CHECK(log == "a+b+c+");
    CHECK(co_await ready.wait());
    CHECK(co_await ready.wait(0s));
    ready.count_down(0);
    CHECK(engine.waits() == waits);
  });
}

TEST_CASE("a latch that begins at zero lets every wait pass") {
  run_scripted([](scripted_engine&) -> task<> {
    latch open(0);
    CHECK(open.is_zero());
    CHECK(co_await open.wait());
  });
}

TEST_CASE("arrive_and_wait counts down, and all fibers continue when the last has arrived") {
  run_scripted([](scripted_engine&) -> task<> {
    latch meeting(3);
    std::string log;
    const fiber<> a = spawn(arrive(meeting, log, 'a')), b = spawn(arrive(meeting, log, 'b'));
    co_await sleep(1ms);
    CHECK(log.empty());
    CHECK(meeting.left() == 1);
    CHECK(co_await meeting.arrive_and_wait());
    CHECK(log.empty());
    co_await b.join();
    CHECK(log == "ab");
    CHECK(a.done());
  });
}

TEST_CASE("a fiber that is killed, or late, in arrive_and_wait has counted all the same") {
  run_scripted([](scripted_engine&) -> task<> {
    latch meeting(3);
    std::string log;
    const fiber<> killed = spawn(arrive(meeting, log, 'a'));
    co_await yield();
    co_await killed.kill();
    CHECK(meeting.left() == 2);
    CHECK_FALSE(co_await meeting.arrive_and_wait(1ms));
    CHECK(meeting.left() == 1);
    CHECK(meeting.waiting() == 0);
    CHECK(co_await meeting.arrive_and_wait());
    CHECK(log.empty());
  });
}

// row: TM-06
TEST_CASE("with a limit that has passed a wait succeeds only at zero") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    latch ready(1);
    CHECK_FALSE(co_await ready.wait(0s));
    CHECK_FALSE(co_await ready.wait(-1s));
    CHECK(engine.now() == begin);
    CHECK_FALSE(co_await ready.wait(3ms));
    CHECK(engine.now() == begin + 3'000'000);
    const result<bool> late = co_await as_result(ready.wait(1ms));
    CHECK_FALSE(*late);
    ready.count_down();
    const result<bool> came = co_await as_result(ready.wait(0s));
    CHECK(*came);
  });
}

TEST_CASE("of a kill and zero in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    latch ready(1);
    std::string log;
    const fiber<> waiter = spawn([&]() -> task<> {
      co_await note(ready, log, 'a');
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("zero, then killed: the wait succeeds, and the kill comes with the next wait") {
      ready.count_down();
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log == "a+");
    }
    SUBCASE("killed, then zero") {
      waiter.request_kill();
      ready.count_down();
      co_await waiter.join();
      CHECK(log.empty());
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

TEST_CASE("a fiber that gives up leaves the rest in their order") {
  run_scripted([](scripted_engine&) -> task<> {
    latch ready(1);
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c', 'd', 'e'}) {
      all.push_back(spawn(note(ready, log, name, name == 'c' ? time_limit(1ms) : forever)));
    }
    co_await yield();
    co_await all[0].kill();
    co_await all[4].kill();
    co_await all[2].join();
    CHECK(ready.waiting() == 2);
    CHECK(ready.waiting_peak() == 5);
    ready.count_down();
    CHECK(ready.waiting() == 0);
    co_await all[3].join();
    CHECK(log == "c-b+d+");
  });
}

TEST_CASE("a latch can be a part of a select, also twice") {
  run_scripted([](scripted_engine&) -> task<> {
    latch ready(2);
    CHECK((co_await select(ready.wait(), sleep(1ms))).index() == 1);
    CHECK((co_await select(ready.arrive_and_wait(), sleep(1ms))).index() == 1);
    CHECK(ready.left() == 1);
    CHECK(ready.waiting() == 0);
    const fiber<> counter = spawn([&]() -> task<> {
      ready.count_down();
      co_return;
    });
    CHECK((co_await select(sleep(1h), ready.wait(), ready.wait())).index() == 1);
    CHECK(ready.waiting() == 0);
    co_await counter.join();
    CHECK((co_await select(ready.wait(), sleep(1ms))).index() == 0);
  });
}

// Claims: S6, S7. More waits than are woken in one turn end by one call.
TEST_CASE("a latch wakes long lines in slices, and a wait in one that is killed has succeeded") {
  run_scripted([](scripted_engine&) -> task<> {
    latch ready(1);
    std::size_t passed = 0;
    std::vector<fiber<>> all;
    for (int i = 0; i < 1'000; ++i) {
      all.push_back(spawn([&]() -> task<> {
        const bool came = co_await ready.wait();
        if (came) ++passed;
      }));
    }
    co_await yield();
    ready.count_down();
    CHECK(ready.waiting() == 0);
    all[999].request_kill();  // of the last slice
    co_await yield();
    CHECK(passed == 257);  // the slice that was woken at once, and the one that was killed
    for (const fiber<>& one : all) co_await one.join();
    CHECK(passed == 1'000);
    CHECK(all[999].result() == outcome::value);
  });
}

TEST_CASE("a latch may be destroyed as soon as it is at zero, also with slices to wake") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<latch> ready(1);
    std::size_t passed = 0;
    std::vector<fiber<>> all;
    for (int i = 0; i < 600; ++i) {
      all.push_back(spawn([&]() -> task<> {
        const bool came = co_await ready->wait();
        if (came) ++passed;
      }));
    }
    co_await yield();
    ready->count_down();
    ready.reset();
    for (const fiber<>& one : all) co_await one.join();
    CHECK(passed == 600);
  });
}

TEST_CASE("dump shows which latch a fiber waits for, how much is left, and how many wait") {
  run_scripted([](scripted_engine&) -> task<> {
    latch ready(3);
    std::string log;
    const fiber<> a = spawn(note(ready, log, 'a')), b = spawn(note(ready, log, 'b'));
    co_await yield();
    char where[80];
    std::snprintf(where, sizeof where, "latch %p at 3 with 2 waiting (at most 2)",
                  static_cast<void*>(&ready));
    CHECK(dump().find(where) != std::string::npos);
    ready.count_down(3);
    co_await b.join();
  });
}

TEST_CASE("a latch that is counted below zero aborts, and says by how much") {
  CHECK(aborts_with("a latch was counted down by 3 when 2 was left: it must not go below zero", [] {
    latch ready(2);
    ready.count_down(3);
  }));
  CHECK(aborts_with("a latch was counted down by 1 when 0 was left", [] {
    run_scripted([](scripted_engine&) -> task<> {
      latch ready(0);
      co_await ready.arrive_and_wait();
    });
  }));
}

TEST_CASE("a latch that is destroyed while a fiber waits for it aborts") {
  CHECK(aborts_with("a latch was destroyed while a fiber waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<latch> ready(1);
      std::string log;
      const fiber<> waiter = spawn(note(*ready, log, 'a'));
      co_await yield();
      ready.reset();
    });
  }));
}

TEST_CASE("a latch whose owner is unwound ends its waits with closed") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        fiber<std::string> waiter;
        std::string log;
        const auto owner = [&]() -> task<> {
          latch ready(1);
          waiter = spawn(outcome_of(note(ready, log, 'a')));
          co_await yield();
          throw std::runtime_error("owner failed");
        };
        const std::string words = co_await outcome_of(owner());
        CHECK(words == "owner failed");
        const std::string end = co_await waiter.get();
        CHECK(end == "closed");
      },
      collecting(reports));
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].find("a latch was destroyed") == 0);
}

TEST_CASE("a latch used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a latch was used on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      latch ready(2);
      ready.count_down();
      std::thread([&] { ready.count_down(); }).join();
      co_return;
    });
  }));
}

TEST_CASE("a latch does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::string log(64, ' ');
      log.clear();
      latch ready(2);
      const fiber<> a = spawn(note(ready, log, 'a')), b = spawn(note(ready, log, 'b', 1ms)),
                    c = spawn(note(ready, log, 'c'));
      const std::size_t before = allocations();
      co_await yield();
      co_await sleep(2ms);
      {
        const out_of_memory none;
        c.request_kill();
        ready.count_down(2);
      }
      co_await a.join();
      co_await b.join();
      co_await c.join();
      co_return allocations() - before;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

TEST_SUITE_END();
