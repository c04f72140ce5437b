// barrier: who is released in which round, what the action may do, and what breaks a barrier.
//
// Method: "in the same tick" means that no fiber has run between the two. In fibers that are killed
// no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/barrier.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>
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

static_assert(!selectable<barrier::arrival>);

// Notes its name, and its index or how its wait ended.
task<> note(barrier& at, std::string& log, char name, time_limit timeout = forever) {
  std::string end = "cancelled";
  try {
    const result<std::size_t> index = co_await as_result(at.arrive_and_wait(timeout));
    end = index                                   ? std::to_string(*index)
          : index.error() == errc::broken_barrier ? "broken"
          : index.error() == errc::timed_out      ? "late"
                                                  : index.error().message();
  } catch (const std::runtime_error& error) {
    end = error.what();
  } catch (const cancelled&) {
  }
  log += name;
  log += end + ' ';
}

}  // namespace

TEST_SUITE_BEGIN("barrier");

// row: TH-09
TEST_CASE("a barrier releases all fibers when the last has arrived, and gives each its index") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(3);
    CHECK(meeting.parties() == 3);
    std::string log;
    const fiber<> a = spawn(note(meeting, log, 'a')), b = spawn(note(meeting, log, 'b'));
    co_await sleep(1ms);
    CHECK(log.empty());
    CHECK(meeting.arrived() == 2);
    const std::size_t last = co_await meeting.arrive_and_wait();
    CHECK(last == 2);
    CHECK(meeting.arrived() == 0);
    CHECK(log.empty());  // the last one continues first
    co_await a.join();
    co_await b.join();
    CHECK(log == "a0 b1 ");
    CHECK_FALSE(meeting.is_broken());
  });
}

// row: TH-09
TEST_CASE("the rounds of a barrier are separate, and each index comes once in each") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t parties = 5, rounds = 50;
    random_numbers random(1);
    std::vector<std::size_t> entered(rounds), left(rounds);
    std::vector<std::vector<std::size_t>> indices(rounds);
    barrier meeting(parties);
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i < parties; ++i) {
      all.push_back(spawn([&]() -> task<> {
        for (std::size_t r = 0; r < rounds; ++r) {
          co_await sleep(std::chrono::microseconds(random.below(3)));
          ++entered[r];
          const std::size_t index = co_await meeting.arrive_and_wait();
          CHECK(entered[r] == parties);
          indices[r].push_back(index);
          ++left[r];
          if (r != 0) CHECK(left[r - 1] == parties);
        }
      }));
    }
    for (const fiber<>& one : all) co_await one.join();
    for (std::vector<std::size_t>& round : indices) {
      std::ranges::sort(round);
      CHECK(round == std::vector<std::size_t>{0, 1, 2, 3, 4});
    }
  });
}

TEST_CASE("a barrier for one never waits") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    int acted = 0;
    barrier alone(1, [&] { ++acted; });
    CHECK(co_await alone.arrive_and_wait() == 0);
    CHECK(co_await alone.arrive_and_wait(0s) == 0);
    CHECK(acted == 2);
    CHECK(engine.waits() == waits);
  });
}

TEST_CASE("a barrier for no party is refused") {
  CHECK_THROWS_WITH_AS(barrier(0), "the number of parties of a barrier is 0: it must be at least 1",
                       std::invalid_argument);
}

// The action

// row: TH-09
TEST_CASE("the last arrival calls the action before any fiber continues") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    std::optional<barrier> meeting;
    fiber_base* last = nullptr;
    meeting.emplace(3, [&] {
      log += "act" + std::to_string(meeting->arrived()) + ' ';
      last = &current();
    });
    for (int round = 0; round < 2; ++round) {
      const fiber<> a = spawn(note(*meeting, log, 'a')), b = spawn(note(*meeting, log, 'b')),
                    c = spawn(note(*meeting, log, 'c'));
      co_await a.join();
      co_await b.join();
      CHECK(last == &c.state());
    }
    CHECK(log == "act3 c2 a0 b1 act3 c2 a0 b1 ");
  });
}

