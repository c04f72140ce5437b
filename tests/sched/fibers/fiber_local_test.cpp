// fiber_local and context_var: which fiber sees which value, and for how long.
//
// Method: the scripted engine's clock moves only when every fiber sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber_local.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/when_all.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

fiber_local<int> number;
context_var<int> request(0);
context_var<std::string> user("nobody");

task<int> seen_request() {
  co_await yield();
  co_return *request;
}

}  // namespace

TEST_SUITE_BEGIN("fiber_local");

// fiber_local

// row: LO-01
TEST_CASE("each fiber has its own value, which other fibers do not change") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    const auto count = [&](int from) -> task<> {
      CHECK(*number == 0);
      *number = from;
      for (int i = 0; i < 3; ++i) {
        co_await yield();
        log += std::to_string((*number)++) + " ";
      }
    };
    const fiber<> a = spawn(count, 10), b = spawn(count, 20);
    *number = 5;
    co_await a.join();
    co_await b.join();
    CHECK(log == "10 20 11 21 12 22 ");
    CHECK(number.get() == 5);
  });
}

// row: LO-01
TEST_CASE("new fibers begin with values of their own, however they are created") {
  run_scripted([](scripted_engine&) -> task<> {
    *number = 7;
    const auto see = []() -> task<int> { co_return *number; };
    CHECK(co_await spawn(see).get() == 0);
    const auto body = [&](task_group& group) -> task<int> {
      CHECK(*number == 7);  // the body is the caller's own
      const fiber<int> child = group.spawn(see);
      co_return co_await child.get();
    };
    CHECK(co_await with_group(body) == 0);
    const auto [one] = co_await when_all(see());
    CHECK(one == 0);
    CHECK(co_await see() == 7);
  });
}

TEST_CASE("a value is initialised by its maker at its first use in a fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    int made = 0;
    const fiber_local<std::string> name([&] { return "number " + std::to_string(++made); });
    CHECK(made == 0);
    CHECK(*name == "number 1");
    CHECK(name->size() == 8);
    CHECK(&*name == &name.get());
    const auto see = [&]() -> task<std::string> { co_return *name; };
    CHECK(co_await spawn(see).get() == "number 2");
    const auto ignore = []() -> task<> { co_return; };
    co_await spawn(ignore).join();
    CHECK(made == 2);
    const fiber_local<std::unique_ptr<int>> owner([] { return std::make_unique<int>(4); });
    CHECK(**owner == 4);
  });
}

TEST_CASE("a maker may use other variables of the fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    const fiber_local<int> base([] { return 20; });
    const fiber_local<int> derived([&] { return *base + 1; });
    CHECK(*derived == 21);
    CHECK(*base == 20);
    co_return;
  });
}

TEST_CASE("a maker that throws leaves no value, and is called again") {
  run_scripted([](scripted_engine&) -> task<> {
    int calls = 0;
    const fiber_local<int> fussy([&]() -> int {
      if (++calls == 1) throw std::runtime_error("not yet");
      return calls;
    });
    CHECK_THROWS_WITH(fussy.get(), "not yet");
    CHECK(*fussy == 2);
    co_return;
  });
}

// row: LO-01
TEST_CASE("values are destroyed at the end of their fiber, before its joins and callbacks run") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    const fiber_local<counted> value([&] { return counted(lives, 3); });
    const auto use = [&]() -> task<> {
      CHECK(value->value() == 3);
      co_await sleep(1h);
    };
    const auto use_and_fail = [&]() -> task<> {
      CHECK(value->value() == 3);
      throw std::runtime_error("expected");
      co_return;
    };
    const fiber<> killed = spawn(use), failing = spawn(use_and_fail), unstarted = spawn(use);
    unstarted.request_kill();
    int alive_when_told = -1;
    failing.on_done([&] { alive_when_told = lives.alive(); });
    co_await failing.join();
    CHECK(alive_when_told == 1);
    CHECK(lives.alive() == 1);
    CHECK(failing.error() != nullptr);
    co_await killed.kill();
    CHECK(lives.alive() == 0);
    CHECK(value->value() == 3);
  });
  CHECK(lives.alive() == 0);
}

