// select_set: mixed calls, as many as the program wants, of which each first() takes one.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/broadcast.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/select_set.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/watch.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

[[maybe_unused]] const auto makes_task = [] { return sleep_for(1ms); };
[[maybe_unused]] const auto makes_yield = [] { return yield(); };
[[maybe_unused]] const auto makes_sleep = [] { return sleep(1ms); };
static_assert(makes_selectable<decltype(makes_sleep)>);
static_assert(!makes_selectable<decltype(makes_task)>);
static_assert(!makes_selectable<decltype(makes_yield)>);
static_assert(!std::copy_constructible<select_set>);

task<std::size_t> first_of(select_set& calls, time_limit timeout = forever) {
  co_return co_await calls.first(timeout);
}

}  // namespace

TEST_SUITE_BEGIN("select set");

// row: JN-04
TEST_CASE("first() returns the index of the call that is over first, and get() its value") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<std::unique_ptr<int>> items;
    queue<int> full(0);
    event door;
    const fiber<int> fiber_of_7 = spawn(value_after<int>, 3ms, 7);
    select_set calls;
    const auto item = calls.add([&] { return items.pop(); });
    const int five = 5;
    const auto pushed = calls.add([&] { return full.push(five); });
    const auto opened = calls.add([&] { return door.wait(); });
    const auto seven = calls.add([&] { return fiber_of_7.get(); });
    const auto slept = calls.add([] { return sleep(5ms); });
    static_assert(std::same_as<decltype(item), const select_part<std::unique_ptr<int>>>);
    static_assert(std::same_as<decltype(slept), const select_part<void>>);
    CHECK(calls.size() == 5);
    CHECK(slept.index() == 4);

    std::size_t taken = co_await calls.first();
    CHECK(taken == seven);
    CHECK(calls.get(seven) == 7);
    calls.remove(seven);
    taken = co_await calls.first();
    CHECK(taken == slept);
    calls.get(slept);
    CHECK(engine.now() == scripted_engine::start_time + 8'000'000);
    CHECK(items.try_push(std::make_unique<int>(1)));
    taken = co_await calls.first();
    CHECK(taken == item);
    CHECK(*calls.get(item) == 1);
    const fiber<> popper = spawn(pop_one<queue<int>>, std::ref(full), forever);
    co_await yield();
    taken = co_await calls.first();
    CHECK(taken == pushed);
    calls.get(pushed);
    door.set();
    taken = co_await calls.first();
    CHECK(taken == opened);
    CHECK(calls.get(opened));
    CHECK(full.peek() == nullptr);
    CHECK(calls.size() == 4);
  });
}

// row: JN-04
TEST_CASE("the calls that first() did not take have left no trace") {
  run_scripted([](scripted_engine&) -> task<> {
    auto items = std::make_unique<queue<int>>();
    auto door = std::make_unique<event>();
    select_set calls;
    const auto popped = calls.add([&] { return items->pop(); });
    calls.add([&] { return door->wait(); });
    const auto slept = calls.add([] { return sleep(1ms); });
    std::size_t taken = co_await calls.first();
    CHECK(taken == slept);
    CHECK(items->try_push(1));
    CHECK(items->size() == 1);  // no fiber waits for it
    taken = co_await calls.first();
    CHECK(taken == popped);
    items.reset();
    door.reset();
  });
}

TEST_CASE("a subscriber can be used when first() has returned, whether it was taken or not") {
  run_scripted([](scripted_engine&) -> task<> {
    broadcast<int> items(2, lag_policy::drop_oldest);
    auto by = items.subscribe();
    watch<int> changing(1);
    auto changes = changing.subscribe();
    changes.latest();
    select_set calls;
    const auto received = calls.add([&] { return by.receive(); });
    const auto changed = calls.add([&] { return changes.changed(); });
    const auto slept = calls.add([] { return sleep(1ms); });
    std::size_t taken = co_await calls.first();
    CHECK(taken == slept);
    co_await items.send(1);
    CHECK(by.try_receive() == 1);
    changing.set(2);
    const bool came = co_await changes.changed();
    CHECK(came);
    taken = co_await calls.first();
    CHECK(taken == changed);
    CHECK(calls.get(changed));
    CHECK(changes.latest() == 2);
    co_await items.send(2);
    taken = co_await calls.first();
    CHECK(taken == received);
    CHECK(calls.get(received) == 2);
    const auto moved = std::move(by);
    const auto moved_too = std::move(changes);
  });
}