// row: TH-09
TEST_CASE("an action that throws breaks the barrier, and is thrown in the last arrival") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    barrier meeting(2, [] { throw std::runtime_error("no ink"); });
    const fiber<> a = spawn(note(meeting, log, 'a')), b = spawn(note(meeting, log, 'b'));
    co_await a.join();
    co_await b.join();
    CHECK(log == "bno ink abroken ");
    CHECK(meeting.is_broken());
    CHECK(meeting.arrived() == 0);
  });
}

TEST_CASE("an action that kills a waiting fiber, or aborts, breaks the barrier for the last, too") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    fiber<> a, b;
    std::optional<barrier> meeting;
    bool kills = false;
    SUBCASE("kills") { kills = true; }
    SUBCASE("aborts") { kills = false; }
    meeting.emplace(3, [&] {
      if (kills) {
        a.request_kill();
      } else {
        meeting->abort();
      }
    });
    a = spawn(note(*meeting, log, 'a'));
    b = spawn(note(*meeting, log, 'b'));
    co_await yield();
    const result<std::size_t> last = co_await as_result(meeting->arrive_and_wait());
    CHECK(last.error() == errc::broken_barrier);
    co_await b.join();
    CHECK(log == (kills ? "acancelled bbroken " : "abroken bbroken "));
  });
}

TEST_CASE("an action that resets its barrier aborts") {
  CHECK(aborts_with("the action of a barrier called reset() of that barrier", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<barrier> meeting;
      meeting.emplace(1, [&] { meeting->reset(); });
      co_await meeting->arrive_and_wait();
    });
  }));
}

// Breaking

// row: TH-09
TEST_CASE("a limit that passes breaks the barrier until reset") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(3);
    std::string log;
    const fiber<> a = spawn(note(meeting, log, 'a')), b = spawn(note(meeting, log, 'b', 1ms));
    co_await a.join();
    CHECK(log == "blate abroken ");
    CHECK(meeting.is_broken());
    CHECK(meeting.arrived() == 0);
    std::string words;
    try {
      co_await meeting.arrive_and_wait();
    } catch (const std::system_error& error) {
      CHECK(error.code() == errc::broken_barrier);
      words = error.what();
    }
    CHECK(words == "barrier: the barrier is broken");

    meeting.reset();
    CHECK_FALSE(meeting.is_broken());
    log.clear();
    const fiber<> c = spawn(note(meeting, log, 'c')), d = spawn(note(meeting, log, 'd'));
    co_await yield();
    CHECK(co_await meeting.arrive_and_wait(0s) == 2);
    co_await d.join();
    CHECK(log == "c0 d1 ");
  });
}

TEST_CASE("the arrival whose limit passes throws timed_out") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const auto arrives = [](barrier& at, time_limit timeout) -> task<> {
      co_await at.arrive_and_wait(timeout);
    };
    for (const time_limit timeout : {time_limit(0s), time_limit(-1s), time_limit(2ms)}) {
      barrier meeting(2);
      const std::string words = co_await outcome_of(arrives(meeting, timeout));
      CHECK(words == "timed out");
      CHECK(meeting.is_broken());
    }
    CHECK(engine.now() == begin + 2'000'000);
  });
}

// row: TH-09
TEST_CASE("a fiber that is killed while it waits breaks the barrier") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(3);
    std::string log;
    const fiber<> a = spawn(note(meeting, log, 'a')), b = spawn(note(meeting, log, 'b'));
    co_await yield();
    SUBCASE("killed") { b.request_kill(); }
    SUBCASE("both are killed in the same tick: a kill takes precedence over an error") {
      b.request_kill();
      a.request_kill();
    }
    co_await a.join();
    co_await b.join();
    CHECK((log == "bcancelled abroken " || log == "bcancelled acancelled "));
    CHECK(meeting.is_broken());
  });
}

TEST_CASE("a scope that gives up breaks the barrier") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(2);
    const auto arrives = [](barrier& at) -> task<> { co_await at.arrive_and_wait(); };
    const bool in_time = co_await move_on_after(1ms, arrives(meeting));
    CHECK_FALSE(in_time);
    CHECK(meeting.is_broken());
  });
}

