// Kills: when they arrive, their effects, and what they must not take away.
//
// Method: one fiber waits, and the main fiber kills it in each phase of that wait. On the scripted
// engine the phases do not depend on time. Fibers that are killed have no co_await inside a CHECK,
// which would swallow the exception.
// SPDX-License-Identifier: MIT
#include <ringlet/blocking.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> nothing() { co_return; }

// A wait as a task, so that one case can cover all waits.
using any_wait = std::function<task<>()>;

// Notes the outcome of the wait, and then of the next one.
task<> wait_twice(std::string& log, any_wait wait) {
  for (int i = 0; i < 2; ++i) {
    try {
      co_await wait();
      log += "done ";
    } catch (const cancelled&) {
      log += "cancelled ";
    }
  }
}

// The waits that last until the test ends them.
struct long_wait {
  const char* name;
  any_wait wait;
};

std::vector<long_wait> long_waits(const fiber<int>& sleeper) {
  return {
      {"sleep", []() -> task<> { co_await sleep(1h); }},
      {"sleep forever", []() -> task<> { co_await sleep(std::chrono::hours::max()); }},
      {"join", [sleeper]() -> task<> { co_await sleeper.join(); }},
      {"join with a limit", [sleeper]() -> task<> { co_await sleeper.join(2h); }},
      {"get", [sleeper]() -> task<> { co_await sleeper.get(); }},
      {"operation", []() -> task<> { co_await probe(); }},
      {"operation with a limit", []() -> task<> { co_await probe(7, 2h); }},
  };
}

task<int> sleep_for_days() {
  co_await sleep(240h);
  co_return 1;
}

struct noted_end {
  std::string& log;
  char name;
  ~noted_end() { log += name; }
};

}  // namespace

TEST_SUITE_BEGIN("fiber kill");

TEST_CASE("cancelled is not a std::exception, so that error handlers let it pass") {
  static_assert(!std::is_base_of_v<std::exception, cancelled>);
}

// Before it began

TEST_CASE("a fiber that is killed before it began never runs, and its arguments are destroyed") {
  scripted_engine engine;
  const auto life = std::make_shared<int>();
  bool ran = false;
  const auto body = [&ran](std::shared_ptr<int>) -> task<> {
    ran = true;
    co_return;
  };
  const auto main = [&]() -> task<> {
    const auto with_arguments = spawn(body, life);
    const auto made_task = spawn(body(life));
    CHECK(life.use_count() == 3);
    with_arguments.request_kill();
    made_task.request_kill();
    CHECK(co_await with_arguments.join());
    CHECK(co_await made_task.join());
    CHECK(with_arguments.result() == outcome::cancelled);
    CHECK(with_arguments.error() == nullptr);
    CHECK(life.use_count() == 1);
  };
  run_on(engine, main());
  CHECK_FALSE(ran);
}

TEST_CASE("two kills of a fiber that has not begun count as one") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto killed = spawn(nothing);
    killed.request_kill();
    CHECK(co_await killed.kill());
    CHECK(killed.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// While it waits

TEST_CASE("a kill ends every kind of wait at once, and the next wait is unaffected") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn(sleep_for_days);
    const steady_ns begin = engine.now();
    for (const long_wait& each : long_waits(sleeper)) {
      CAPTURE(each.name);
      std::string log;
      const auto waiting = spawn(wait_twice, std::ref(log), each.wait);
      co_await yield();
      waiting.request_kill();
      // The second wait begins after the first has ended, and lasts.
      while (log.empty()) co_await yield();
      for (int i = 0; i < 3; ++i) co_await yield();
      CHECK(log == "cancelled ");
      co_await waiting.kill();
      CHECK(log == "cancelled cancelled ");
      CHECK(waiting.result() == outcome::value);
      CHECK(engine.now() == begin);
    }
  };
  run_on(engine, main());
}

TEST_CASE("a kill is thrown at a yield") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto yielding = spawn(wait_twice, std::ref(log), [&]() -> task<> { co_await yield(); });
    co_await yield();
    yielding.request_kill();
    co_await yielding.join();
  };
  run_on(engine, main());
  CHECK(log == "cancelled done ");
}

