// Kills that carry an exception: where it is thrown, and how the fiber ends.
//
// Method: callbacks and fibers note their steps in one string, and unhandled failures are noted,
// too. Fibers that are killed have no co_await inside a CHECK, which would swallow the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "fiber_ends.hpp"
#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("fiber_base");

// rows: GL-08 GL-09
TEST_CASE("a given exception is thrown at the wait, and is the fiber's error") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error& error) {
        log += error.what();
        throw;
      }
    });
    co_await yield();
    target.request_kill(error_of("given"));
    CHECK(target.result() == outcome::pending);
    CHECK(co_await target.join());
    CHECK(target.result() == outcome::error);
    CHECK_THROWS_WITH(co_await target.get(), "given");
    CHECK_THROWS_WITH(co_await target.get(), "given");
  };
  run_on(engine, main());
  CHECK(log == "given");
}

// row: GL-08
TEST_CASE(
    "a given exception ends any kind of wait, and is thrown in a ready fiber at its next wait") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn(sleep_long);
    const auto kill_in = [&](auto wait) -> task<> {
      const auto target = spawn([&]() -> task<> {
        co_await wait();
        log += "not here ";
      });
      co_await yield();
      const bool ended = co_await target.kill(error_of("given"));
      CHECK(ended);
      log += sentence_of(target.error()) + " ";
    };
    const auto in_sleep = [] { return sleep(1h); };
    const auto in_join = [&] { return sleeper.join(2h); };
    const auto in_get = [&] { return sleeper.get(); };
    const auto in_operation = [] { return probe(); };
    const auto in_yield = [] { return yield(); };
    co_await kill_in(in_sleep);
    co_await kill_in(in_join);
    co_await kill_in(in_get);
    co_await kill_in(in_operation);
    co_await kill_in(in_yield);
    CHECK(sleeper.result() == outcome::pending);
  };
  run_on(engine, main());
  CHECK(log == "given given given given given ");
}

// rows: W3 GL-08
TEST_CASE("a fiber killed with an exception before it began ends with it and never runs") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto life = std::make_shared<int>();
    const auto target = spawn([&, life]() -> task<int> {
      log += "not here ";
      co_return 1;
    });
    target.on_done([&](const fiber<int>& ended) { log += sentence_of(ended.error()) + " "; });
    target.request_kill(error_of("too early"));
    CHECK(co_await target.join());
    CHECK(target.result() == outcome::error);
    CHECK(life.use_count() == 1);
    CHECK_THROWS_WITH(co_await target.get(), "too early");
  };
  run_on(engine, main());
  CHECK(log == "too early ");
}

// rows: W14 GL-08
TEST_CASE("an unhandled given exception is reported, whether the fiber began or not") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(nothing).request_kill(error_of("not begun"));
    {
      const auto begun = spawn(sleep_long);
      co_await yield();
      begun.request_kill(error_of("begun"));
    }
    co_await sleep(1ms);
  };
  run_on(engine, main(), noting(log));
  CHECK(log == "[2 : not begun][3 : begun]");
}

// row: GL-08
TEST_CASE("the first kill determines the outcome of a fiber that has not begun") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto plain_first = spawn(nothing);
    plain_first.request_kill();
    plain_first.request_kill(error_of("second"));
    const auto given_first = spawn(nothing);
    given_first.request_kill(error_of("first"));
    given_first.request_kill();
    given_first.request_kill(error_of("third"));
    CHECK(co_await plain_first.join());
    CHECK(co_await given_first.join());
    CHECK(plain_first.result() == outcome::cancelled);
    CHECK(given_first.result() == outcome::error);
    CHECK_THROWS_WITH(co_await given_first.get(), "first");
  };
  run_on(engine, main());
}

