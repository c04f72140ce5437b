// event: which waits succeed, in which order, and what happens to those that give up.
//
// Method: the scripted engine's clock moves only when every fiber sleeps, or when a test moves it.
// Fibers that are killed have no co_await inside a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
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

// Notes the name, and '+' when the event was set or '-' when the limit passed.
task<> note(event& on, std::string& log, char name, time_limit timeout = forever) {
  const bool came = co_await on.wait(timeout);
  log += name;
  log += came ? '+' : '-';
}

task<bool> passes(event& on, time_limit timeout = forever) { co_return co_await on.wait(timeout); }

}  // namespace

TEST_SUITE_BEGIN("event");

// row: W18
TEST_CASE("set followed by reset wakes all waiting fibers in order, with true") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c', 'd'}) all.push_back(spawn(note(door, log, name)));
    co_await yield();
    door.set();
    door.reset();
    CHECK_FALSE(door.is_set());
    const fiber<> late = spawn(note(door, log, 'z', 1ms));
    co_await late.join();
    CHECK(log == "a+b+c+d+z-");
  });
}

// row: W18
TEST_CASE("set takes effect at once, its caller continues, and woken fibers run when it waits") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    CHECK_FALSE(door.is_set());
    const fiber<> waiter = spawn(note(door, log, 'a'));
    co_await yield();
    door.set();
    CHECK(door.is_set());
    CHECK(log.empty());
    door.set();  // no fiber is woken twice
    co_await waiter.join();
    CHECK(log == "a+");
    CHECK(door.is_set());
  });
}

// row: W18
TEST_CASE("no fiber waits while an event is set, and late fibers run behind the woken ones") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    event door;
    std::string log;
    const fiber<> a = spawn(note(door, log, 'a')), b = spawn(note(door, log, 'b'));
    co_await yield();
    door.set();
    const fiber<> late = spawn(note(door, log, 'c'));
    co_await late.join();
    CHECK(log == "a+b+c+");
    const bool again = co_await door.wait();
    CHECK(again);
    CHECK(engine.waits() == waits);  // all of that in one turn
  });
}

// rows: EV-01 TH-08
TEST_CASE("each set and reset of an event is a separate round") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    const auto comes_again = [&](char name) -> task<> {
      for (int i = 0; i < 3; ++i) co_await note(door, log, name);
    };
    const fiber<> a = spawn(comes_again, 'a'), b = spawn(comes_again, 'b');
    for (int i = 0; i < 3; ++i) {
      co_await sleep(1ms);
      door.set();
      door.reset();
      log += '|';
    }
    co_await b.join();
    CHECK(a.done());
    CHECK(log == "|a+b+|a+b+|a+b+");
  });
}

// Many

namespace {

task<> count(event& on, std::size_t& woken) {
  co_await on.wait();
  ++woken;
}

}  // namespace

TEST_CASE("set wakes many fibers a slice each turn, in order, and none that come later") {
  run_scripted([](scripted_engine& engine) -> task<> {
    constexpr std::size_t many = 1000;
    event door;
    std::size_t woken = 0;
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i != many; ++i) all.push_back(spawn(count(door, woken)));
    co_await yield();
    const std::size_t waits = engine.waits();
    door.set();
    door.reset();
    std::size_t late_woken = 0;
    const fiber<> late = spawn(count(door, late_woken));
    std::size_t most = 0;
    for (std::size_t before = 0; woken != many; before = woken) {
      co_await sleep(0s);  // the next turn
      CHECK(woken > before);
      most = std::max(most, woken - before);
    }
    CHECK(most <= 512);
    CHECK(engine.waits() - waits >= 3);
    for (const fiber<>& one : all) CHECK(one.done());
    CHECK(late_woken == 0);
    door.set();
    co_await late.join();
  });
}

TEST_CASE("an event that is destroyed after set has woken all its fibers, however many") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<event> door(std::in_place);
    std::size_t woken = 0;
    std::vector<fiber<>> all;
    for (int i = 0; i != 1000; ++i) all.push_back(spawn(count(*door, woken)));
    co_await yield();
    door->set();
    door.reset();
    co_await joinall(all);
    CHECK(woken == 1000);
  });
}

