// fiber_set: members join and leave by themselves, and are joined or killed together.
//
// Method: the scripted engine's clock moves only when every fiber sleeps. Fibers that are killed
// have no co_await inside a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <optional>
#include <source_location>
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

namespace {

// Notes each `cancelled` and continues, `times` times.
task<> swallow(std::string& log, int times) {
  for (int i = 0; i < times; ++i) {
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      log += 'x';
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("fiber_set");

// Members

// row: PO-01
TEST_CASE("spawned fibers are members until they end") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    CHECK(all.empty());
    const fiber<> a = all.spawn(sleep_for, 1ms);
    const fiber<int> b = all.spawn(value_after(2ms, 5));
    const fiber<> c = all.spawn(fail_after, 3ms, "on purpose");
    CHECK(all.size() == 3);
    CHECK(all.contains(a));
    CHECK(all.contains(b));
    co_await a.join();
    CHECK_FALSE(all.contains(a));
    CHECK(all.size() == 2);
    co_await b.join();
    co_await c.join();
    CHECK(all.empty());
    CHECK(b.value() == 5);
    CHECK(text_of(c.error()) == "on purpose");
  });
}

// row: PO-01
TEST_CASE("add adds a fiber once, and ignores one that has ended") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    const fiber<> a = spawn(sleep_for, 1ms);
    all.add(a);
    all.add(a);
    CHECK(all.size() == 1);
    co_await a.join();
    CHECK(all.empty());
    all.add(a);
    CHECK(all.empty());
    CHECK(co_await all.join(0s));
  });
}

// row: PO-01
TEST_CASE("a discarded fiber continues, and join no longer waits for it") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    const fiber<> left = all.spawn(sleep_for, 5ms);
    all.spawn(sleep_for, 2ms);
    CHECK(all.discard(left));
    CHECK_FALSE(all.discard(left));
    CHECK_FALSE(all.contains(left));
    CHECK(co_await all.join());
    CHECK(engine.now() == begin + 2'000'000);
    CHECK_FALSE(left.done());
    co_await left.join();
    CHECK(left.result() == outcome::value);
    const fiber<> other = spawn(sleep_for, 1ms);
    CHECK_FALSE(all.discard(other));
    const fiber<> forgotten = all.spawn(sleep_for, 1ms);
    all.add(other);
    all.clear();
    CHECK(all.empty());
    co_await forgotten.join();
    CHECK(other.result() == outcome::value);
  });
}

TEST_CASE("a fiber may be a member of several fiber_sets") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set one, other;
    const fiber<> shared = one.spawn(sleep_for, 1ms);
    other.add(shared);
    CHECK(co_await one.join());
    CHECK(other.empty());
  });
}

TEST_CASE("destroying a fiber_set does not affect its fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<fiber_set> all(std::in_place);
    const fiber<> a = all->spawn(sleep_for, 1ms);
    all.reset();
    CHECK_FALSE(a.done());
    co_await a.join();
    CHECK(a.result() == outcome::value);
  });
}

TEST_CASE("a fiber_set keeps no fiber that has ended, whose failure is reported then") {
  std::vector<std::string> reports;
  run_scripted(
      [&](scripted_engine&) -> task<> {
        fiber_set all;
        all.spawn(fail_after, 1ms, "unseen");
        CHECK(co_await all.join());
        CHECK(reports == std::vector<std::string>{"unseen"});
      },
      collecting(reports));
}

TEST_CASE("callables and arguments are kept for the fiber, and its spawn site is recorded") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    std::string log;
    const auto note = [&](const std::string& a, int b, std::unique_ptr<int> c) -> task<> {
      co_await yield();
      log += a + std::to_string(b + *c);
    };
    all.spawn(note, std::string("x"), 1, std::make_unique<int>(2));
    const auto here = std::source_location::current();
    const fiber<> made = all.spawn(sleep_for, 1ms);
    CHECK(made.state().spawned_at().line() == here.line() + 1);
    const auto six = [](int, int, int, int, int, int) -> task<> { co_return; };
    const auto line = std::source_location::current().line();
    CHECK(all.spawn(six, 1, 2, 3, 4, 5, 6).state().spawned_at().line() == line + 1);
    CHECK(co_await all.join());
    CHECK(log == "x3");
  });
}

// join

// row: W24
TEST_CASE("join waits until no member is left, including members added while it waits") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    all.spawn([&]() -> task<> {
      co_await sleep(2ms);
      all.spawn(sleep_for, 3ms);
    });
    CHECK(co_await all.join());
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(all.empty());
  });
}

// row: W24
TEST_CASE("join ends when the fiber_set was empty once, even if fibers were added since") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    const fiber<> last = all.spawn(sleep_for, 1ms);
    last.on_done([&] { all.spawn(sleep_for, 5ms); });
    CHECK(co_await all.join());
    CHECK(engine.now() == begin + 1'000'000);
    CHECK(all.size() == 1);
    CHECK(co_await all.join());
  });
}