// rows: W4 GL-08
TEST_CASE("kills of both kinds are thrown once each, in the order in which they were requested") {
  scripted_engine engine;
  std::string log;
  const auto kill_all = [](const fiber<>& target, std::string_view kinds) {
    for (const char kind : kinds) {
      if (kind == 'k') {
        target.request_kill();
      } else {
        target.request_kill(error_of(kind == 'a' ? "a" : "b"));
      }
    }
  };
  const auto main = [&]() -> task<> {
    const std::pair<const char*, const char*> orders[] = {
        {"kk", "cancelled cancelled slept slept slept slept "},
        {"ka", "cancelled a slept slept slept slept "},
        {"ak", "a cancelled slept slept slept slept "},
        {"ab", "a b slept slept slept slept "},
        {"kakb", "cancelled a cancelled b slept slept "},
        {"kkabkk", "cancelled cancelled a b cancelled cancelled "},
        {"akkb", "a cancelled cancelled b slept slept "},
    };
    for (const auto& [kinds, expected] : orders) {
      CAPTURE(kinds);
      log.clear();
      const auto target = spawn(note_kills, std::ref(log), 6);
      SUBCASE("all while it waits") {
        co_await yield();
        kill_all(target, kinds);
      }
      SUBCASE("half of them before its first throw, and half behind it") {
        co_await yield();
        const std::string_view all(kinds);
        kill_all(target, all.substr(0, 1));
        co_await yield();
        kill_all(target, all.substr(1));
      }
      CHECK(co_await target.join());
      CHECK(log == expected);
      CHECK(target.result() == outcome::value);
    }
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a fiber that kills itself with an exception ends with it at once") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> self;
    self = spawn([&]() -> task<> {
      log += "a";
      co_await self.kill(error_of("mine"));
      log += "not here";
    });
    co_await self.join();
    CHECK_THROWS_WITH(co_await self.get(), "mine");
    self = spawn([&]() -> task<> {
      self.request_kill(error_of("next"));
      log += "b";
      co_await sleep(1h);
      log += "not here";
    });
    co_await self.join();
    CHECK_THROWS_WITH(co_await self.get(), "next");
  };
  run_on(engine, main());
  CHECK(log == "ab");
}

// row: GL-08
TEST_CASE("a fiber that kills itself may catch the exception and continue") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    fiber<int> self;
    self = spawn([&]() -> task<int> {
      for (int i = 0; i < 200; ++i) {  // more often than the budget
        bool thrown = false;
        try {
          co_await self.kill();
        } catch (const cancelled&) {
          thrown = true;
        }
        CHECK(thrown);
      }
      co_await yield();
      co_return 3;
    });
    CHECK(co_await self.get() == 3);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a self-kill in a shield is held back: kill() returns false, and the next wait throws") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> self;
    const auto guarded = [&]() -> task<> {
      const bool ended = co_await self.kill();
      log += ended ? "ended " : "held back ";
      co_await sleep(1ms);
      const bool again = co_await self.kill(error_of("given"), 1ms);
      log += again ? "ended " : "held back ";
    };
    self = spawn([&]() -> task<> {
      co_await shield(1h, guarded());
      try {
        co_await yield();
      } catch (const cancelled&) {
        log += "cancelled ";
      }
      co_await yield();
    });
    co_await self.join();
    CHECK_THROWS_WITH(co_await self.get(), "given");
  };
  run_on(engine, main());
  CHECK(log == "held back held back cancelled ");
}

// row: GL-08
TEST_CASE("killing a fiber that has ended returns true at once, and changes nothing") {
  scripted_engine engine;
  std::string log;
  fiber<int> good;
  const auto main = [&]() -> task<> {
    good = spawn(answer);
    const auto bad = spawn(fail, "its own");
    const auto gone = spawn(nothing);
    gone.request_kill();
    co_await yield();
    good.request_kill(error_of("too late"));
    bad.request_kill(error_of("too late"));
    CHECK(co_await good.kill(error_of("too late")));
    CHECK(co_await bad.kill(error_of("too late"), 0s));
    CHECK(co_await gone.kill(error_of("too late")));
    CHECK(good.value() == 42);
    CHECK_THROWS_WITH(co_await bad.get(), "its own");
    CHECK(gone.result() == outcome::cancelled);
  };
  run_on(engine, main(), noting(log));
  CHECK(log.empty());
  good.request_kill(error_of("after the run"));
  CHECK(good.value() == 42);
}

// row: GL-09
TEST_CASE(
    "killing with a null exception is a plain kill, and a given cancelled also ends as cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto with_null = spawn(sleep_long);
    const auto with_cancelled = spawn(sleep_long);
    const auto not_begun = spawn(sleep_long);
    not_begun.request_kill(std::make_exception_ptr(cancelled()));
    co_await not_begun.join();
    CHECK(not_begun.result() == outcome::cancelled);
    with_null.request_kill(std::exception_ptr());
    CHECK(co_await with_cancelled.kill(std::make_exception_ptr(cancelled())));
    CHECK(with_null.result() == outcome::cancelled);
    CHECK(with_cancelled.result() == outcome::cancelled);
    CHECK(with_cancelled.error() == nullptr);
  };
  run_on(engine, main());
}