TEST_CASE("success wins for the fibers that set has not woken yet") {
  run_scripted([](scripted_engine& engine) -> task<> {
    event door;
    std::string log;
    std::size_t woken = 0;
    std::vector<fiber<>> all;
    for (int i = 0; i != 600; ++i) all.push_back(spawn(count(door, woken)));
    all.push_back(spawn(note(door, log, 't', 5ms)));
    all.push_back(spawn(note(door, log, 'k')));
    co_await yield();
    door.set();
    engine.advance(10'000'000);  // the limit passes
    all.back().request_kill();
    co_await joinall(all);
    CHECK(woken == 600);
    CHECK(log == "k+t+");
  });
}

TEST_CASE("a part of a select() leaves the fibers that set has not woken yet") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    event other;
    std::size_t woken = 0;
    std::vector<fiber<>> all;
    for (int i = 0; i != 600; ++i) all.push_back(spawn(count(door, woken)));
    const auto selects = [](event& one, event& two) -> task<std::size_t> {
      const auto first = co_await select(one.wait(), two.wait());
      co_return first.index();
    };
    const fiber<std::size_t> part = spawn(selects, std::ref(door), std::ref(other));
    co_await yield();
    door.set();
    other.set();
    co_await part.join();
    CHECK(part.value() == 1);
    co_await joinall(all);
    CHECK(woken == 600);
  });
}

// Limits

// rows: W10 EV-01 TH-08 TM-06
TEST_CASE("a wait whose limit has passed succeeds only if the event is set") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const std::chrono::steady_clock::time_point past{};
    event door;
    CHECK_FALSE(co_await door.wait(0s));
    CHECK_FALSE(co_await door.wait(-1s));
    CHECK_FALSE(co_await door.wait(past));
    door.set();
    CHECK(co_await door.wait(0s));
    CHECK(co_await door.wait(past));
    CHECK(co_await door.wait(forever));
    CHECK(engine.now() == begin);
    door.reset();
    CHECK_FALSE(co_await door.wait(3ms));
    CHECK(engine.now() == begin + 3'000'000);
    CHECK_FALSE(co_await door.wait(std::chrono::steady_clock::time_point(5ms + 1s)));
    CHECK(engine.now() == begin + 5'000'000);
  });
}

// rows: EV-01 TH-08
TEST_CASE("success wins: a set in the turn in which the limit is due comes first") {
  run_scripted([](scripted_engine& engine) -> task<> {
    event door;
    std::string log;
    const fiber<> waiter = spawn(note(door, log, 'a', 5ms));
    co_await yield();
    engine.advance(5'000'000);
    door.set();
    door.reset();
    co_await waiter.join();
    CHECK(log == "a+");
  });
}

// rows: EV-01 TH-08
TEST_CASE("a set after the limit was reported is too late") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    const fiber<> setter = spawn([&]() -> task<> {
      co_await sleep(5ms);
      door.set();
    });
    const fiber<> waiter = spawn(note(door, log, 'a', 5ms));
    co_await waiter.join();
    CHECK(log == "a-");
    CHECK(door.is_set());
    co_await setter.join();
  });
}

// rows: EV-01 TH-08
TEST_CASE("a fiber that gives up leaves the rest in order") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c', 'd', 'e'}) {
      all.push_back(spawn(note(door, log, name, name == 'c' ? time_limit(1ms) : forever)));
    }
    co_await yield();
    co_await all[0].kill();
    co_await all[4].kill();
    co_await all[2].join();
    door.set();
    co_await all[3].join();
    CHECK(log == "c-b+d+");
    CHECK(all[0].result() == outcome::cancelled);
    CHECK(all[4].result() == outcome::cancelled);
  });
}

// Kills

// rows: EV-01 TH-08
TEST_CASE("the first of a kill and a set in the same turn takes effect") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    const fiber<> waiter = spawn([&]() -> task<> {
      const bool came = co_await door.wait();
      log += came ? "came" : "late";
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("set, then killed: the wait succeeds, and the kill comes with the next wait") {
      door.set();
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log == "came");
    }
    SUBCASE("killed, then set") {
      waiter.request_kill();
      door.set();
      co_await waiter.join();
      CHECK(log.empty());
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

// rows: EV-01 TH-08
TEST_CASE("the first of a cancelled scope and a set in the same turn takes effect") {
  run_scripted([](scripted_engine& engine) -> task<> {
    event door;
    std::string log;
    const fiber<> waiter = spawn([&]() -> task<> {
      const bool in_time = co_await move_on_after(5ms, note(door, log, 'a'));
      log += in_time ? "in time" : "moved on";
    });
    co_await yield();
    SUBCASE("set in the turn that ends with the deadline") {
      engine.advance(5'000'000);
      door.set();
      co_await waiter.join();
      CHECK(log == "a+in time");
    }
    SUBCASE("set in the turn after") {
      co_await sleep(5ms);
      door.set();
      co_await waiter.join();
      CHECK(log == "moved on");
    }
  });
}

TEST_CASE("a pending kill is thrown although the event is set") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    door.set();
    const fiber<std::string> doomed = spawn([&]() -> task<std::string> {
      current().kill();
      co_return co_await outcome_of(passes(door));
    });
    const std::string words = co_await doomed.get();
    CHECK(words == "cancelled");
  });
}

