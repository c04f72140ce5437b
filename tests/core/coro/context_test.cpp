// Interruptions: which one is thrown, when, how often, and in which order; scopes; the budget; and
// the ready queue.
//
// Method: bare contexts and a loop (support/chain.hpp), so the test controls every step.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/context.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/chain.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("context");

namespace {

// How a wait of the chains below ended.
using story = std::vector<std::string>;

task<> wait_and_tell(story& told) {
  try {
    co_await manual_wait();
    told.push_back("value");
  } catch (const cancelled&) {
    told.push_back("cancelled");
  } catch (const std::runtime_error& error) {
    told.push_back(error.what());
  }
}

task<> tell_waits(story& told, int count) {
  for (int i = 0; i < count; ++i) co_await wait_and_tell(told);
}

std::exception_ptr error(const char* text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

// Ends all remaining waits of a chain.
template <class T>
void finish(ready_queue& queue, chain<T>& one) {
  run_ready(queue);
  while (!one.done()) {
    manual_wait::end(one);
    run_ready(queue);
  }
}

}  // namespace

TEST_CASE("a kill ends the current wait with cancelled") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 1));
  run_ready(queue);
  CHECK(told.empty());
  one.kill();
  CHECK(told.empty());  // not before its turn
  run_ready(queue);
  CHECK(told == story{"cancelled"});
  CHECK(one.done());
}

TEST_CASE("a kill that finds no wait is thrown at the next wait") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 1));
  one.kill();  // queued, not yet started
  CHECK(one.interrupted());
  run_ready(queue);
  CHECK(told == story{"cancelled"});
}

TEST_CASE("a kill is thrown only once") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 3));
  run_ready(queue);
  one.kill();
  run_ready(queue);
  CHECK_FALSE(one.interrupted());
  finish(queue, one);
  CHECK(told == story{"cancelled", "value", "value"});
}

TEST_CASE("two kills throw twice") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 3));
  run_ready(queue);
  one.kill();
  one.kill();
  finish(queue, one);
  CHECK(told == story{"cancelled", "cancelled", "value"});
}

TEST_CASE("the cancelled of a kill names no scope") {
  ready_queue queue;
  chain<> one(queue, []() -> task<> { co_await manual_wait(); }());
  run_ready(queue);
  one.kill();
  run_ready(queue);
  try {
    one.take();
    FAIL("nothing was thrown");
  } catch (const cancelled& reason) {
    CHECK_FALSE(reason.from(nullptr));
    CHECK_FALSE(reason.from(&queue.root_scope()));
  }
}

TEST_CASE("cancelled is not a std::exception") {
  CHECK_FALSE(std::is_base_of_v<std::exception, cancelled>);
}

TEST_CASE("a given exception is thrown at the wait, once") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 2));
  run_ready(queue);
  one.interrupt_with(error("given"));
  finish(queue, one);
  CHECK(told == story{"given", "value"});
}

TEST_CASE("kills and given exceptions are thrown in the order in which they were requested") {
  const std::vector<story> orders = {{"cancelled", "first", "second"},
                                     {"first", "cancelled", "second"},
                                     {"first", "second", "cancelled"},
                                     {"cancelled", "cancelled", "first", "cancelled", "second"}};
  for (const story& order : orders) {
    ready_queue queue;
    story told;
    chain<> one(queue, tell_waits(told, static_cast<int>(order.size()) + 1));
    run_ready(queue);
    for (const std::string& step : order) {
      step == "cancelled" ? one.kill() : one.interrupt_with(error(step.c_str()));
    }
    finish(queue, one);
    story expected = order;
    expected.push_back("value");
    CHECK(told == expected);
  }
}

TEST_CASE("a given exception that was never thrown is destroyed with its context") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 0));
  run_ready(queue);
  one.interrupt_with(error("never seen"));
  one.interrupt_with(error("nor this"));
  CHECK(one.done());
}

TEST_CASE(
    "success wins: a wait that has succeeded returns, and the kill is thrown at the next one") {
  ready_queue queue;
  story told;
  chain<> one(queue, tell_waits(told, 2));
  run_ready(queue);
  manual_wait::end(one);
  one.kill();
  finish(queue, one);
  CHECK(told == story{"value", "cancelled"});
}

