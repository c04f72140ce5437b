// auto_reset_event: which wait each set() lets pass, and that none is lost.
//
// Method: "in the same tick" means that no fiber has run between the two. In fibers that are killed
// no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/auto_reset_event.hpp>
#include <ringlet/dump.hpp>
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
#include "support/random.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Notes the name, and '+' when a set() let it pass or '-' when the limit passed.
task<> note(auto_reset_event& on, std::string& log, char name, time_limit timeout = forever) {
  const bool came = co_await on.wait(timeout);
  log += name;
  log += came ? '+' : '-';
}

// The same, then waits again, where a pending kill is thrown.
task<> note_then_wait(auto_reset_event& on, std::string& log, char name) {
  co_await note(on, log, name);
  co_await yield();
  log += "on";
}

}  // namespace

TEST_SUITE_BEGIN("auto_reset_event");

// row: EV-01
TEST_CASE("each set lets one fiber pass, in the order in which they wait") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c'}) all.push_back(spawn(note(door, log, name)));
    co_await yield();
    CHECK(door.waiting() == 3);
    door.set();
    CHECK(log.empty());  // the caller continues
    CHECK_FALSE(door.is_set());
    co_await all[0].join();
    CHECK(log == "a+");
    door.set();
    door.set();
    co_await all[2].join();
    CHECK(log == "a+b+c+");
    CHECK(door.waiting() == 0);
    CHECK(door.waiting_peak() == 3);
  });
}

// row: EV-01
TEST_CASE("a set that no fiber waits for is stored once") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    auto_reset_event door;
    door.set();
    door.set();
    CHECK(door.is_set());
    CHECK(co_await door.wait());
    CHECK(engine.waits() == waits);
    CHECK_FALSE(door.is_set());
    CHECK_FALSE(co_await door.wait(1ms));
    door.set();
    CHECK(door.try_wait());
    CHECK_FALSE(door.try_wait());
    door.set();
    door.reset();
    CHECK_FALSE(door.try_wait());
  });
}

TEST_CASE("a fiber that comes later does not overtake one that was let pass") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    std::string log;
    const fiber<> first = spawn(note(door, log, 'a'));
    co_await yield();
    door.set();
    CHECK_FALSE(door.try_wait());
    CHECK_FALSE(co_await door.wait(1ms));
    co_await first.join();
    CHECK(log == "a+");
  });
}

// row: TM-06
TEST_CASE("with a limit that has passed a wait succeeds only if a set is stored") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    auto_reset_event door;
    CHECK_FALSE(co_await door.wait(0s));
    CHECK_FALSE(co_await door.wait(-1s));
    door.set();
    CHECK(co_await door.wait(0s));
    CHECK(engine.now() == begin);
    CHECK_FALSE(co_await door.wait(3ms));
    CHECK(engine.now() == begin + 3'000'000);
  });
}

TEST_CASE("success wins: a set in the turn in which the limit is due lets the fiber pass") {
  run_scripted([](scripted_engine& engine) -> task<> {
    auto_reset_event door;
    std::string log;
    const fiber<> waiter = spawn(note(door, log, 'a', 5ms));
    co_await yield();
    engine.advance(5'000'000);
    door.set();
    co_await waiter.join();
    CHECK(log == "a+");
    CHECK_FALSE(door.is_set());
  });
}

TEST_CASE("a fiber that gives up leaves the line, and the set goes to the next one") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    std::string log;
    const fiber<> killed = spawn(note(door, log, 'a')), late = spawn(note(door, log, 'b', 1ms)),
                  scoped = spawn([&]() -> task<> {
                    const bool came = co_await move_on_after(1ms, note(door, log, 'c'));
                    if (!came) log += "c moved on ";
                  }),
                  last = spawn(note(door, log, 'd'));
    co_await yield();
    co_await killed.kill();
    co_await scoped.join();
    co_await late.join();
    CHECK(door.waiting() == 1);
    door.set();
    co_await last.join();
    CHECK(log.find("b-") != log.npos);
    CHECK(log.find("c moved on d+") != log.npos);
    CHECK(log.find('a') == log.npos);
  });
}