TEST_CASE("as_result of a wait is the value that the wait returns") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    const result<bool> late = co_await as_result(door.wait(1ms));
    CHECK_FALSE(*late);
    door.set();
    const result<bool> came = co_await as_result(door.wait());
    CHECK(*came);
  });
}

TEST_CASE("a loop over an event that is set lets other fibers run") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    door.set();
    bool ran = false;
    const fiber<> other = spawn([&]() -> task<> {
      ran = true;
      co_return;
    });
    int rounds = 0;
    while (!ran) {
      co_await door.wait();
      ++rounds;
    }
    CHECK(rounds == ready_queue::budget);
  });
}

// Dump and deadlock

TEST_CASE("dump shows which event a fiber waits for") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    std::string log;
    const fiber<> waiter = spawn(note(door, log, 'a'));
    co_await yield();
    char where[32];
    std::snprintf(where, sizeof where, "event %p", static_cast<void*>(&door));
    CHECK(dump().find(where) != std::string::npos);
    door.set();
    CHECK(dump().find(where) == std::string::npos);
    co_await waiter.join();
  });
}

TEST_CASE("dump shows how many fibers wait for an event, and the most that ever did") {
  run_scripted([](scripted_engine&) -> task<> {
    event door, other;
    std::string log;
    const auto shows = [](const char* words) { return dump().find(words) != std::string::npos; };
    const fiber<> first = spawn(note(door, log, 'a'));
    const fiber<> second = spawn(note(door, log, 'b'));
    const auto either = [&]() -> task<> { (void)co_await select(door.wait(), other.wait()); };
    const fiber<> third = spawn(either());
    co_await yield();
    CHECK(shows(" with 3 waiting (at most 3)"));
    other.set();  // the select() leaves
    CHECK(shows(" with 2 waiting (at most 3)"));
    co_await third.join();
    co_await first.kill();
    CHECK(shows(" with 1 waiting (at most 3)"));
    door.set();
    door.reset();
    const fiber<> late = spawn(note(door, log, 'c'));
    co_await yield();
    CHECK(shows(" with 1 waiting (at most 3)"));
    co_await second.join();
    co_await late.kill();
  });
}

// rows: HB-03 W42
TEST_CASE("a fiber that waits alone for an event is a deadlock") {
  event door;
  const std::string words = deadlock_of([&](scripted_engine&) -> task<> { co_await passes(door); });
  CHECK(words.find("deadlock") == 0);
  CHECK(words.find("fiber 1: event 0x") != std::string::npos);
  door.set();  // it has left no trace
}

TEST_CASE("an event may be destroyed as soon as its waiters are woken") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<event> door(std::in_place);
    std::string log;
    const fiber<> a = spawn(note(*door, log, 'a')), b = spawn(note(*door, log, 'b', 1h));
    co_await yield();
    door->set();
    door.reset();
    co_await b.join();
    CHECK(log == "a+b+");
  });
}

TEST_CASE("an event that is destroyed while a fiber waits for it aborts") {
  CHECK(aborts_with("an event was destroyed while a fiber waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<event> door(std::in_place);
      const fiber<bool> waiter = spawn(passes(*door));
      co_await yield();
      door.reset();
    });
  }));
}

TEST_CASE("waking a waiter on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber was woken on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      event door;
      const fiber<bool> waiter = spawn(passes(door));
      co_await yield();
      std::thread([&] { door.set(); }).join();
    });
  }));
}

TEST_CASE("an event does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::string log(64, ' ');
      log.clear();
      event door;
      const fiber<> a = spawn(note(door, log, 'a')), b = spawn(note(door, log, 'b', 1ms)),
                    c = spawn(note(door, log, 'c'));
      const std::size_t before = allocations();
      co_await yield();
      c.request_kill();
      co_await sleep(2ms);
      door.set();
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