// row: JN-04
TEST_CASE("of calls that are ready at once first() takes the next one behind the last taken") {
  run_scripted([](scripted_engine&) -> task<> {
    std::vector<std::unique_ptr<queue<int>>> inboxes;
    select_set calls;
    std::vector<select_part<int>> parts;
    for (int i = 0; i < 3; ++i) {
      inboxes.push_back(std::make_unique<queue<int>>());
      queue<int>& inbox = *inboxes.back();
      parts.push_back(calls.add([&inbox] { return inbox.pop(); }));
      for (int item = 0; item < 10; ++item) CHECK(inbox.try_push(10 * i + item));
    }
    std::string log;
    for (int i = 0; i < 7; ++i) {
      const std::size_t taken = co_await calls.first();
      log += std::to_string(calls.get(parts[taken])) + " ";
    }
    CHECK(log == "0 10 20 1 11 21 2 ");
  });
}

// rows: W10 JN-04 TM-06
TEST_CASE("the limit of first() that passes throws timed_out, and takes nothing") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    event door;
    select_set calls;
    const auto item = calls.add([&] { return items.pop(); });
    const auto opened = calls.add([&] { return door.wait(2ms); });
    CHECK_THROWS_AS(co_await calls.first(1ms), timed_out);
    const auto late = co_await as_result(calls.first(0s));
    CHECK(late.error() == errc::timed_out);
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
    // The limit of a call is its own.
    std::size_t taken = co_await calls.first(3ms);
    CHECK(taken == opened);
    CHECK_FALSE(calls.get(opened));
    CHECK(engine.now() == scripted_engine::start_time + 3'000'000);
    CHECK(items.try_push(1));
    taken = co_await calls.first(0s);
    CHECK(taken == item);
    CHECK(calls.get(item) == 1);
  });
}

// row: JN-04
TEST_CASE("get() throws the error of the call that was taken, and result_of() returns it") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> open, closed;
    closed.close();
    const fiber<> failing = spawn(fail_after, 1ms, "expected");
    select_set calls;
    calls.add([&] { return open.pop(); });
    const auto from_closed = calls.add([&] { return closed.pop(); });
    std::size_t taken = co_await calls.first();
    CHECK(taken == from_closed);
    CHECK_THROWS_AS(calls.get(from_closed), std::system_error);
    taken = co_await calls.first();
    CHECK(calls.result_of(from_closed).error() == errc::closed);
    calls.remove(from_closed);
    const auto failed = calls.add([&] { return failing.get(); });
    taken = co_await calls.first();
    CHECK(taken == failed);
    CHECK_THROWS_WITH(calls.get(failed), "expected");
  });
}

// rows: W22 JN-04
TEST_CASE("a fiber killed in first() takes nothing unless a call had already been taken") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items, full(0);
    event door;
    std::string log;
    const fiber<> chooser = spawn([&]() -> task<> {
      select_set calls;
      const auto item = calls.add([&] { return items.pop(); });
      const int seven = 7;
      calls.add([&] { return full.push(seven); });
      calls.add([&] { return door.wait(); });
      const std::size_t taken = co_await calls.first();
      CHECK(taken == item);
      log += std::to_string(calls.get(item));
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("killed first") {
      chooser.request_kill();
      CHECK(items.try_push(1));
      co_await chooser.join();
      CHECK(log.empty());
      CHECK(items.size() == 1);
    }
    SUBCASE("killed after an item came") {
      CHECK(items.try_push(1));
      chooser.request_kill();
      co_await chooser.join();
      CHECK(log == "1");
      CHECK(items.empty());
    }
    CHECK(full.peek() == nullptr);
    CHECK(chooser.result() == outcome::cancelled);
  });
}

TEST_CASE("a limit around first() passes through it") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    select_set calls;
    calls.add([&] { return items.pop(); });
    CHECK_THROWS_AS(co_await with_timeout(1ms, first_of(calls, 1h)), timed_out);
    CHECK_THROWS_AS(co_await with_timeout(1ms, calls.first()), timed_out);
    CHECK(items.try_push(1));
    CHECK(items.size() == 1);
  });
}