TEST_CASE("the current wait is known while it lasts, with its await site and start time") {
  ready_queue queue;
  queue.set_turn_time(42);
  story told;
  chain<> one(queue, tell_waits(told, 1));
  CHECK(std::string(one.current_wait().type->name) == "ready to run");
  CHECK_FALSE(one.has_started());
  run_ready(queue);
  CHECK(one.has_started());
  CHECK(std::string(one.current_wait().type->name) == "manual");
  CHECK(one.current_wait().since == 42);
  CHECK(one.current_wait().at->chain == &one);
  manual_wait::end(one);
  CHECK(std::string(one.current_wait().type->name) == "ready to run");
  run_ready(queue);
  CHECK(one.current_wait().type == nullptr);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("scope");

namespace {

// Waits `count` times inside a scope and notes each outcome, then waits once outside.
task<> wait_inside(story& told, std::optional<scope>& region, context& me, int count) {
  region.emplace(me);
  for (int i = 0; i < count; ++i) co_await wait_and_tell(told);
  region.reset();
  told.push_back("outside");
  co_await wait_and_tell(told);
}

// A chain whose root stores its own context.
template <class Body>
struct scoped_chain {
  explicit scoped_chain(Body body) : one(queue, run(body, *this)) {}
  static task<> run(Body body, scoped_chain& self) { co_await body(self.one); }
  ready_queue queue;
  chain<> one;
};

}  // namespace

TEST_CASE("a cancelled scope ends every wait inside it, however many, and none outside") {
  story told;
  std::optional<scope> region;
  scoped_chain chained([&](context& me) { return wait_inside(told, region, me, 3); });
  run_ready(chained.queue);
  region->cancel();
  CHECK(region->is_cancelled());
  finish(chained.queue, chained.one);
  CHECK(told == story{"cancelled", "cancelled", "cancelled", "outside", "value"});
}

TEST_CASE("a scope that is cancelled before a wait begins ends that wait, too") {
  story told;
  scoped_chain chained([&](context& me) -> task<> {
    scope region(me);
    region.cancel();
    region.cancel();
    co_await wait_and_tell(told);
  });
  finish(chained.queue, chained.one);
  CHECK(told == story{"cancelled"});
}

TEST_CASE("the exception names the scope that was cancelled") {
  scoped_chain chained([](context& me) -> task<> {
    scope region(me);
    scope inner(me);
    region.cancel();
    try {
      co_await manual_wait();
    } catch (const cancelled& reason) {
      CHECK(reason.from(&region));
      CHECK_FALSE(reason.from(&inner));
      CHECK_FALSE(reason.from(nullptr));
    }
  });
  finish(chained.queue, chained.one);
}

TEST_CASE("the outermost of several cancelled scopes is named, so inner scopes do not swallow it") {
  for (const bool inner_first : {true, false}) {
    scoped_chain chained([inner_first](context& me) -> task<> {
      scope outer(me);
      scope inner(me);
      (inner_first ? inner : outer).cancel();
      (inner_first ? outer : inner).cancel();
      try {
        co_await manual_wait();
        FAIL_CHECK("the wait did not end");
      } catch (const cancelled& reason) {
        CHECK(reason.from(&outer));
      }
    });
    finish(chained.queue, chained.one);
  }
}

TEST_CASE("when only the inner scope is cancelled, waits outside of it continue") {
  story told;
  scoped_chain chained([&](context& me) -> task<> {
    scope outer(me);
    {
      scope inner(me);
      inner.cancel();
      co_await wait_and_tell(told);
    }
    CHECK_FALSE(me.interrupted());
    co_await wait_and_tell(told);
  });
  finish(chained.queue, chained.one);
  CHECK(told == story{"cancelled", "value"});
}

TEST_CASE("a kill is thrown before a scope's cancellation, which is still thrown afterwards") {
  scoped_chain chained([](context& me) -> task<> {
    scope region(me);
    region.cancel();
    me.kill();
    for (const bool by_kill : {true, false, false}) {
      try {
        co_await manual_wait();
        FAIL_CHECK("the wait did not end");
      } catch (const cancelled& reason) {
        CHECK(reason.from(&region) == !by_kill);
      }
    }
  });
  finish(chained.queue, chained.one);
}

TEST_CASE("the root scope is around every context of its queue, later ones included") {
  ready_queue queue;
  story told;
  chain<> before(queue, tell_waits(told, 1));
  run_ready(queue);
  queue.root_scope().cancel();
  before.interrupt();
  chain<> after(queue, tell_waits(told, 1));
  CHECK(after.interrupted());
  run_ready(queue);
  CHECK(told == story{"cancelled", "cancelled"});
}

TEST_CASE("scopes that end in the wrong order abort and say so") {
  CHECK(aborts_with("scopes must end in the reverse order of their creation", [] {
    ready_queue queue;
    story told;
    chain<> one(queue, tell_waits(told, 0));
    std::optional<scope> outer(std::in_place, one);
    const scope inner(one);
    outer.reset();
  }));
}

TEST_SUITE_END();