TEST_CASE("a killed fiber unwinds its whole chain of calls, the innermost first") {
  scripted_engine engine;
  std::string log;
  const auto inner = [&]() -> task<> {
    const noted_end end{log, 'c'};
    co_await sleep(1h);
    log += "not here";
  };
  const auto middle = [&]() -> task<> {
    const noted_end end{log, 'b'};
    co_await inner();
    log += "not here";
  };
  const auto outer = [&]() -> task<> {
    const noted_end end{log, 'a'};
    co_await middle();
    log += "not here";
  };
  const auto main = [&]() -> task<> {
    const auto killed = spawn(outer);
    co_await yield();
    co_await killed.kill();
  };
  run_on(engine, main());
  CHECK(log == "cba");
}

// After the wait was completed

TEST_CASE("success wins: an operation that had completed before the kill returns its result") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto victim = spawn(wait_twice, std::ref(log), []() -> task<> {
      const auto got = co_await probe(7);
      CHECK(got == 5);
    });
    co_await yield();
    SUBCASE("completed, but not yet delivered by the engine") {
      engine.complete(engine.oldest(opcode::read, 7), 5);
    }
    SUBCASE("delivered, but the fiber has not been resumed") {
      // Both arrive together, and this fiber is resumed first.
      engine.on_idle = [&] {
        engine.complete(engine.oldest(opcode::read, 8), 0);
        engine.complete(engine.oldest(opcode::read, 7), 5);
        return true;
      };
      co_await probe(8);
      engine.on_idle = nullptr;
    }
    victim.request_kill();
    co_await victim.join();
  };
  run_on(engine, main());
  CHECK(log == "done cancelled ");
}

TEST_CASE("success wins: a sleeper that is due and killed in the same turn has slept") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> victim;
    // Armed first, so it is woken first.
    const auto killer = spawn([&]() -> task<> {
      co_await sleep(1ms);
      victim.request_kill();
    });
    victim = spawn(wait_twice, std::ref(log), []() -> task<> { co_await sleep(1ms); });
    co_await victim.join();
    co_await killer.join();
  };
  run_on(engine, main());
  CHECK(log == "done cancelled ");
}

TEST_CASE("success wins: join and get of a fiber that had ended before the kill succeed") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> victim;
    const auto target = spawn([&]() -> task<int> {
      co_await yield();
      // Queued just before its end queues the victim: it finds the victim woken, not resumed.
      spawn([&]() -> task<> {
        CHECK(log.empty());
        victim.request_kill();
        co_return;
      });
      co_return 1;
    });
    any_wait wait;
    SUBCASE("join") {
      wait = [=]() -> task<> {
        const bool ended = co_await target.join(1h);
        CHECK(ended);
      };
    }
    SUBCASE("get") {
      wait = [=]() -> task<> {
        const int value = co_await target.get();
        CHECK(value == 1);
      };
    }
    victim = spawn(wait_twice, std::ref(log), wait);
    co_await victim.join();
  };
  run_on(engine, main());
  CHECK(log == "done cancelled ");
}

TEST_CASE("a kill in a fiber's last step changes nothing") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto killed = spawn([]() -> task<int> {
      co_await sleep(1ms);
      current().kill();
      co_return 5;
    });
    CHECK(co_await killed.get() == 5);
  };
  run_on(engine, main());
}

TEST_CASE("killing a fiber that has ended does nothing, even after its run") {
  fiber<int> ended;
  {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      ended = spawn([]() -> task<int> { co_return 3; });
      co_await ended.join();
      ended.request_kill();
      CHECK(co_await ended.kill());
      CHECK(co_await ended.kill(0s));
      CHECK(co_await ended.get() == 3);
    };
    run_on(engine, main());
  }
  ended.request_kill();
  CHECK(ended.result() == outcome::value);
}

// How the fiber reacts

TEST_CASE("each kill is thrown once: two kills, two throws") {
  scripted_engine engine;
  int thrown = 0;
  const auto main = [&]() -> task<> {
    const auto stubborn = spawn([&]() -> task<int> {
      for (int i = 0; i < 5; ++i) {
        try {
          co_await sleep(1ms);
        } catch (const cancelled&) {
          ++thrown;
        }
      }
      co_return 5;
    });
    co_await yield();
    stubborn.request_kill();
    stubborn.request_kill();
    CHECK(co_await stubborn.get() == 5);
  };
  run_on(engine, main());
  CHECK(thrown == 2);
}