TEST_CASE(
    "values outlive their variable, and a new variable does not see the values of an old one") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    std::optional<fiber_local<counted>> first(std::in_place, [&] { return counted(lives, 1); });
    CHECK((*first)->value() == 1);
    first.reset();
    CHECK(lives.alive() == 1);
    first.emplace([&] { return counted(lives, 2); });  // at the same address
    CHECK((*first)->value() == 2);
    CHECK(lives.alive() == 2);
    co_return;
  });
  CHECK(lives.alive() == 0);
}

TEST_CASE("references to values stay valid while other values are created") {
  run_scripted([](scripted_engine&) -> task<> {
    std::vector<std::unique_ptr<fiber_local<int>>> many;
    for (int i = 0; i < 100; ++i) many.push_back(std::make_unique<fiber_local<int>>());
    int& first = many[0]->get();
    first = 42;
    for (int i = 1; i < 100; ++i) many[static_cast<std::size_t>(i)]->get() = i;
    CHECK(&first == &many[0]->get());
    CHECK(first == 42);
    CHECK(many[57]->get() == 57);
    co_return;
  });
}

TEST_CASE("a variable may be used on several threads, and aborts outside of fibers") {
  const auto main = []() -> task<int> {
    *number += 1;
    co_await yield();
    co_return *number;
  };
  std::vector<std::thread> threads;
  std::vector<int> values(4);
  for (int& value : values) {
    threads.emplace_back([&value, &main] { value = run(main()); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(values == std::vector{1, 1, 1, 1});
  CHECK(aborts_with("outside of run()", [] { *number = 1; }));
  CHECK(aborts_with("current() was called outside of a fiber", [] {
    run_scripted([](scripted_engine&) -> task<> {
      const fiber<> ended = spawn(sleep_for, 1ms);
      ended.on_done([] { *number = 1; });
      co_await ended.join();
    });
  }));
}

// context_var

// row: LO-02
TEST_CASE("a setting holds until it is destroyed, and settings nest") {
  run_scripted([](scripted_engine&) -> task<> {
    CHECK(*request == 0);
    CHECK(*user == "nobody");
    {
      const auto one = request.set(1);
      CHECK(*request == 1);
      {
        const auto name = user.set("a");
        const auto two = request.set(2);
        co_await yield();
        CHECK(*request == 2);
        CHECK(request.get() == 2);
        CHECK(user->size() == 1);
      }
      CHECK(*request == 1);
      CHECK(*user == "nobody");
    }
    CHECK(*request == 0);
  });
}

// row: LO-02
TEST_CASE("a setting is undone by an exception, and by a kill") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto fail_inside = []() -> task<> {
      const auto one = request.set(1);
      co_await fail_after(1ms, "expected");
    };
    CHECK(co_await outcome_of(fail_inside()) == "expected");
    CHECK(*request == 0);
    int seen = -1;
    const auto killed_inside = [&]() -> task<> {
      try {
        const auto one = request.set(1);
        co_await sleep(1h);
      } catch (const cancelled&) {
        seen = *request;
        throw;
      }
    };
    const fiber<> killed = spawn(killed_inside);
    co_await yield();
    co_await killed.kill();
    CHECK(seen == 0);
  });
}

// row: W46
TEST_CASE("a new fiber sees its spawner's settings, and keeps them") {
  run_scripted([](scripted_engine&) -> task<> {
    fiber<int> child;
    {
      const auto one = request.set(1);
      child = spawn(seen_request);
      const auto two = request.set(2);
      const fiber<int> other = spawn(seen_request);
      CHECK(co_await other.get() == 2);
    }
    CHECK(*request == 0);
    CHECK(co_await child.get() == 1);
    const fiber<int> later = spawn(seen_request);
    CHECK(co_await later.get() == 0);
  });
}

