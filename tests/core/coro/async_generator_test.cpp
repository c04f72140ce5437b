// async_generator<Y>: what next() returns, its place in the await chain, how it ends, what aborts.
//
// Method: bare contexts and waits that end when the test says so (support/chain.hpp).
// stack_growth_test.cpp shows that calls of next() do not grow the stack.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/async_generator.hpp>
#include <ringlet/error.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/chain.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("async_generator");

namespace {

async_generator<int> count_to(int last) {
  for (int i = 1; i <= last; ++i) {
    co_await yield_wait();
    co_yield i;
  }
}
async_generator<int> ready_to(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
}
async_generator<int> wait_once(std::string& log) {
  try {
    co_await manual_wait();
  } catch (...) {
    log += "unwound ";
    throw;
  }
  co_yield 7;
}

task<std::vector<int>> all_of(async_generator<int>& values) {
  std::vector<int> all;
  while (auto value = co_await values.next()) all.push_back(*value);
  co_return all;
}
task<std::vector<int>> all_of(async_generator<int>&& values) {
  auto kept = std::move(values);
  co_return co_await all_of(kept);
}

}  // namespace

// row: GN-07
TEST_CASE("next returns each value, then an empty optional at every call") {
  run_alone([]() -> task<> {
    auto values = count_to(2);
    const auto first = co_await values.next();
    const auto second = co_await values.next();
    CHECK(first == 1);
    CHECK(second == 2);
    for (int i = 0; i < 3; ++i) {
      const auto none = co_await values.next();
      CHECK_FALSE(none);
    }
  }());
}

// row: GN-07
TEST_CASE("the body waits like any call of its consumer, and other contexts run") {
  ready_queue queue;
  std::string order;
  const auto consume = [](std::string& text, char name) -> task<> {
    auto values = count_to(2);
    while (auto value = co_await values.next()) text += name + std::to_string(*value);
  };
  chain<> a(queue, consume(order, 'a'));
  chain<> b(queue, consume(order, 'b'));
  run_ready(queue);
  CHECK(order == "a1b1a2b2");
}

TEST_CASE("ready values arrive without giving other contexts a turn") {
  ready_queue queue;
  std::string order;
  const auto consume = [](std::string& text, char name) -> task<> {
    auto values = ready_to(2);
    while (auto value = co_await values.next()) text += name + std::to_string(*value);
  };
  chain<> a(queue, consume(order, 'a'));
  chain<> b(queue, consume(order, 'b'));
  run_ready(queue);
  CHECK(order == "a1a2b1b2");
}

TEST_CASE("the body may await tasks and other generators") {
  const auto sums = []() -> async_generator<int> {
    const auto add = [](int one, int other) -> task<int> {
      co_await yield_wait();
      co_return one + other;
    };
    int sum = 0;
    auto values = count_to(3);
    while (auto value = co_await values.next()) {
      sum = co_await add(sum, *value);
      co_yield sum;
    }
  };
  CHECK(run_alone(all_of(sums())) == std::vector{1, 3, 6});
}

TEST_CASE("the body runs when a value is awaited, not before") {
  bool ran = false;
  run_alone([](bool& flag) -> task<> {
    auto values = [](bool& to) -> async_generator<int> {
      to = true;
      co_yield 1;
    }(flag);
    { [[maybe_unused]] const auto unawaited = values.next(); }
    co_await yield_wait();
    CHECK_FALSE(flag);
    co_await values.next();
    CHECK(flag);
  }(ran));
}

TEST_CASE(
    "the consumer owns each value: it is made once, moved once, and no later call changes it") {
  life_count lives;
  run_alone([](life_count& of) -> task<> {
    auto values = [](life_count& all) -> async_generator<counted> {
      for (int i = 0; i < 3; ++i) {
        co_await yield_wait();
        co_yield counted(all, i);
      }
    }(of);
    const auto first = co_await values.next();
    CHECK(of.made == 2);
    const auto second = co_await values.next();
    CHECK(first->value() == 0);
    CHECK(second->value() == 1);
  }(lives));
  CHECK(lives.alive() == 0);
}

TEST_CASE("a yielded lvalue is copied, and the body's own object is unchanged") {
  life_count lives;
  run_alone([](life_count& of) -> task<> {
    auto values = [](life_count& all) -> async_generator<counted> {
      const counted kept(all, 7);
      for (int i = 0; i < 2; ++i) {
        co_yield kept;
        CHECK(kept.value() == 7);
      }
    }(of);
    while (auto value = co_await values.next()) {
      CHECK(value->value() == 7);
      CHECK(of.alive() == 3);
    }
    CHECK(of.alive() == 0);
  }(lives));
}

