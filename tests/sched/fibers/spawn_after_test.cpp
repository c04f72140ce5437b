// spawn_after and spawn_every: when fibers that were spawned for later begin, and on which grid.
//
// Method: the scripted engine's clock moves only when every fiber sleeps, or when a test moves it
// to simulate a long computation. Times are noted in milliseconds since the beginning.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawn_after.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr steady_ns millisecond = 1'000'000;

// The milliseconds since the engine's creation, and a blank.
std::string time_of(scripted_engine& engine) {
  return std::to_string((engine.now() - scripted_engine::start_time) / millisecond) + " ";
}

task<> note_time(std::string& log, scripted_engine& engine) {
  log += time_of(engine);
  co_return;
}

std::chrono::steady_clock::time_point at(scripted_engine& engine, std::chrono::nanoseconds later) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(engine.now()) + later);
}

template <class Time>
concept is_period = requires(Time time) {
  spawn_every(
      time, +[]() -> task<> { co_return; });
};
static_assert(is_period<std::chrono::milliseconds> && is_period<spawn_time>);
static_assert(!is_period<std::chrono::steady_clock::time_point>);
static_assert(!is_period<std::chrono::time_point<std::chrono::steady_clock, std::chrono::seconds>>);

}  // namespace

TEST_SUITE_BEGIN("spawn_after");

// spawn_after

// row: GL-02
TEST_CASE("spawn_after calls its function after the given time, counted from the call") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto three = spawn_after(3ms, note_time, std::ref(log), std::ref(engine));
    const auto one = spawn_after(1ms, note_time, std::ref(log), std::ref(engine));
    CHECK_FALSE(three.done());
    engine.advance(2 * millisecond);  // this fiber computes
    log += "computed ";
    co_await three.join();
    CHECK(one.done());
  };
  run_on(engine, main());
  CHECK(log == "computed 2 3 ");
}

// row: GL-02
TEST_CASE(
    "the time may be a point in time, and zero or less begins in the next turn, not at once") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto later = spawn_after(at(engine, 5ms), note_time, std::ref(log), std::ref(engine));
    const auto zero = spawn_after(0s, note_time, std::ref(log), std::ref(engine));
    const auto below = spawn_after(-1h, note_time, std::ref(log), std::ref(engine));
    const auto past = spawn_after(std::chrono::steady_clock::time_point(), note_time, std::ref(log),
                                  std::ref(engine));
    co_await yield();
    CHECK(log.empty());
    co_await past.join();
    CHECK(zero.done());
    CHECK(below.done());
    log += "main ";
    co_await later.join();
  };
  run_on(engine, main());
  CHECK(log == "0 0 0 main 5 ");
}

// row: GL-02
TEST_CASE("fibers that are due at the same time begin in spawn order") {
  scripted_engine engine;
  std::string log;
  const auto note = [&log](char name) -> task<> {
    log += name;
    co_return;
  };
  const auto main = [&]() -> task<> {
    fiber<> last;
    for (const char name : {'a', 'b', 'c'}) last = spawn_after(1ms, note, name);
    co_await last.join();
    co_await sleep(0s);
  };
  run_on(engine, main());
  CHECK(log == "abc");
}

// row: GL-02
TEST_CASE("the fiber of spawn_after has the task's value, or its failure") {
  scripted_engine engine;
  const auto add = [](std::unique_ptr<int> a, int b) -> task<std::unique_ptr<int>> {
    co_await yield();
    *a += b;
    co_return a;
  };
  const auto fail = []() -> task<int> {
    throw std::runtime_error("late");
    co_return 0;
  };
  const auto refuse = [](int) -> task<> { throw std::runtime_error("no task"); };
  const auto main = [&]() -> task<> {
    auto sum = spawn_after(1ms, add, std::make_unique<int>(40), 2);
    const std::unique_ptr<int> got = co_await std::move(sum).get();
    CHECK(*got == 42);
    const auto failing = spawn_after(1ms, fail);
    CHECK_THROWS_WITH(co_await failing.get(), "late");
    const auto refusing = spawn_after(1ms, refuse, 1);
    CHECK_THROWS_WITH(co_await refusing.get(), "no task");
  };
  run_on(engine, main());
}

