// task<T>: what a call returns, when it runs, how its errors propagate, and what aborts.
//
// stack_growth_test.cpp tests how deep and how often calls may nest.
// SPDX-License-Identifier: MIT
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/chain.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("task");

namespace {

task<int> seven() { co_return 7; }
task<> set(bool& flag) {
  flag = true;
  co_return;
}

// Larger than the frame pool serves, and aligned as the standard allows.
struct large {
  std::array<char, 40'000> bytes{};
};

// Has no default constructor and can be neither copied nor assigned.
struct stubborn {
  explicit stubborn(int number) : value(number) {}
  stubborn(stubborn&& other) noexcept : value(std::exchange(other.value, 0)) {}
  stubborn& operator=(stubborn&&) = delete;
  int value;
};

}  // namespace

TEST_CASE("a task returns the value of its call") {
  CHECK(run_alone(seven()) == 7);
  CHECK(run_alone([]() -> task<int> { co_return co_await seven() + co_await seven(); }()) == 14);
}

TEST_CASE("a task<void> runs to its end") {
  bool ran = false;
  run_alone(set(ran));
  CHECK(ran);
}

TEST_CASE("a task returns a value that can only be moved") {
  auto made = run_alone([]() -> task<std::unique_ptr<int>> {
    co_return co_await []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); }();
  }());
  CHECK(*made == 7);
}

TEST_CASE("a value needs no default constructor, no copy and no assignment") {
  CHECK(run_alone([]() -> task<stubborn> { co_return stubborn(7); }()).value == 7);
}

TEST_CASE("a return value is constructed from the operand of co_return") {
  CHECK(run_alone([]() -> task<std::string> { co_return "abc"; }()) == "abc");
}

TEST_CASE("a task returns a reference to the same object") {
  int target = 7;
  const auto refer = [](int& to) -> task<int&> { co_return to; };
  int& found = run_alone([](auto call, int& to) -> task<int&> {
    int& inner = co_await call(to);
    inner = 8;
    co_return inner;
  }(refer, target));
  CHECK(&found == &target);
  CHECK(target == 8);
}

TEST_CASE("a value is destroyed once, wherever it was stored") {
  life_count lives;
  run_alone([](life_count& counts) -> task<> {
    const auto make = [](life_count& of) -> task<counted> { co_return counted(of, 7); };
    for (int i = 0; i < 10; ++i) {
      const counted kept = co_await make(counts);
      CHECK(kept.value() == 7);
    }
  }(lives));
  CHECK(lives.made >= 10);
  CHECK(lives.alive() == 0);
}