// row: W46
TEST_CASE("grandchildren inherit settings, and a child's settings do not affect its spawner") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto one = request.set(1);
    const auto child = []() -> task<std::vector<int>> {
      std::vector<int> seen(1, *request);
      const fiber<int> before = spawn(seen_request);
      const auto two = request.set(2);
      const fiber<int> after = spawn(seen_request);
      co_await sleep(1ms);
      seen.push_back(co_await before.get());
      seen.push_back(co_await after.get());
      seen.push_back(*request);
      co_return seen;
    };
    const fiber<std::vector<int>> made = spawn(child);
    co_await yield();
    CHECK(*request == 1);
    const std::vector<int> seen = co_await made.get();
    CHECK(seen == std::vector{1, 1, 2, 2});
    CHECK(*request == 1);
  });
}

// row: W46
TEST_CASE("fibers of groups, pools and when_all inherit from the fiber that spawns them") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto one = request.set(1);
    const auto body = [](task_group& group) -> task<> {
      const auto two = request.set(2);
      const fiber<int> child = group.spawn(seen_request);
      const int seen = co_await child.get();
      CHECK(seen == 2);
      const auto spawn_from_inside = [](task_group& in) -> task<int> {
        const auto three = request.set(3);
        const fiber<int> grandchild = in.spawn(seen_request);
        co_return co_await grandchild.get();
      };
      const fiber<int> other = group.spawn(spawn_from_inside, std::ref(group));
      const int seen_inside = co_await other.get();
      CHECK(seen_inside == 3);
    };
    co_await with_group(body);
    const auto [a, b] = co_await when_all(seen_request(), seen_request());
    CHECK(a == 1);
    CHECK(b == 1);
    fiber_set some;
    CHECK(co_await some.spawn(seen_request).get() == 1);
    pool workers(1);
    const fiber<int> pooled = co_await workers.spawn(seen_request);
    CHECK(co_await pooled.get() == 1);
    CHECK(co_await workers.apply(seen_request) == 1);
    const auto see = [](int) -> task<int> { return seen_request(); };
    const std::vector items = {1, 2};
    const std::vector<int> mapped = co_await workers.map(items, see);
    CHECK(mapped == std::vector{1, 1});
  });
}

// row: W46
TEST_CASE(
    "a fiber spawned by a callback inherits nothing, and a callback sees no fiber's settings") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto one = request.set(1);
    const fiber<> ended = spawn(sleep_for, 1ms);
    fiber<int> spawned;
    ended.on_done([&] { spawned = spawn(seen_request); });
    co_await ended.join();
    CHECK(co_await spawned.get() == 0);
  });
  CHECK(aborts_with("current() was called outside of a fiber", [] {
    run_scripted([](scripted_engine&) -> task<> {
      const fiber<> ended = spawn(sleep_for, 1ms);
      ended.on_done([] { (void)*request; });
      co_await ended.join();
    });
  }));
}

TEST_CASE("values live as long as a fiber sees them, and are destroyed once") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    const context_var<std::shared_ptr<counted>> shared;
    CHECK(*shared == nullptr);
    fiber<> child;
    {
      const auto set = shared.set(std::make_shared<counted>(lives, 6));
      child = spawn([&]() -> task<> {
        co_await sleep(1ms);
        CHECK((*shared)->value() == 6);
      });
    }
    CHECK(lives.alive() == 1);
    int alive_when_told = -1;
    child.on_done([&] { alive_when_told = lives.alive(); });
    co_await child.join();
    CHECK(alive_when_told == 0);  // the handle does not keep it
  });
  CHECK(lives.alive() == 0);
}

TEST_CASE("settings that end out of order abort") {
  CHECK(aborts_with("settings of context variables must end in the reverse order", [] {
    run_scripted([](scripted_engine&) -> task<> {
      using setting = context_var<int>::setting;
      const auto make = [](int value) {
        return std::unique_ptr<setting>(new setting(request.set(value)));
      };
      auto first = make(1);
      auto second = make(2);
      first.reset();
      co_return;
    });
  }));
}

TEST_SUITE_END();