TEST_CASE("join is true at once on an empty fiber_set, and false when its limit passes") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    CHECK(co_await all.join());
    CHECK(co_await all.join(0s));
    CHECK(co_await all.join(-1s));
    const fiber<> slow = all.spawn(sleep_for, 5ms);
    CHECK_FALSE(co_await all.join(0s));
    CHECK_FALSE(co_await all.join(2ms));
    CHECK(engine.now() == begin + 2'000'000);
    CHECK(all.contains(slow));
    CHECK(co_await all.join(1h));
    CHECK(engine.now() == begin + 5'000'000);
  });
}

TEST_CASE("several joins wait in order, and end when the last member ends or is discarded") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    std::string log;
    const fiber<> member = all.spawn(sleep_for, 1ms);
    const auto joiner = [&](char name) -> task<> {
      co_await all.join();
      log += name;
    };
    std::vector<fiber<>> joiners;
    for (const char name : {'a', 'b', 'c'}) joiners.push_back(spawn(joiner, name));
    SUBCASE("the member ends") { co_await sleep(2ms); }
    SUBCASE("the member is discarded") {
      co_await yield();
      all.discard(member);
      co_await yield();
      CHECK_FALSE(member.done());
    }
    SUBCASE("the fiber_set is cleared") {
      co_await yield();
      all.clear();
      co_await yield();
    }
    SUBCASE("one of the joins is killed beforehand") {
      co_await yield();
      co_await joiners[1].kill();
      log += '-';
      co_await member.join();
      co_await yield();
      CHECK(log == "-ac");
      log = "abc";
    }
    CHECK(log == "abc");
    co_await member.join();
  });
}

TEST_CASE("join does not throw errors of members, and is a checkpoint") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    const fiber<> failing = all.spawn(fail_after, 1ms, "not thrown");
    CHECK(co_await all.join());
    CHECK(failing.error() != nullptr);
    bool went_on = false;
    const fiber<> killed = spawn([&]() -> task<> {
      current().kill();
      co_await all.join();
      went_on = true;
    });
    co_await killed.join();
    CHECK_FALSE(went_on);
  });
}

// kill

// row: PO-01
TEST_CASE("kill ends all members, and members that have not begun never run") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    bool ran = false;
    std::vector<fiber<>> members;
    for (int i = 0; i < 3; ++i) members.push_back(all.spawn(sleep_for, 1h));
    co_await yield();
    members.push_back(all.spawn([&]() -> task<> {
      ran = true;
      co_return;
    }));
    CHECK(co_await all.kill());
    CHECK(all.empty());
    CHECK_FALSE(ran);
    for (const fiber<>& one : members) CHECK(one.result() == outcome::cancelled);
    CHECK(engine.now() == begin);
  });
}

// row: W4
TEST_CASE("kill throws at each member once, even if it is called twice") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    std::string log;
    all.spawn([&]() -> task<> {
      co_await swallow(log, 1);
      co_await sleep(5ms);
      log += " slept";
    });
    co_await yield();
    SUBCASE("one after the other") {
      CHECK_FALSE(co_await all.kill(1ms));
      CHECK(co_await all.kill());
    }
    SUBCASE("at the same time") {
      const fiber<bool> other = spawn([&]() -> task<bool> { co_return co_await all.kill(); });
      CHECK(co_await all.kill());
      CHECK(co_await other.get());
    }
    CHECK(log == "x slept");
  });
}

// row: W4
TEST_CASE("kill also ends members that are added while it waits") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    bool ran = false;
    std::string log;
    const fiber<> outside = spawn(swallow, std::ref(log), 1);
    all.spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        all.spawn([&]() -> task<> {
          ran = true;
          co_return;
        });
        all.add(outside);
      }
    });
    co_await yield();
    CHECK(co_await all.kill());
    CHECK_FALSE(ran);
    CHECK(log == "x");
    CHECK(outside.result() == outcome::value);
    const fiber<> later = all.spawn(sleep_for, 1ms);  // the kill is over
    CHECK(co_await all.join());
    CHECK(later.result() == outcome::value);
    CHECK(engine.now() == begin + 1'000'000);
  });
}

TEST_CASE("kill with an exception also ends members that are added while it waits") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    fiber<> late;
    const auto error = std::make_exception_ptr(std::runtime_error("given"));
    const fiber<> member = all.spawn([&]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const std::runtime_error&) {
        late = all.spawn(sleep_for, 1h);
        throw;
      }
    });
    const fiber<> unstarted = all.spawn(sleep_for, 1h);
    co_await member.join(1ms);
    CHECK(co_await all.kill(error));
    CHECK(text_of(member.error()) == "given");
    CHECK(text_of(unstarted.error()) == "given");
    CHECK(text_of(late.error()) == "given");
    // The exception does not affect the next kill.
    const fiber<> other = all.spawn(sleep_for, 1h);
    CHECK(co_await all.kill());
    CHECK(other.result() == outcome::cancelled);
  });
}