TEST_CASE("a fiber in which a kill is pending does not arrive") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(2);
    std::string log;
    const fiber<> doomed = spawn([&]() -> task<> {
      current().kill();
      co_await note(meeting, log, 'a');
    });
    co_await doomed.join();
    CHECK(log == "acancelled ");
    CHECK(meeting.arrived() == 0);
    CHECK_FALSE(meeting.is_broken());
  });
}

TEST_CASE("success wins: a fiber that is killed after the last arrival gets its index") {
  run_scripted([](scripted_engine& engine) -> task<> {
    barrier meeting(2);
    std::string log;
    const fiber<> a = spawn([&]() -> task<> {
      co_await note(meeting, log, 'a', 5ms);
      co_await yield();
      log += "not here";
    });
    co_await yield();
    engine.advance(5'000'000);
    CHECK(co_await meeting.arrive_and_wait() == 1);
    a.request_kill();
    co_await a.join();
    CHECK(log == "a0 ");
    CHECK(a.result() == outcome::cancelled);
    CHECK_FALSE(meeting.is_broken());
  });
}

// row: TH-09
TEST_CASE("abort breaks the barrier for the fibers that wait, and for later ones") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(3);
    std::string log;
    const fiber<> a = spawn(note(meeting, log, 'a'));
    co_await yield();
    meeting.abort();
    const fiber<> b = spawn(note(meeting, log, 'b'));
    co_await b.join();
    CHECK(log == "abroken bbroken ");
    meeting.abort();
    CHECK(meeting.is_broken());
  });
}

// row: TH-09
TEST_CASE("reset breaks the waits, and the barrier is as new") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(2);
    std::string log;
    const fiber<> a = spawn(note(meeting, log, 'a'));
    co_await yield();
    meeting.reset();
    CHECK_FALSE(meeting.is_broken());
    CHECK(meeting.arrived() == 0);
    const fiber<> b = spawn(note(meeting, log, 'b')), c = spawn(note(meeting, log, 'c'));
    co_await b.join();
    CHECK(log == "abroken c1 b0 ");
  });
}

// Claims: S6, S7.
TEST_CASE("a barrier wakes long lines in slices, and each wait keeps the end of its own round") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t parties = 1'000;
    barrier meeting(parties);
    std::vector<std::string> ends;
    std::vector<fiber<>> all;
    const auto arrive = [&](std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        all.push_back(spawn([&]() -> task<> {
          std::string log;
          co_await note(meeting, log, ' ');
          ends.push_back(log);
        }));
      }
    };
    arrive(parties - 1);
    co_await yield();
    CHECK(co_await meeting.arrive_and_wait() == parties - 1);
    all[900].request_kill();  // released, but not yet woken: success wins
    arrive(parties - 1);      // the next round, before all of the first have been woken
    co_await yield();
    CHECK(meeting.arrived() == parties - 1);
    meeting.abort();
    all[parties + 900].request_kill();  // broken, but not yet woken
    for (const fiber<>& one : all) co_await one.join();
    CHECK(ends.size() == 2 * (parties - 1));
    CHECK(std::ranges::count(ends, std::string(" broken ")) == parties - 2);
    CHECK(std::ranges::count(ends, std::string(" cancelled ")) == 1);
    for (std::size_t i = 0; i < parties - 1; ++i) {
      CHECK(std::ranges::count(ends, " " + std::to_string(i) + " ") == 1);
    }
  });
}