TEST_CASE("a value that was not taken is destroyed with its task") {
  life_count lives;
  {
    ready_queue queue;
    chain<counted> one(queue,
                       [](life_count& of) -> task<counted> { co_return counted(of); }(lives));
    run_ready(queue);
    CHECK(lives.alive() == 1);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("a frame may be larger than the pool serves") {
  const auto fill = [](char letter) -> task<char> {
    large much;
    much.bytes.fill(letter);
    co_await yield_wait();
    co_return much.bytes.back();
  };
  CHECK(run_alone(fill('x')) == 'x');
  CHECK(run_alone(fill('y')) == 'y');
}

TEST_CASE("a task that is never awaited does not run, and destroys its arguments") {
  bool ran = false;
  life_count lives;
  {
    const auto call = [](bool& flag, counted) -> task<> {
      flag = true;
      co_return;
    }(ran, counted(lives));
    static_cast<void>(call);
    CHECK(lives.alive() == 1);
  }
  CHECK_FALSE(ran);
  CHECK(lives.alive() == 0);
}

TEST_CASE("a task runs when it is awaited, not before") {
  std::string order;
  run_alone([](std::string& text) -> task<> {
    const auto write = [](std::string& to, char letter) -> task<> {
      to += letter;
      co_return;
    };
    task<> second = write(text, '2');
    task<> first = write(text, '1');
    co_await first;
    co_await std::move(second);
    text += '3';
  }(order));
  CHECK(order == "123");
}

TEST_CASE("a moved task is the same call") {
  bool ran = false;
  task<> first = set(ran);
  task<> second = std::move(first);
  first = std::move(second);
  run_alone(std::move(first));
  CHECK(ran);
}

TEST_CASE("assigning destroys the task that was held before, without running it") {
  bool dropped = false, ran = false;
  task<> call = set(dropped);
  call = set(ran);
  run_alone(std::move(call));
  CHECK_FALSE(dropped);
  CHECK(ran);
}

TEST_CASE("awaiting a task that ends at once does not yield, and awaiting one that waits does") {
  ready_queue queue;
  std::string order;
  const auto body = [](std::string& text, char letter, bool waits) -> task<> {
    text += letter;
    if (waits) co_await yield_wait();
    co_await seven();
    text += letter;
  };
  chain<> a(queue, body(order, 'a', false));
  chain<> b(queue, body(order, 'b', true));
  chain<> c(queue, body(order, 'c', false));
  run_ready(queue);
  CHECK(order == "aabccb");
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("task: errors");

namespace {

task<int> throw_below(int levels, counted alive) {
  if (levels == 0) throw std::runtime_error("from below");
  co_return co_await throw_below(levels - 1, alive) + alive.value();
}

}  // namespace

TEST_CASE("an exception is thrown where the task is awaited, and can be caught there") {
  const bool caught = run_alone([]() -> task<bool> {
    bool seen = false;
    try {
      co_await []() -> task<> {
        throw std::runtime_error("inner");
        co_return;
      }();
    } catch (const std::runtime_error& error) {
      seen = std::string(error.what()) == "inner";
    }
    co_return seen&& co_await seven() == 7;
  }());
  CHECK(caught);
}

TEST_CASE("an exception passes through a thousand calls, and every local is destroyed once") {
  life_count lives;
  CHECK_THROWS_WITH_AS(run_alone(throw_below(1000, counted(lives))), "from below",
                       std::runtime_error);
  CHECK(lives.made >= 2001);
  CHECK(lives.alive() == 0);
}

TEST_CASE("tasks of every result type throw their exceptions") {
  CHECK_THROWS_AS(run_alone([]() -> task<> {
                    throw 7;
                    co_return;
                  }()),
                  int);
  CHECK_THROWS_AS(static_cast<void>(run_alone([]() -> task<int&> {
                    throw 7;
                    static int never;
                    co_return never;
                  }())),
                  int);
}

TEST_CASE("an exception after a wait is thrown in the same way") {
  CHECK_THROWS_AS(run_alone([]() -> task<> {
                    co_await yield_wait();
                    throw std::logic_error("late");
                  }()),
                  std::logic_error);
}

TEST_CASE("an exception from the return value's constructor is the task's exception") {
  struct explosive {
    explicit explosive(int) { throw std::runtime_error("made of glass"); }
    explosive(explosive&&) = default;
  };
  CHECK_THROWS_AS(static_cast<void>(run_alone([]() -> task<explosive> { co_return 7; }())),
                  std::runtime_error);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("task: broken rules");

TEST_CASE("awaiting a task twice aborts and says so") {
  CHECK(aborts_with("a task was awaited or spawned twice", [] {
    run_alone([]() -> task<> {
      task<int> call = seven();
      co_await call;
      co_await call;
    }());
  }));
}

TEST_CASE("awaiting an empty task aborts and says so") {
  CHECK(aborts_with("an empty task (moved from) was awaited or spawned", [] {
    run_alone([]() -> task<> {
      task<int> call = seven();
      [[maybe_unused]] task<int> other = std::move(call);
      co_await call;
    }());
  }));
}

TEST_CASE("destroying a task while it is suspended aborts and says so") {
  CHECK(aborts_with("a task was destroyed while it was suspended", [] {
    ready_queue queue;
    chain<> one(queue, []() -> task<> { co_await manual_wait(); }());
    run_ready(queue);
  }));
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("task: chains of calls");

namespace {

int line_of_wait = 0;
int line_of_call = 0;

task<> inner_call() {
  line_of_wait = __LINE__ + 1;
  co_await manual_wait();
}
task<> outer_call() {
  co_await seven();
  line_of_call = __LINE__ + 1;
  co_await inner_call();
}

}  // namespace

TEST_CASE("a suspended chain shows each caller, and the line on which each caller awaits") {
  ready_queue queue;
  chain<> one(queue, outer_call());
  run_ready(queue);
  const frame_record* innermost = one.current_wait().at;
  REQUIRE(innermost != nullptr);
  CHECK(innermost->chain == &one);
  CHECK(static_cast<int>(innermost->site.line()) == line_of_wait);
  CHECK(std::string(innermost->site.file_name()).find("task_test.cpp") != std::string::npos);
  CHECK(std::string(innermost->site.function_name()).find("inner_call") != std::string::npos);
  const frame_record* caller = innermost->parent;
  REQUIRE(caller != nullptr);
  CHECK(caller->chain == &one);
  CHECK(static_cast<int>(caller->site.line()) == line_of_call);
  CHECK(std::string(caller->site.function_name()).find("outer_call") != std::string::npos);
  CHECK(caller->parent == nullptr);
  manual_wait::end(one);
  run_ready(queue);
}

TEST_CASE("a task can be moved but not copied, and its result type is known at compile time") {
  CHECK(std::is_same_v<task<int>::value_type, int>);
  CHECK(std::is_same_v<task<>, task<void>>);
  CHECK_FALSE(std::is_copy_constructible_v<task<int>>);
  CHECK(std::is_nothrow_move_constructible_v<task<int>>);
  CHECK(std::is_nothrow_move_assignable_v<task<int>>);
}

TEST_SUITE_END();