TEST_CASE("kill is true at once on an empty fiber_set, and false when its limit passes") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    fiber_set all;
    CHECK(co_await all.kill());
    CHECK(co_await all.kill(0s));
    std::string log;
    const fiber<> stubborn = all.spawn([&]() -> task<> {
      co_await swallow(log, 1);
      co_await sleep(5ms);
    });
    co_await yield();
    CHECK_FALSE(co_await all.kill(2ms));
    CHECK(engine.now() == begin + 2'000'000);
    CHECK(all.contains(stubborn));
    CHECK(co_await all.join());
  });
}

TEST_CASE("a member that kills its fiber_set is killed itself, at once") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    std::string log;
    const fiber<> killer = all.spawn([&]() -> task<> {
      try {
        co_await all.kill();
        log += "continued";
      } catch (const cancelled&) {
        log += "killed";
        throw;
      }
    });
    const fiber<> other = all.spawn(sleep_for, 1h);
    CHECK(co_await all.join());
    CHECK(log == "killed");
    CHECK(killer.result() == outcome::cancelled);
    CHECK(other.result() == outcome::cancelled);
  });
}

TEST_CASE("a fiber that kills a fiber_set can be killed, and the members still end") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    std::string log;
    const fiber<> stubborn = all.spawn([&]() -> task<> {
      co_await swallow(log, 1);
      co_await sleep(5ms);
    });
    co_await yield();
    const fiber<> killer = spawn([&]() -> task<> { co_await all.kill(); });
    co_await yield();
    co_await killer.kill();
    CHECK(killer.result() == outcome::cancelled);
    CHECK_FALSE(stubborn.done());
    const fiber<> later = all.spawn(sleep_for, 1ms);  // no fiber is killing any longer
    CHECK(co_await all.join());
    CHECK(log == "x");
    CHECK(later.result() == outcome::value);
  });
}

TEST_CASE("members are killed in the order in which they were added") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    std::vector<int> ended, expected;
    const auto member = [&](int number) -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        ended.push_back(number);
      }
    };
    for (int i = 0; i < 100; ++i) {
      all.spawn(member, i);
      expected.push_back(i);
    }
    co_await yield();
    CHECK(co_await all.kill());
    CHECK(ended == expected);
  });
}

// Dump, allocation and misuse

TEST_CASE("dump shows which fiber waits for a fiber_set, and for how many fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    all.spawn(sleep_for, 1ms);
    all.spawn(sleep_for, 1ms);
    const fiber<> joiner = spawn([&]() -> task<> { co_await all.join(); });
    co_await yield();
    CHECK(dump().find("fiber 4: end of a fiber_set of 2 fibers") != std::string::npos);
    co_await joiner.join();
  });
}

TEST_CASE("the end of a member, a kill, and waking a join do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber_set all;
    for (int round = 0; round < 2; ++round) {  // the first run fills the frame pool
      for (int i = 0; i < 20; ++i) all.spawn(sleep_for, 1h);
      const fiber<bool> joiner = spawn([&]() -> task<bool> { co_return co_await all.join(1h); });
      co_await yield();
      const std::size_t before = allocations();
      auto killing = all.kill(1h);
      if (round == 1) CHECK(allocations() == before);
      co_await std::move(killing);
      CHECK(co_await joiner.get());
    }
    // The exceptions thrown at the members are allocated on the heap; a member that returns
    // allocates nothing.
    const fiber<> quick = all.spawn(sleep_for, 1ms);
    const fiber<bool> joiner = spawn([&]() -> task<bool> { co_return co_await all.join(1h); });
    co_await yield();
    const std::size_t before = allocations();
    co_await quick.join();
    CHECK(co_await joiner.get());
    CHECK(all.empty());
    CHECK(allocations() == before);
  });
}

TEST_CASE("destroying a fiber_set while a fiber joins it aborts") {
  CHECK(aborts_with("a fiber_set was destroyed while a fiber joined it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<fiber_set> all(std::in_place);
      all->spawn(sleep_for, 1h);
      spawn([&]() -> task<> { co_await all->join(); });
      co_await yield();
      all.reset();
    });
  }));
}

TEST_CASE("adding a fiber of another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber of another thread's scheduler was added to a fiber_set", [] {
    run_scripted([](scripted_engine&) -> task<> {
      const fiber<> mine = spawn(sleep_for, 1h);
      std::thread([&] {
        run_scripted([&](scripted_engine&) -> task<> {
          fiber_set all;
          all.add(mine);
          co_return;
        });
      }).join();
      co_return;
    });
  }));
}

TEST_SUITE_END();