TEST_CASE("of a kill and a set in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    std::string log;
    const fiber<> first = spawn(note_then_wait(door, log, 'a')), next = spawn(note(door, log, 'b'));
    co_await yield();
    SUBCASE("set, then killed: the fiber passes, and the kill comes with its next wait") {
      door.set();
      first.request_kill();
      co_await first.join();
      CHECK(log == "a+");
      door.set();
    }
    SUBCASE("killed, then set: the set goes to the next fiber") {
      first.request_kill();
      door.set();
    }
    co_await next.join();
    CHECK(log.find("b+") != log.npos);
    CHECK(first.result() == outcome::cancelled);
    CHECK_FALSE(door.is_set());
  });
}

TEST_CASE("a pending kill is thrown although a set is stored, which stays") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    door.set();
    std::string log;
    const fiber<std::string> doomed = spawn([&]() -> task<std::string> {
      current().kill();
      co_return co_await outcome_of(note(door, log, 'a'));
    });
    const std::string words = co_await doomed.get();
    CHECK(words == "cancelled");
    CHECK(door.is_set());
  });
}

// select()

TEST_CASE("a part of a select that loses uses up no set") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door, other;
    SUBCASE("both are set before") {
      door.set();
      other.set();
      CHECK((co_await select(other.wait(), door.wait())).index() == 0);
      CHECK(door.is_set());
    }
    SUBCASE("both are set in the tick in which the select ends") {
      std::size_t won = 9;
      const fiber<> waiter =
          spawn([&]() -> task<> { won = (co_await select(door.wait(), other.wait())).index(); });
      co_await yield();
      other.set();
      door.set();
      co_await waiter.join();
      CHECK(won == 1);
      CHECK(door.is_set());
      CHECK_FALSE(other.is_set());
    }
    SUBCASE("twice the same: one set ends the select, and is used up once") {
      const fiber<> waiter = spawn([&]() -> task<> {
        const auto came = co_await select(door.wait(), door.wait(), sleep(1h));
        CHECK(came.index() == 0);
      });
      co_await yield();
      CHECK(door.waiting() == 2);
      door.set();
      CHECK(door.waiting() == 0);
      door.set();
      co_await waiter.join();
      CHECK(door.is_set());
    }
  });
}

TEST_CASE("a select stands in line, and one that ends otherwise lets the next fiber pass") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    std::string log;
    const fiber<> waiter = spawn([&]() -> task<> {
      const auto came = co_await select(door.wait(), sleep(1ms));
      log += came.index() == 0 ? "a+" : "a-";
    });
    const fiber<> next = spawn(note(door, log, 'b'));
    co_await yield();
    SUBCASE("the first set is the select's") {
      door.set();
      co_await waiter.join();
      CHECK(log == "a+");
      door.set();
    }
    SUBCASE("it has given up when the set comes") {
      co_await waiter.join();
      CHECK(log == "a-");
      door.set();
    }
    co_await next.join();
    CHECK(door.waiting() == 0);
    CHECK_FALSE(door.is_set());
  });
}

TEST_CASE("as_result of a wait is what the wait returns") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    const result<bool> late = co_await as_result(door.wait(1ms));
    CHECK_FALSE(*late);
    door.set();
    const result<bool> came = co_await as_result(door.wait());
    CHECK(*came);
  });
}