// row: GL-09
TEST_CASE("any type can be thrown into a fiber") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn(sleep_long);
    co_await yield();
    CHECK(co_await target.kill(std::make_exception_ptr(7)));
    CHECK(target.result() == outcome::error);
    CHECK_THROWS_AS(co_await target.get(), int);
  };
  run_on(engine, main());
}

// rows: W5 GL-08
TEST_CASE("kill returns false when its limit passes, and the fiber continues") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto stubborn = spawn([]() -> task<int> {
      bool thrown = false;
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      co_await sleep(10ms);
      co_return thrown ? 5 : 6;
    });
    co_await yield();
    const steady_ns begin = engine.now();
    CHECK_FALSE(co_await stubborn.kill(error_of("given"), 4ms));
    CHECK(engine.now() == begin + 4'000'000);
    CHECK_FALSE(stubborn.done());
    CHECK(co_await stubborn.join());
    CHECK(engine.now() == begin + 10'000'000);
    CHECK(stubborn.value() == 5);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a kill whose limit has passed still kills, and returns whether the fiber has ended") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto at_once = spawn(sleep_long);
    const auto slow = spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error&) {
      }
      co_await sleep(1ms);
    });
    co_await yield();
    CHECK(co_await at_once.kill(0s));
    CHECK_FALSE(co_await slow.kill(error_of("given"), -1h));
    CHECK(engine.now() == scripted_engine::start_time);
    co_await slow.join();
    CHECK(slow.result() == outcome::value);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a killed fiber does not get to kill another: every wait is a checkpoint") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn(sleep_long);
    const auto killer = spawn([target]() -> task<> {
      current().kill();
      co_await target.kill();
    });
    co_await killer.join();
    CHECK(killer.result() == outcome::cancelled);
    CHECK_FALSE(target.done());
    CHECK(co_await target.kill());
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("two fibers that kill and await each other both end") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    fiber<> a;
    fiber<bool> b;
    b = spawn([&]() -> task<bool> {
      bool killed = false;
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        killed = true;
      }
      const bool ended = co_await a.kill();
      co_return killed&& ended;
    });
    a = spawn([&]() -> task<> { co_await b.kill(); });
    CHECK(co_await b.get());
    CHECK(a.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("success wins over a given exception, which the next wait throws") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      const std::int32_t got = co_await probe();
      log += std::to_string(got) + " ";
      co_await yield();
      log += "not here";
    });
    co_await yield();
    engine.complete(engine.oldest(opcode::read, 7), 5);
    target.request_kill(error_of("given"));
    co_await target.join();
    CHECK_THROWS_WITH(co_await target.get(), "given");
  };
  run_on(engine, main());
  CHECK(log == "5 ");
}

// row: GL-08
TEST_CASE("a given exception passes through limits, and is rethrown unchanged") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target =
        spawn([]() -> task<> { co_await with_timeout(2ms, with_timeout(1ms, sleep_long())); });
    co_await yield();
    target.request_kill(error_of("given"));
    CHECK_THROWS_WITH(co_await target.get(), "given");
  };
  run_on(engine, main());
}

// row: GL-08
TEST_CASE("a kill with an exception on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber was killed on a thread that is not its scheduler's", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      const auto sleeper = spawn(sleep_long);
      co_await yield();
      std::thread([sleeper] { sleeper.request_kill(error_of("given")); }).join();
    };
    run_on(engine, main());
  }));
}

// row: GL-08
TEST_CASE("exceptions that were never thrown are freed with their fiber") {
  scripted_engine engine;
  const auto life = std::make_shared<int>();
  struct holding : std::runtime_error {
    explicit holding(std::shared_ptr<int> what) : runtime_error("holding"), held(std::move(what)) {}
    std::shared_ptr<int> held;
  };
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      for (int i = 0; i < 5; ++i) current().kill_with(std::make_exception_ptr(holding(life)));
      co_return;
    });
    const auto not_begun = spawn(nothing);
    for (int i = 0; i < 5; ++i) not_begun.request_kill(std::make_exception_ptr(holding(life)));
    co_await target.join();
    co_await not_begun.join();
    CHECK(target.result() == outcome::value);
    CHECK(not_begun.error() != nullptr);
    CHECK(life.use_count() > 1);
  };
  run_on(engine, main());
  CHECK(life.use_count() == 1);
}

TEST_SUITE_END();