// row: GL-02
TEST_CASE("a capturing lambda and arguments live until the call has ended") {
  scripted_engine engine;
  std::string log;
  const auto life = std::make_shared<int>();
  const auto main = [&]() -> task<> {
    fiber<> spawned;
    {
      const auto body = [&log, life](const std::string& word) -> task<> {
        co_await sleep(1ms);
        log += word;
      };
      spawned = spawn_after(1ms, body, std::string(100, 'x'));
    }
    CHECK(life.use_count() == 2);
    co_await spawned.join();
    CHECK(life.use_count() == 1);
  };
  run_on(engine, main());
  CHECK(log == std::string(100, 'x'));
}

// rows: W3 GL-02
TEST_CASE("a fiber that is killed before its time never calls its function, and ends at once") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto life = std::make_shared<int>();
    const auto body = [&log, life]() -> task<> {
      log += "not here ";
      co_return;
    };
    const auto not_begun = spawn_after(1ms, body);
    const auto asleep = spawn_after(1ms, body);
    const auto given = spawn_after(1ms, body);
    for (const auto& each : {not_begun, asleep, given}) {
      each.on_done([&](const fiber<>&) { log += time_of(engine); });
    }
    SUBCASE("before the fiber has begun to sleep") {}
    SUBCASE("while the fiber sleeps") { co_await yield(); }
    not_begun.request_kill();
    given.request_kill(std::make_exception_ptr(std::runtime_error("given")));
    CHECK(co_await asleep.kill());
    CHECK(co_await given.join());
    CHECK(not_begun.result() == outcome::cancelled);
    CHECK(asleep.result() == outcome::cancelled);
    CHECK_THROWS_WITH(co_await given.get(), "given");
    CHECK(life.use_count() == 2);  // the body's
    co_await sleep(5ms);
  };
  run_on(engine, main());
  CHECK(log == "0 0 0 ");
}

// row: GL-02
TEST_CASE("a fiber spawned for later ends with the main task, and does not delay its end") {
  scripted_engine engine;
  std::string log;
  fiber<> later;
  const auto main = [&]() -> task<> {
    later = spawn_after(1h, note_time, std::ref(log), std::ref(engine));
    co_await yield();
  };
  run_on(engine, main());
  CHECK(later.result() == outcome::cancelled);
  CHECK(engine.now() == scripted_engine::start_time);
  CHECK(log.empty());
}

// row: GL-02
TEST_CASE("a fiber that is spawned after forever waits until it is killed") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto never_begun =
        spawn_after(std::chrono::hours::max(), note_time, std::ref(log), std::ref(engine));
    CHECK_FALSE(co_await never_begun.join(240h));
    CHECK(co_await never_begun.kill());
  };
  run_on(engine, main());
  CHECK(log.empty());
}

// rows: GL-13 GL-14
TEST_CASE("the spawn site of spawn_after is recorded, and dump shows that the fiber sleeps") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto body = [](int) -> task<> { co_return; };
    const auto line = std::source_location::current().line();
    const auto later = spawn_after(5ms, body, 1);
    const auto often = spawn_every(7ms, body, 1);
    CHECK(later.state().spawned_at().line() == line + 1);
    CHECK(often.state().spawned_at().line() == line + 2);
    const std::string_view file = later.state().spawned_at().file_name();
    CHECK(file.ends_with("spawn_after_test.cpp"));
    CHECK(later.state().parent_id() == 1);
    co_await sleep(2ms);
    const std::string text = dump();
    CHECK(text.find("fiber 2: sleep, for 0.002 s, 0.003 s left\n") != text.npos);
    CHECK(text.find("fiber 3: sleep, for 0.002 s, 0.005 s left\n") != text.npos);
    CHECK(text.find("call_after") != text.npos);
    co_await later.join();
    co_await often.kill();
  };
  run_on(engine, main());
}