// Claim: no set is lost and none lets two waits pass, in any order of events. A set that finds a
// set stored adds nothing.
TEST_CASE("as many waits pass as the model says, in 2,000 random schedules") {
  for (std::uint64_t seed = 1; seed <= 2'000; ++seed) {
    CAPTURE(seed);
    run_scripted([&](scripted_engine&) -> task<> {
      random_numbers random(seed);
      auto_reset_event door;
      int passed = 0;
      const auto pass = [&]() -> task<> {
        const bool came = co_await door.wait();
        if (came) ++passed;
      };
      const auto pass_in_select = [&](auto_reset_event& unset) -> task<> {
        const auto came = co_await select(unset.wait(), door.wait());
        passed += came.index() == 1 ? 1 : 0;
      };
      auto_reset_event unset;
      std::vector<fiber<>> waiting;  // in the order in which they came
      int expected = 0;
      bool stored = false;
      for (int step = 0; step < 40; ++step) {
        switch (random.below(4)) {
          case 0:
          case 1: {
            const bool by_select = random.below(2) == 0;
            fiber<> made = by_select ? spawn(pass_in_select, std::ref(unset)) : spawn(pass);
            co_await yield();
            if (stored) {
              ++expected;
              stored = false;
            } else {
              waiting.push_back(made);
            }
            break;
          }
          case 2:
            door.set();
            if (waiting.empty()) {
              stored = true;
            } else {
              ++expected;
              // Killed after it was chosen: it passes all the same.
              if (random.below(2) == 0) waiting.front().request_kill();
              waiting.erase(waiting.begin());
            }
            break;
          case 3:
            if (waiting.empty()) break;
            const std::size_t which = random.below(waiting.size());
            waiting[which].request_kill();
            waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(which));
            break;
        }
        REQUIRE(door.is_set() == stored);
        REQUIRE(door.waiting() == waiting.size());
      }
      for (const fiber<>& left : waiting) left.request_kill();
      co_await yield();
      CHECK(passed == expected);
    });
  }
}

// What is seen of it, and its lifetime

TEST_CASE("dump shows which auto_reset_event a fiber waits for, and how many wait") {
  run_scripted([](scripted_engine&) -> task<> {
    auto_reset_event door;
    std::string log;
    const fiber<> a = spawn(note(door, log, 'a')), b = spawn(note(door, log, 'b'));
    co_await yield();
    char where[80];
    std::snprintf(where, sizeof where, "auto_reset_event %p with 2 waiting (at most 2)",
                  static_cast<void*>(&door));
    CHECK(dump().find(where) != std::string::npos);
    co_await a.kill();
    CHECK(dump().find("with 1 waiting (at most 2)") != std::string::npos);
    door.set();
    co_await b.join();
  });
}

TEST_CASE("an auto_reset_event may be destroyed as soon as its waiters are let pass") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<auto_reset_event> door(std::in_place);
    std::string log;
    const fiber<> a = spawn(note(*door, log, 'a', 1h));
    co_await yield();
    door->set();
    door.reset();
    co_await a.join();
    CHECK(log == "a+");
  });
}

TEST_CASE("an auto_reset_event that is destroyed while a fiber waits for it aborts") {
  CHECK(aborts_with("an auto_reset_event was destroyed while a fiber waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<auto_reset_event> door(std::in_place);
      std::string log;
      const fiber<> waiter = spawn(note(*door, log, 'a'));
      co_await yield();
      door.reset();
    });
  }));
}

TEST_CASE("an auto_reset_event whose owner is unwound ends its waits with closed") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        fiber<std::string> waiter;
        std::string log;
        const auto owner = [&]() -> task<> {
          auto_reset_event door;
          waiter = spawn(outcome_of(note(door, log, 'a')));
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
  CHECK(reports[0].find("an auto_reset_event was destroyed") == 0);
}

TEST_CASE("an auto_reset_event used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  for (const bool has_waiter : {false, true}) {
    CHECK(aborts_with("an auto_reset_event was used on a thread that is not its scheduler's", [&] {
      run_scripted([&](scripted_engine&) -> task<> {
        auto_reset_event door;
        door.reset();
        std::string log;
        fiber<> waiter;
        if (has_waiter) waiter = spawn(note(door, log, 'a'));
        co_await yield();
        std::thread([&] { door.set(); }).join();
      });
    }));
  }
}

TEST_CASE("an auto_reset_event does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::string log(64, ' ');
      log.clear();
      auto_reset_event door;
      const fiber<> a = spawn(note(door, log, 'a')), b = spawn(note(door, log, 'b', 1ms)),
                    c = spawn(note(door, log, 'c'));
      const std::size_t before = allocations();
      co_await yield();
      {
        const out_of_memory none;
        c.request_kill();
        door.set();
        door.reset();
        door.set();
      }
      co_await sleep(2ms);
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