TEST_CASE("add() uses the index of a removed call again") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    select_set calls;
    select_part<int> item = calls.add([&] { return items.pop(); });
    const auto slept = calls.add([] { return sleep(1ms); });
    for (int i = 0; i < 1000; ++i) {
      calls.remove(item);
      item = calls.add([&] { return items.pop(); });
      REQUIRE(item.index() == 0);
    }
    CHECK(calls.size() == 2);
    CHECK(items.try_push(1));
    std::size_t taken = co_await calls.first();
    CHECK(taken == item);
    CHECK(calls.get(item) == 1);
    calls.remove(item);
    taken = co_await calls.first();
    CHECK(taken == slept);
  });
}

// claim 14
TEST_CASE("races of two queues, an event and a timer take exactly one item each") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t races = 100'000 * test_scale();
    queue<int> a, b;
    event door;
    select_set calls;
    const auto from_a = calls.add([&] { return a.pop(); });
    const auto from_b = calls.add([&] { return b.pop(); });
    const auto opened = calls.add([&] { return door.wait(); });
    const auto slept = calls.add([] { return sleep(1us); });
    int pushed = 0, popped = 0;
    std::size_t wins[4] = {};
    const fiber<> pusher = spawn([&]() -> task<> {
      for (std::size_t race = 0; race < races; ++race) {
        const std::uint64_t which = engine.random() >> 32;
        if ((which & 1) != 0 && a.try_push(1)) ++pushed;
        if ((which & 2) != 0 && b.try_push(1)) ++pushed;
        if ((which & 4) != 0) door.set();
        if ((which & 8) != 0) engine.advance(1000);
        co_await sleep(0s);
      }
    });
    while (!pusher.done()) {
      const std::size_t taken = co_await calls.first();
      ++wins[taken];
      if (taken == from_a) popped += calls.get(from_a);
      if (taken == from_b) popped += calls.get(from_b);
      if (taken == opened) door.reset();
      REQUIRE(static_cast<std::size_t>(pushed - popped) == a.size() + b.size());
    }
    for (const std::size_t each : wins) CHECK(each > 1000);
    CHECK(slept.index() == 3);
  });
}

TEST_CASE("a set of 10,000 calls takes each once, and leaves all objects each time") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 10'000;
    std::deque<queue<std::size_t>> inboxes;
    select_set calls;
    std::vector<select_part<std::size_t>> parts;
    for (std::size_t i = 0; i < count; ++i) {
      queue<std::size_t>& inbox = inboxes.emplace_back();
      parts.push_back(calls.add([&inbox] { return inbox.pop(); }));
    }
    for (std::size_t i : {count - 1, std::size_t{0}, count / 2}) {
      const fiber<std::size_t> chooser = spawn(first_of(calls));
      co_await yield();
      CHECK(dump().find("select of 10000 waits: pop queue 0x") != std::string::npos);
      CHECK(dump().find("and 9992 more") != std::string::npos);
      CHECK(inboxes[i].try_push(i));
      co_await chooser.join();
      CHECK(chooser.value() == i);
      CHECK(calls.get(parts[i]) == i);
      CHECK(inboxes[i].empty());
    }
    for (queue<std::size_t>& inbox : inboxes) {
      REQUIRE(inbox.try_push(1));
      REQUIRE(inbox.size() == 1);
    }
  });
}

TEST_CASE("first() of an empty set throws") {
  run_scripted([](scripted_engine&) -> task<> {
    select_set calls;
    CHECK(calls.empty());
    CHECK_THROWS_AS(co_await calls.first(), std::invalid_argument);
    const auto slept = calls.add([] { return sleep(1ms); });
    calls.remove(slept);
    CHECK_THROWS_AS(co_await calls.first(1ms), std::invalid_argument);
  });
}