// spawn_every

// row: GL-02
TEST_CASE("spawn_every calls once per period, for the first time after one period") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto often = spawn_every(10ms, note_time, std::ref(log), std::ref(engine));
    CHECK_FALSE(co_await often.join(45ms));
    CHECK(co_await often.kill());
    CHECK(often.result() == outcome::cancelled);
    co_await sleep(30ms);
  };
  run_on(engine, main());
  CHECK(log == "10 20 30 40 ");
}

// row: GL-02
TEST_CASE("the periods of spawn_every count from the call, whenever the fiber begins") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto often = spawn_every(10ms, note_time, std::ref(log), std::ref(engine));
    engine.advance(3 * millisecond);  // this fiber computes before the other one begins
    CHECK_FALSE(co_await often.join(22ms));
    co_await often.kill();
  };
  run_on(engine, main());
  CHECK(log == "10 20 ");
}

// row: GL-02
TEST_CASE("slow calls do not shift the grid, and missed ticks are skipped") {
  scripted_engine engine;
  std::string log;
  int calls = 0;
  // The duration of each call, in milliseconds.
  const auto run_calls = [&](std::vector<int> lengths, std::chrono::milliseconds end,
                             auto pass_time) {
    const auto main = [&]() -> task<> {
      const auto call = [&]() -> task<> {
        log += time_of(engine);
        const std::size_t number = static_cast<std::size_t>(calls++);
        if (number < lengths.size()) co_await pass_time(lengths[number]);
      };
      const auto often = spawn_every(10ms, call);
      co_await often.join(end);
      co_await often.kill();
    };
    run_on(engine, main());
  };
  const auto sleeping = [](int time) -> task<> { co_await sleep(std::chrono::milliseconds(time)); };
  const auto computing = [&](int time) -> task<> {
    engine.advance(time * millisecond);
    co_return;
  };
  SUBCASE("shorter than a period") {
    run_calls({3, 9, 1}, 45ms, sleeping);
    CHECK(log == "10 20 30 40 ");
  }
  SUBCASE("as long as a period: the next one is due, and was not missed") {
    run_calls({10, 10}, 45ms, sleeping);
    CHECK(log == "10 20 30 40 ");
  }
  SUBCASE("longer than a period") {
    run_calls({12}, 55ms, sleeping);
    CHECK(log == "10 30 40 50 ");
  }
  SUBCASE("longer than two periods, and not on the grid") {
    run_calls({25}, 65ms, sleeping);
    CHECK(log == "10 40 50 60 ");
  }
  SUBCASE("as long as three periods") {
    run_calls({30}, 65ms, sleeping);
    CHECK(log == "10 40 50 60 ");
  }
  SUBCASE("without waiting") {
    run_calls({25, 1, 31}, 125ms, computing);
    CHECK(log == "10 40 50 90 100 110 120 ");
  }
}

// row: GL-02
TEST_CASE("the same copies of function and arguments serve all calls") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto count = [&log](std::unique_ptr<int>& number) -> task<> {
      log += std::to_string(++*number);
      co_return;
    };
    const auto often = spawn_every(1ms, count, std::make_unique<int>(0));
    co_await often.join(3500us);
    co_await often.kill();
    const auto changing = spawn_every(1ms, [&log, calls = 0]() mutable -> task<> {
      log += static_cast<char>('a' + calls++);
      co_return;
    });
    co_await changing.join(2500us);
    co_await changing.kill();
  };
  run_on(engine, main());
  CHECK(log == "123ab");
}