TEST_CASE("a fiber may catch a kill and continue, and kill() then waits for its natural end") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto stubborn = spawn([]() -> task<int> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_await sleep(10ms);
      co_return 5;
    });
    co_await yield();
    const steady_ns begin = engine.now();
    CHECK_FALSE(co_await stubborn.kill(4ms));
    CHECK(engine.now() == begin + 4'000'000);
    CHECK(stubborn.result() == outcome::pending);
    CHECK(co_await stubborn.join());
    CHECK(stubborn.result() == outcome::value);
  };
  run_on(engine, main());
}

// row: JN-05
TEST_CASE("request_kill does not wait, kill does") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto first = spawn([]() -> task<> { co_await sleep(1h); });
    const auto second = spawn([]() -> task<> { co_await sleep(1h); });
    co_await yield();
    first.request_kill();
    CHECK_FALSE(first.done());
    CHECK(co_await second.kill());
    CHECK(second.done());
    CHECK(first.done());  // asked earlier, so it ended earlier
  };
  run_on(engine, main());
}

TEST_CASE("clean-up may wait, and a second kill ends that wait") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto killed = spawn([&]() -> task<> {
      bool interrupted = false;
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        interrupted = true;
      }
      CHECK(interrupted);
      co_await sleep(1ms);
      log += "cleaned ";
      co_await sleep(1h);
      log += "not here";
    });
    co_await yield();
    CHECK_FALSE(co_await killed.kill(2ms));
    CHECK(log == "cleaned ");
    CHECK(co_await killed.kill());
  };
  run_on(engine, main());
  CHECK(log == "cleaned ");
}

TEST_CASE("an error during the unwinding is the fiber's error") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto killed = spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        throw std::runtime_error("could not clean up");
      }
    });
    co_await yield();
    co_await killed.kill();
    CHECK(killed.result() == outcome::error);
    CHECK_THROWS_WITH(co_await killed.get(), "could not clean up");
  };
  run_on(engine, main());
}

TEST_CASE("a fiber that kills itself ends there, and with request_kill at its next wait") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> self;
    self = spawn([&]() -> task<> {
      log += "a";
      co_await self.kill();
      log += "not here";
    });
    co_await self.join();
    CHECK(self.result() == outcome::cancelled);
    self = spawn([&]() -> task<> {
      self.request_kill();
      log += "b";
      co_await yield();
      log += "not here";
    });
    co_await self.join();
    CHECK(self.result() == outcome::cancelled);
  };
  run_on(engine, main());
  CHECK(log == "ab");
}

TEST_CASE("awaiting a task is not a wait: a pending kill is not thrown there") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto killed = spawn([&]() -> task<> {
      current().kill();
      co_await nothing();
      log += "still here";
      co_await yield();
      log += "not here";
    });
    co_await killed.join();
  };
  run_on(engine, main());
  CHECK(log == "still here");
}

TEST_CASE("a fiber that waits for a kill can be killed, and its victim is still killed") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto stubborn = spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_await sleep(1ms);
    });
    co_await yield();
    const auto killer = spawn([=]() -> task<> { co_await stubborn.kill(); });
    co_await yield();
    CHECK(co_await killer.kill());
    CHECK(killer.result() == outcome::cancelled);
    CHECK(co_await stubborn.join());
    CHECK(stubborn.result() == outcome::value);
  };
  run_on(engine, main());
}

TEST_CASE("a kill from posted work, outside any fiber, acts like any other") {
  const auto main = []() -> task<> {
    const auto killed = spawn([]() -> task<> { co_await sleep(1h); });
    co_await yield();
    const scheduler_handle here;
    static_cast<void>(here.post([killed] { killed.request_kill(); }));
    CHECK(co_await killed.join());
    CHECK(killed.result() == outcome::cancelled);
  };
  run(main());
}

TEST_CASE("a kill on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber was killed on a thread that is not its scheduler's", [] {
    const auto main = []() -> task<> {
      const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
      co_await yield();
      std::thread([sleeper] { sleeper.request_kill(); }).join();
    };
    run(main());
  }));
}

TEST_CASE("killing allocates only the exception") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    const auto joiner = spawn([=]() -> task<> { co_await sleeper.join(1h); });
    co_await yield();
    const std::size_t before = allocations();
    sleeper.request_kill();
    joiner.request_kill();
    CHECK(allocations() == before);
    co_await sleeper.join();
    co_await joiner.join();
  };
  run_on(engine, main());
}

TEST_SUITE_END();