TEST_CASE("values that can only be moved can be yielded") {
  const int sum = run_alone([]() -> task<int> {
    auto values = []() -> async_generator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(3);
      auto second = std::make_unique<int>(4);
      co_yield std::move(second);
    }();
    int total = 0;
    while (auto value = co_await values.next()) total += **value;
    co_return total;
  }());
  CHECK(sum == 7);
}

TEST_CASE("an async_generator can be moved but not copied") {
  CHECK(std::is_nothrow_move_constructible_v<async_generator<int>>);
  CHECK(std::is_nothrow_move_assignable_v<async_generator<int>>);
  CHECK_FALSE(std::is_copy_constructible_v<async_generator<int>>);
  run_alone([]() -> task<> {
    auto first = count_to(3);
    co_await first.next();
    auto second = std::move(first);
    first = std::move(second);
    const auto value = co_await first.next();
    CHECK(value == 2);
    first = ready_to(1);
    const auto other = co_await first.next();
    CHECK(other == 1);
  }());
}

TEST_CASE("a generator may be handed to another fiber between two values") {
  ready_queue queue;
  auto values = count_to(3);
  chain<int> a(
      queue, [](async_generator<int>& of) -> task<int> { co_return *co_await of.next(); }(values));
  run_ready(queue);
  chain<std::vector<int>> b(queue, all_of(values));
  run_ready(queue);
  CHECK(a.take() == 1);
  CHECK(b.take() == std::vector{2, 3});
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("async_generator: the chain");

namespace {

int line_of_wait = 0;
int line_of_next = 0;

async_generator<int> waiting() {
  co_yield 1;
  line_of_wait = __LINE__ + 1;
  co_await manual_wait();
}
task<> consumer() {
  auto values = waiting();
  co_await values.next();
  line_of_next = __LINE__ + 1;
  co_await values.next();
}

}  // namespace

TEST_CASE("the await chain of a wait in a generator leads through the generator to its consumer") {
  ready_queue queue;
  chain<> one(queue, consumer());
  run_ready(queue);
  const frame_record* innermost = one.current_wait().at;
  REQUIRE(innermost != nullptr);
  CHECK(innermost->chain == &one);
  CHECK(static_cast<int>(innermost->site.line()) == line_of_wait);
  CHECK(std::string(innermost->site.function_name()).find("waiting") != std::string::npos);
  const frame_record* caller = innermost->parent;
  REQUIRE(caller != nullptr);
  CHECK(static_cast<int>(caller->site.line()) == line_of_next);
  CHECK(std::string(caller->site.function_name()).find("consumer") != std::string::npos);
  CHECK(caller->parent == nullptr);
  manual_wait::end(one);
  run_ready(queue);
  CHECK(one.done());
}

TEST_CASE("a kill at a wait in a generator unwinds the generator, then the consumer") {
  ready_queue queue;
  std::string log;
  chain<> one(queue, [](std::string& text) -> task<> {
    auto values = wait_once(text);
    try {
      co_await values.next();
    } catch (const cancelled&) {
      text += "consumer";
      throw;
    }
  }(log));
  run_ready(queue);
  CHECK(manual_wait::is_in(one));
  one.kill();
  run_ready(queue);
  CHECK(log == "unwound consumer");
  CHECK_THROWS_AS(one.take(), cancelled);
}

TEST_CASE("an interrupted next ends the generator") {
  ready_queue queue;
  std::string log;
  chain<> one(queue, [](std::string& text) -> task<> {
    auto values = wait_once(text);
    try {
      co_await values.next();
    } catch (const cancelled&) {
    }
    const auto none = co_await values.next();
    CHECK_FALSE(none);
  }(log));
  run_ready(queue);
  one.kill();
  run_ready(queue);
  one.take();
  CHECK(log == "unwound ");
}

TEST_CASE("a kill between two values is thrown at the next wait, in the generator or outside") {
  ready_queue queue;
  std::vector<int> seen;
  chain<> one(queue, [](std::vector<int>& to) -> task<> {
    auto values = []() -> async_generator<int> {
      co_yield 1;
      co_yield 2;
      co_await manual_wait();
    }();
    while (auto value = co_await values.next()) {
      to.push_back(*value);
      if (*value == 1) co_await yield_wait();
    }
  }(seen));
  queue.set_stack_base(__builtin_frame_address(0));
  queue.resume(queue.first());
  CHECK(seen == std::vector{1});
  one.kill();
  run_ready(queue);
  CHECK(seen == std::vector{1, 2});
  CHECK_THROWS_AS(one.take(), cancelled);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("async_generator: ends");

TEST_CASE("an exception in the body is thrown by next and ends the generator") {
  run_alone([]() -> task<> {
    auto values = []() -> async_generator<int> {
      co_yield 1;
      co_await yield_wait();
      throw std::runtime_error("no more");
    }();
    co_await values.next();
    bool caught = false;
    try {
      co_await values.next();
    } catch (const std::runtime_error& error) {
      caught = std::string(error.what()) == "no more";
    }
    CHECK(caught);
    const auto none = co_await values.next();
    CHECK_FALSE(none);
  }());
}

TEST_CASE("as_result of next returns system errors and lets other exceptions pass") {
  run_alone([]() -> task<> {
    auto values = []() -> async_generator<int> {
      co_yield 1;
      throw std::system_error(make_error_code(std::errc::connection_reset));
    }();
    const auto one = co_await as_result(values.next());
    CHECK(**one == 1);
    const auto error = co_await as_result(values.next());
    CHECK(error.error() == std::errc::connection_reset);
    const auto none = co_await as_result(values.next());
    CHECK(none.has_value());
    CHECK_FALSE(*none);
    auto other = []() -> async_generator<int> {
      throw 7;
      co_yield 1;
    }();
    bool caught = false;
    try {
      static_cast<void>(co_await as_result(other.next()));
    } catch (int) {
      caught = true;
    }
    CHECK(caught);
  }());
}

TEST_CASE("an async_generator dropped at a co_yield destroys its locals and arguments") {
  life_count lives;
  run_alone([](life_count& of) -> task<> {
    {
      auto values = [](counted argument) -> async_generator<int> {
        const counted local = argument;
        co_await yield_wait();
        co_yield local.value();
        FAIL_CHECK("the body ran further than asked");
      }(counted(of, 7));
      const auto value = co_await values.next();
      CHECK(value == 7);
      CHECK(of.alive() == 2);
    }
    CHECK(of.alive() == 0);
    co_await yield_wait();
  }(lives));
}

TEST_CASE(
    "an async_generator that is never asked for a value does not run, and destroys its arguments") {
  life_count lives;
  {
    const auto unused = [](counted) -> async_generator<int> {
      FAIL_CHECK("the body ran without being asked");
      co_yield 1;
    }(counted(lives));
    CHECK(lives.alive() == 1);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("a consumer killed between two values destroys the generator") {
  ready_queue queue;
  life_count lives;
  chain<> one(queue, [](life_count& of) -> task<> {
    auto values = [](counted held) -> async_generator<int> {
      for (;;) co_yield held.value();
    }(counted(of));
    while (co_await values.next()) co_await manual_wait();
  }(lives));
  run_ready(queue);
  CHECK(lives.alive() == 1);
  one.kill();
  run_ready(queue);
  CHECK_THROWS_AS(one.take(), cancelled);
  CHECK(lives.alive() == 0);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("async_generator: broken rules");

// row: GN-06
TEST_CASE("awaiting the next value twice at once aborts and says so") {
  CHECK(aborts_with("the next value of an async_generator was awaited while it was running", [] {
    ready_queue queue;
    std::string log;
    auto values = wait_once(log);
    const auto next = [](async_generator<int>& of) -> task<> { co_await of.next(); };
    chain<> a(queue, next(values));
    chain<> b(queue, next(values));
    run_ready(queue);
  }));
}

// row: GN-06
TEST_CASE("awaiting the next value in the body itself aborts and says so") {
  CHECK(aborts_with("the next value of an async_generator was awaited while it was running", [] {
    run_alone([]() -> task<> {
      async_generator<int>* self = nullptr;
      auto values = [](async_generator<int>*& own) -> async_generator<int> {
        co_await own->next();
        co_yield 1;
      }(self);
      self = &values;
      co_await values.next();
    }());
  }));
}

TEST_CASE("destroying a generator while its next value is awaited aborts and says so") {
  CHECK(aborts_with("an async_generator was destroyed while its next value was awaited", [] {
    ready_queue queue;
    std::string log;
    auto values = std::make_unique<async_generator<int>>(wait_once(log));
    chain<> one(queue, [](async_generator<int>& of) -> task<> { co_await of.next(); }(*values));
    run_ready(queue);
    values.reset();
  }));
}

TEST_CASE("using an empty async_generator aborts and says so") {
  CHECK(aborts_with("an empty async_generator (moved from) was used", [] {
    run_alone([]() -> task<> {
      auto first = ready_to(1);
      const auto second = std::move(first);
      co_await first.next();
    }());
  }));
}

TEST_SUITE_END();