// row: GL-02
TEST_CASE("a failure ends spawn_every, and becomes the fiber's error") {
  scripted_engine engine;
  int calls = 0;
  const auto main = [&]() -> task<> {
    const auto fail_third = [&]() -> task<> {
      if (++calls == 3) throw std::runtime_error("third");
      co_return;
    };
    const auto often = spawn_every(1ms, fail_third);
    CHECK_THROWS_WITH(co_await often.get(), "third");
    CHECK(engine.now() == scripted_engine::start_time + 3 * millisecond);
    co_await sleep(5ms);
    calls = 10;
    const auto refuse = [&]() -> task<> { throw std::runtime_error("no task"); };
    const auto refusing = spawn_every(1ms, refuse);
    CHECK_THROWS_WITH(co_await refusing.get(), "no task");
  };
  run_on(engine, main());
  CHECK(calls == 10);
}

// rows: W3 GL-02
TEST_CASE("spawn_every can be killed before it begins, between calls and during one") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto call = [&]() -> task<> {
      log += "in ";
      co_await sleep(5ms);
      log += "out ";
    };
    const auto often = spawn_every(10ms, call);
    SUBCASE("before it begins") {
      CHECK(co_await often.kill());
      CHECK(log.empty());
    }
    SUBCASE("before the first call") {
      co_await sleep(5ms);
      CHECK(co_await often.kill());
      CHECK(log.empty());
    }
    SUBCASE("during a call") {
      co_await sleep(22ms);
      CHECK(co_await often.kill());
      CHECK(log == "in out in ");
    }
    SUBCASE("between calls") {
      co_await sleep(18ms);
      CHECK(co_await often.kill());
      CHECK(log == "in out ");
    }
    SUBCASE("by the call itself") {
      fiber<> self;
      const auto kill_itself = [&]() -> task<> {
        log += "once ";
        self.request_kill();
        co_return;
      };
      self = spawn_every(1ms, kill_itself);
      co_await self.join();
      CHECK(log == "once ");
      co_await often.kill();
    }
    CHECK(often.result() == outcome::cancelled);
  };
  run_on(engine, main());
}

// row: GL-02
TEST_CASE("a call that catches its kill is followed by the next one") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto stubborn = [&]() -> task<> {
      try {
        co_await sleep(5ms);
        log += "slept ";
      } catch (const cancelled&) {
        log += "cancelled ";
      }
    };
    const auto often = spawn_every(10ms, stubborn);
    co_await sleep(12ms);
    CHECK_FALSE(co_await often.kill(15ms));
    CHECK(co_await often.kill());
  };
  run_on(engine, main());
  CHECK(log == "cancelled slept ");
}

// row: GL-02
TEST_CASE("an infinite period never elapses, and the longest finite one does not overflow") {
  for (const spawn_time period :
       {spawn_time(std::chrono::hours::max()), spawn_time(std::chrono::nanoseconds::max()),
        spawn_time(std::chrono::nanoseconds(4'500'000'000'000'000'000))}) {
    scripted_engine engine;
    std::string log;
    const auto main = [&]() -> task<> {
      const auto off = spawn_every(period, note_time, std::ref(log), std::ref(engine));
      co_await sleep(24h);
      CHECK_FALSE(off.done());
      co_await off.kill();
      CHECK(off.result() == outcome::cancelled);
    };
    run_on(engine, main());
    CHECK(log.empty());
  }
}

// row: GL-02
TEST_CASE("a period that is not above zero aborts at the call") {
  constexpr auto sentence = "spawn_every() needs a period above zero";
  const auto with_period = [](spawn_time period) {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto nothing = []() -> task<> { co_return; };
      spawn_every(period, nothing);
      std::abort();  // without the message
      co_return;
    };
    run_on(engine, main());
  };
  CHECK(aborts_with(sentence, [&] { with_period(0s); }));
  CHECK(aborts_with(sentence, [&] { with_period(-1ms); }));
}

// row: GL-02
TEST_CASE("waiting for a tick does not allocate") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    int calls = 0;
    const auto count = [&]() -> task<> {
      ++calls;
      co_return;
    };
    const auto often = spawn_every(1ms, count);
    co_await often.join(2500us);
    const std::size_t before = allocations();
    co_await often.join(10ms);
    CHECK(allocations() == before);
    CHECK(calls == 12);
    co_await often.kill();
    CHECK(allocations() == before);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