TEST_CASE("a limit that passes in a round that has broken before is not timed_out") {
  run_scripted([](scripted_engine& engine) -> task<> {
    barrier meeting(1'000);
    std::string log;
    std::vector<fiber<>> all;
    for (int i = 0; i < 600; ++i) {
      all.push_back(spawn(note(meeting, log, 'a', i == 599 ? time_limit(5ms) : forever)));
    }
    co_await yield();
    meeting.abort();  // wakes 256
    engine.advance(5'000'000);
    for (const fiber<>& one : all) co_await one.join();
    CHECK(log.find("late") == log.npos);
    CHECK(log.size() == 600 * std::string("abroken ").size());
  });
}

// What is seen of it, and its lifetime

TEST_CASE("dump shows which barrier a fiber waits in, and how many have arrived") {
  run_scripted([](scripted_engine&) -> task<> {
    barrier meeting(3);
    std::string log;
    const fiber<> a = spawn(note(meeting, log, 'a')), b = spawn(note(meeting, log, 'b'));
    co_await yield();
    char where[80];
    std::snprintf(where, sizeof where, "barrier %p with 2 of 3 arrived",
                  static_cast<void*>(&meeting));
    CHECK(dump().find(where) != std::string::npos);
    meeting.abort();
    co_await b.join();
  });
}

TEST_CASE("a barrier may be destroyed as soon as the last has arrived, or it has broken") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const bool breaks : {false, true}) {
      std::optional<barrier> meeting(std::in_place, 601);
      std::string log;
      std::vector<fiber<>> all;
      for (int i = 0; i < 600; ++i) all.push_back(spawn(note(*meeting, log, 'a')));
      co_await yield();
      if (breaks) {
        meeting->abort();
      } else {
        co_await meeting->arrive_and_wait();
      }
      meeting.reset();
      for (const fiber<>& one : all) co_await one.join();
      CHECK(log.ends_with(breaks ? "abroken " : "a599 "));
    }
  });
}

TEST_CASE("a barrier that is destroyed while a fiber waits in it aborts") {
  CHECK(aborts_with("a barrier was destroyed while a fiber waited in it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<barrier> meeting(std::in_place, 2);
      std::string log;
      const fiber<> waiter = spawn(note(*meeting, log, 'a'));
      co_await yield();
      meeting.reset();
    });
  }));
}

TEST_CASE("a barrier whose owner is unwound ends its waits with broken_barrier") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        std::string log;
        fiber<> waiter;
        const auto owner = [&]() -> task<> {
          barrier meeting(2);
          waiter = spawn(note(meeting, log, 'a'));
          co_await yield();
          throw std::runtime_error("owner failed");
        };
        const std::string words = co_await outcome_of(owner());
        CHECK(words == "owner failed");
        co_await waiter.join();
        CHECK(log == "abroken ");
      },
      collecting(reports));
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].find("a barrier was destroyed") == 0);
}

TEST_CASE("a barrier used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a barrier was used on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      barrier meeting(2);
      meeting.reset();
      std::thread([&] { meeting.abort(); }).join();
      co_return;
    });
  }));
}

TEST_CASE("a barrier does not allocate after it is made") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::string log(64, ' ');
      log.clear();
      barrier meeting(2, [] {});
      const fiber<> a = spawn(note(meeting, log, 'a')), b = spawn(note(meeting, log, 'b')),
                    c = spawn(note(meeting, log, 'c'));
      const std::size_t before = allocations();
      co_await yield();
      {
        const out_of_memory none;
        c.request_kill();
        meeting.reset();
      }
      co_await a.join();
      co_await b.join();
      co_await c.join();
      co_return allocations() - before;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    // The exception that kills c is made by operator new, once.
    CHECK(made <= 1);
  });
}

TEST_CASE("an action that destroys its barrier aborts, and the last arrival is named") {
  for (const std::size_t parties : {1u, 2u}) {
    CAPTURE(parties);
    const auto destroys = [&] {
      run_scripted([&](scripted_engine&) -> task<> {
        std::optional<barrier> meeting;
        meeting.emplace(parties, [&] { meeting.reset(); });
        const auto arrive = [&]() -> task<> { co_await meeting->arrive_and_wait(); };
        const fiber<> first = spawn(arrive());
        if (parties == 2) co_await arrive();
        co_await first.join();
      });
    };
    CHECK(
        aborts_with("the action of a barrier destroyed that barrier: a barrier must outlive its "
                    "rounds, so destroy it after arrive_and_wait() has returned (in fiber 2, at ",
                    destroys));
    CHECK(aborts_with("barrier_test.cpp", destroys));
  }
}

TEST_SUITE_END();