TEST_CASE("first() does not allocate, and neither do waking, cancelling and get()") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(1);
    event door;
    CHECK(items.try_push(0));
    CHECK(items.try_pop() == 0);
    select_set calls;
    const auto item = calls.add([&] { return items.pop(); });
    calls.add([&] { return door.wait(); });
    const auto slept = calls.add([] { return sleep(1ms); });
    const fiber<> killed = spawn([&]() -> task<> {
      select_set others;
      others.add([&] { return door.wait(); });
      co_await others.first();
    });
    co_await yield();
    const std::size_t before = allocations();
    std::size_t taken = co_await calls.first();
    CHECK(taken == slept);
    CHECK(items.try_push(1));
    taken = co_await calls.first();
    CHECK(calls.get(item) == 1);
    killed.request_kill();
    const result<std::size_t> late = co_await as_result(calls.first(0s));
    CHECK(!late);
    CHECK(allocations() - before <= 1);  // the item
    co_await killed.join();
  });
}

TEST_CASE("add() that finds no memory leaves the set unchanged") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    for (int number = 0;; ++number) {
      select_set calls;
      const auto slept = calls.add([] { return sleep(1ms); });
      for (int i = 0; i < 3; ++i) calls.add([] { return sleep(1h); });
      bool failed = false;
      {
        const failing_allocation one(number);
        try {
          calls.add([] { return sleep(1h); });
        } catch (const std::bad_alloc&) {
          failed = true;
        }
      }
      CHECK(calls.size() == (failed ? 4 : 5));
      const std::size_t taken = co_await calls.first();
      CHECK(taken == slept);
      if (!failed) break;
      CHECK(number < 10);
    }
  });
}

TEST_CASE("a value that first() did not take cannot be read") {
  CHECK(aborts_with("was read that first() had not taken, or twice", [] {
    run_scripted([](scripted_engine&) -> task<> {
      select_set calls;
      const auto slept = calls.add([] { return sleep(1ms); });
      const auto other = calls.add([] { return sleep(1h); });
      co_await calls.first();
      static_cast<void>(slept);
      calls.get(other);
    });
  }));
  CHECK(aborts_with("was read that first() had not taken, or twice", [] {
    run_scripted([](scripted_engine&) -> task<> {
      select_set calls;
      const auto slept = calls.add([] { return sleep(1ms); });
      co_await calls.first();
      calls.get(slept);
      calls.get(slept);
    });
  }));
}

TEST_CASE("a part of another set names no call") {
  CHECK(aborts_with("was read that first() had not taken, or twice", [] {
    run_scripted([](scripted_engine&) -> task<> {
      queue<std::string> items;
      select_set calls, others;
      const auto item = others.add([&] { return items.pop(); });
      calls.add([] { return sleep(1ms); });
      co_await calls.first();
      calls.get(item);
    });
  }));
}

TEST_CASE("a function that changes the set which calls it aborts") {
  CHECK(aborts_with("or by a function that first() calls", [] {
    run_scripted([](scripted_engine&) -> task<> {
      select_set calls;
      select_part<void> itself;
      itself = calls.add([&] {
        calls.remove(itself);
        return sleep(1ms);
      });
      co_await calls.first();
    });
  }));
}

TEST_CASE("first() throws what a function throws, and can be called again") {
  run_scripted([](scripted_engine&) -> task<> {
    broadcast<int> items(2, lag_policy::drop_oldest);
    auto by = items.subscribe();
    bool fails = true;
    select_set calls;
    calls.add([&] { return by.receive(); });
    const auto slept = calls.add([&] {
      if (fails) throw std::runtime_error("expected");
      return sleep(1ms);
    });
    CHECK_THROWS_WITH(static_cast<void>(calls.first()), "expected");
    fails = false;
    const std::size_t taken = co_await calls.first();
    CHECK(taken == slept);
  });
}

TEST_CASE("a set that is changed while a fiber waits in first() aborts") {
  CHECK(aborts_with("a select_set was used while a fiber waited in its first()", [] {
    run_scripted([](scripted_engine&) -> task<> {
      select_set calls;
      calls.add([] { return sleep(1ms); });
      const fiber<std::size_t> chooser = spawn(first_of(calls));
      co_await yield();
      calls.add([] { return sleep(1ms); });
    });
  }));
  CHECK(aborts_with("a call was removed from a select_set that it is not part of", [] {
    run_scripted([](scripted_engine&) -> task<> {
      select_set calls;
      const auto slept = calls.add([] { return sleep(1ms); });
      calls.remove(slept);
      calls.remove(slept);
      co_return;
    });
  }));
}

TEST_SUITE_END();
