// concurrent_queue: what its calls return, in which order they are served, and what they lose.
//
// Method: one scheduler on the scripted engine serves its own fibers, by the same messages that
// other threads use. "In the same tick" means that no fiber has run between the two. In fibers that
// are killed no co_await stands inside of a CHECK. concurrent_queue_threads_test.cpp uses threads.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "sched/queues.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using numbers = concurrent_queue<int>;

// Lets what was served arrive, and the fibers run that it wakes.
task<> settle() { co_await sleep(1ns); }

task<> note_then_wait(numbers& from, std::string& log) {
  const int item = co_await from.pop();
  log += "-" + std::to_string(item) + " ";
  co_await yield();
  log += "on ";
}

// Waits for an item or the event, and notes which it was.
task<> note_first(numbers& from, event& other, std::string& log) {
  auto first = co_await select(from.pop(), other.wait());
  log += first.index() == 0 ? "-" + std::to_string(std::get<0>(first)) + " " : "event ";
}

task<> note_push_error(numbers& to, std::string& log, int item) {
  const result<void> pushed = co_await as_result(to.push(std::move(item)));
  log += pushed ? "pushed " : pushed.error() == errc::closed ? "closed " : "?";
}

}  // namespace

TEST_SUITE_BEGIN("concurrent_queue");

TEST_CASE("items are popped in the order in which they were pushed") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_queue<std::unique_ptr<int>> items(2);
    for (int i = 0; i < 5; ++i) {
      co_await items.push(std::make_unique<int>(i));
      CHECK(items.try_push(std::make_unique<int>(i + 100)));
      const std::unique_ptr<int> first = co_await items.pop();
      CHECK(*first == i);
      const std::optional<std::unique_ptr<int>> second = items.try_pop();
      CHECK(**second == i + 100);
    }
    CHECK_FALSE(items.try_pop().has_value());
  });
}

TEST_CASE("a copy is pushed of an item that is not moved") {
  run_scripted([](scripted_engine&) -> task<> {
    concurrent_queue<std::string> words(2);
    const std::string word = "a word that is longer than what a string keeps in itself";
    co_await words.push(word);
    CHECK(words.try_push(word));
    CHECK_FALSE(words.try_push(word));
    CHECK(co_await words.pop() == word);
    CHECK(co_await words.pop() == word);
  });
}

TEST_CASE("a queue knows how full it is") {
  numbers items(3);
  CHECK(items.size_max() == 3);
  CHECK(items.empty());
  CHECK(items.try_push(1));
  CHECK(items.try_push(2));
  CHECK(items.try_pop() == 1);
  CHECK(items.size() == 1);
  CHECK(items.peak() == 2);
  CHECK_FALSE(items.is_closed());
  CHECK_THROWS_AS(numbers(0), std::invalid_argument);
}

TEST_CASE("items that are left are destroyed with the queue") {
  life_count lives;
  {
    concurrent_queue<counted_item> items(4);
    for (int i = 0; i < 3; ++i) CHECK(items.try_push(counted_item(lives, i)));
    CHECK(items.try_pop()->value() == 0);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("a push waits for room, and pushes are served in the order of their arrival") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    std::string log;
    const std::vector<fiber<>> pushing = {spawn(note_push(items, log, 1)),
                                          spawn(note_push(items, log, 2)),
                                          spawn(note_push(items, log, 3))};
    co_await settle();
    CHECK(log == "+1 ");
    CHECK(items.waiting_to_push() == 2);
    CHECK(co_await items.pop() == 1);
    CHECK_FALSE(items.try_push(9));  // the place is promised to a fiber that waits
    co_await settle();
    CHECK(log == "+1 +2 ");
    CHECK(co_await items.pop() == 2);
    CHECK(co_await items.pop() == 3);
    co_await join_each(pushing);
  });
}

TEST_CASE("a pop waits for an item, and pops are served in the order of their arrival") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(4);
    std::string log;
    const fiber<> first = spawn(note_pop(items, log));
    const fiber<> second = spawn(note_pop(items, log));
    co_await settle();
    CHECK(items.waiting_to_pop() == 2);
    CHECK(items.try_push(1));
    CHECK_FALSE(items.try_pop().has_value());  // the item is promised to a fiber that waits
    CHECK(items.try_push(2));
    CHECK(items.try_push(3));
    CHECK(items.try_pop() == 1);  // of three items, two are promised, and no one wants the third
    co_await first.join();
    co_await second.join();
    CHECK(log == "-2 -3 ");
  });
}

TEST_CASE("a limit ends a pop and a push, and the push leaves its item with the caller") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    concurrent_queue<std::unique_ptr<int>> items(1);
    const auto none = co_await as_result(items.pop(5ms));
    CHECK(none.error() == errc::timed_out);
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(items.try_push(nullptr));
    auto kept = std::make_unique<int>(7);
    const result<void> pushed = co_await as_result(items.push(std::move(kept), 5ms));
    CHECK(pushed.error() == errc::timed_out);
    CHECK(*kept == 7);
    CHECK(items.waiting_to_pop() + items.waiting_to_push() == 0);
    std::string thrown;
    try {
      co_await items.push(std::move(kept), 0s);
    } catch (const timed_out& error) {
      thrown = error.what();
    }
    CHECK(thrown.find("push") != std::string::npos);
  });
}

TEST_CASE("a pop that is killed while it waits has taken nothing, and the next one gets the item") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(4);
    std::string log;
    const fiber<> killed = spawn(note_then_wait(items, log));
    const fiber<> next = spawn(note_pop(items, log));
    co_await settle();
    killed.request_kill();
    CHECK(items.try_push(1));
    co_await killed.join();
    co_await next.join();
    CHECK(killed.result() == outcome::cancelled);
    CHECK(log == "-1 ");
  });
}

TEST_CASE("a pop that was served and is then killed returns its item; the next wait throws") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(4);
    std::string log;
    const fiber<> killed = spawn(note_then_wait(items, log));
    co_await settle();
    CHECK(items.try_push(1));
    killed.request_kill();
    co_await killed.join();
    CHECK(killed.result() == outcome::cancelled);
    CHECK(log == "-1 ");
  });
}

TEST_CASE("a pop that was served in the tick in which its limit passes returns its item") {
  run_scripted([](scripted_engine& engine) -> task<> {
    numbers items(4);
    const fiber<int> popping = spawn([&]() -> task<int> { co_return co_await items.pop(5ms); });
    co_await yield();
    CHECK(items.try_push(1));
    engine.advance(10'000'000);
    CHECK(co_await popping.get() == 1);
  });
}

TEST_CASE("a push that was served and is then killed has pushed; one killed before has not") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    CHECK(items.try_push(0));
    std::string log;
    const fiber<> early = spawn(note_push(items, log, 1));
    const fiber<> late = spawn(note_push(items, log, 2));
    co_await settle();
    early.request_kill();
    CHECK(items.try_pop() == 0);
    late.request_kill();
    co_await early.join();
    co_await late.join();
    CHECK(log == "+2 ");
    CHECK(items.try_pop() == 2);
  });
}

TEST_CASE("a pop that is cancelled from the start takes nothing") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    CHECK(items.try_push(1));
    const fiber<> killed = spawn([&]() -> task<> {
      co_await yield();
      (void)co_await items.pop();
    });
    co_await yield();
    killed.request_kill();
    co_await killed.join();
    CHECK(items.try_pop() == 1);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("concurrent_queue: closing");

TEST_CASE("after close() pushes fail, what is queued can be popped, and then pops fail") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2);
    CHECK(items.try_push(1));
    items.close();
    items.close();
    CHECK(items.is_closed());
    CHECK_FALSE(items.try_push(2));
    const result<void> pushed = co_await as_result(items.push(2));
    CHECK(pushed.error() == errc::closed);
    CHECK(co_await items.pop() == 1);
    const result<int> popped = co_await as_result(items.pop());
    CHECK(popped.error() == errc::closed);
    CHECK_FALSE(items.try_pop().has_value());
  });
}

TEST_CASE("close() ends waits, and a push that has a place but has not run keeps its item") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    CHECK(items.try_push(1));
    std::string log;
    const std::vector<fiber<>> pushing = {spawn(note_push_error(items, log, 2)),
                                          spawn(note_push_error(items, log, 3))};
    co_await settle();
    CHECK(items.try_pop() == 1);
    items.close();
    co_await join_each(pushing);
    CHECK(log == "closed closed ");
    CHECK(items.empty());
  });
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    std::string log;
    const fiber<> popping = spawn(pop_one(items));
    co_await settle();
    items.close();
    co_await popping.join();
    CHECK(text_of(popping.error()).find("pop") != std::string::npos);
  });
}

// A pop in a select() that was promised the last item may give it back after close().
TEST_CASE("a pop does not fail while an item may come back, so that none is stranded") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    event other;
    std::string log;
    const fiber<> choosing = spawn(note_first(items, other, log));
    const fiber<> popping = spawn(note_pop(items, log));
    co_await settle();
    CHECK(items.try_push(1));
    items.close();
    other.set();  // wins: the event is told first
    co_await choosing.join();
    co_await popping.join();
    CHECK(log == "event -1 ");
  });
}

TEST_CASE("items() ends when the queue is closed and empty") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(8);
    for (int i = 1; i <= 4; ++i) CHECK(items.try_push(i));
    items.close();
    int sum = 0;
    auto all = items.items();
    while (auto next = co_await all.next()) sum += *next;
    CHECK(sum == 10);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("concurrent_queue: in a select()");

TEST_CASE("a select() takes an item from one of two queues, and leaves the other queue alone") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers left(1);
    numbers right(1);
    CHECK(right.try_push(7));
    const auto first = co_await select(left.pop(), right.pop());
    CHECK(std::get<1>(first) == 7);
    CHECK(left.waiting_to_pop() == 0);
    CHECK(left.try_push(1));
    CHECK(right.try_push(2));
    const auto second = co_await select(left.pop(), right.pop());
    CHECK(std::get<0>(second) == 1);
    CHECK(right.try_pop() == 2);
  });
}

TEST_CASE("two queues that get items in the same tick: one is taken, the other item stays first") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers left(2);
    numbers right(2);
    int taken = 0;
    const fiber<> choosing = spawn([&]() -> task<> {
      const auto first = co_await select(left.pop(), right.pop());
      taken = first.index() == 0 ? std::get<0>(first) : std::get<1>(first);
    });
    co_await settle();
    for (int i = 1; i <= 2; ++i) {
      CHECK(left.try_push(i));
      CHECK(right.try_push(10 + i));
    }
    co_await choosing.join();
    CHECK(taken == 1);
    CHECK(left.try_pop() == 2);
    CHECK(right.try_pop() == 11);
    CHECK(right.try_pop() == 12);
  });
}

TEST_CASE("two pops of one queue in one select() take one item") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(4);
    const fiber<> choosing =
        spawn([&]() -> task<> { (void)co_await select(items.pop(), items.pop()); });
    co_await settle();
    CHECK(items.try_push(1));
    CHECK(items.try_push(2));
    co_await choosing.join();
    CHECK(items.try_pop() == 2);
    CHECK(items.waiting_to_pop() == 0);
  });
}

TEST_CASE("an item that a select() gives back goes to the pop that waits next") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    event other;
    std::string log;
    const fiber<> choosing = spawn(note_first(items, other, log));
    const fiber<> popping = spawn(note_pop(items, log));
    co_await settle();
    CHECK(items.try_push(1));
    SUBCASE("because another wait has won") { other.set(); }
    SUBCASE("or its fiber was killed") { choosing.request_kill(); }
    co_await choosing.join();
    co_await popping.join();
    CHECK(log.ends_with("-1 "));
    CHECK(choosing.result() == (log == "-1 " ? outcome::cancelled : outcome::value));
  });
}

TEST_CASE("a place that a select() gives back goes to the push that waits next") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    CHECK(items.try_push(0));
    event other;
    std::string log;
    const fiber<> choosing =
        spawn([&]() -> task<> { (void)co_await select(items.push(1), other.wait()); });
    const fiber<> pushing = spawn(note_push(items, log, 2));
    co_await settle();
    CHECK(items.try_pop() == 0);
    other.set();
    co_await choosing.join();
    co_await pushing.join();
    CHECK(items.try_pop() == 2);
  });
}

TEST_CASE("a select() of a closed queue ends with its error") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    const fiber<> choosing =
        spawn([&]() -> task<> { (void)co_await select(items.pop(), sleep(1h)); });
    co_await settle();
    items.close();
    co_await choosing.join();
    CHECK(choosing.result() == outcome::error);
    CHECK(text_of(choosing.error()).find("closed") != std::string::npos);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("concurrent_queue: several at once");

TEST_CASE("push_some() and pop_some() move as many as there is room for, or as there are") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(5);
    std::array<int, 4> given = {1, 2, 3, 4};
    std::array<int, 8> taken = {};
    CHECK(co_await items.push_some(given) == 4);
    CHECK(co_await items.push_some(given) == 1);
    CHECK(co_await items.pop_some(taken) == 5);
    CHECK(taken == std::array<int, 8>{1, 2, 3, 4, 1, 0, 0, 0});
    const std::span<int> nothing;
    CHECK(co_await items.push_some(nothing) == 0);
    CHECK(co_await items.pop_some(nothing) == 0);
    const result<std::size_t> none = co_await as_result(items.pop_some(taken, 1ms));
    CHECK(none.error() == errc::timed_out);
    items.close();
    const result<std::size_t> pushed = co_await as_result(items.push_some(given));
    CHECK(pushed.error() == errc::closed);
    const result<std::size_t> popped = co_await as_result(items.pop_some(taken));
    CHECK(popped.error() == errc::closed);
  });
}

TEST_CASE("one call moves at most some_max items") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1000);
    std::vector<int> given(1000);
    std::iota(given.begin(), given.end(), 0);
    std::size_t pushed = 0;
    while (pushed != given.size()) {
      const std::size_t count = co_await items.push_some(std::span(given).subspan(pushed));
      CHECK(count <= numbers::some_max);
      pushed += count;
    }
    std::vector<int> taken(1000);
    CHECK(co_await items.pop_some(taken) == numbers::some_max);
    CHECK(taken[numbers::some_max - 1] == numbers::some_max - 1);
  });
}

TEST_CASE("calls for several items wait for the first one, and take what has come by then") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(3);
    std::array<int, 8> taken = {};
    std::size_t count = 0;
    const fiber<> popping = spawn([&]() -> task<> { count = co_await items.pop_some(taken); });
    co_await settle();
    for (int i = 1; i <= 3; ++i) CHECK(items.try_push(i));
    co_await popping.join();
    CHECK(count == 3);
    for (int i = 4; i <= 6; ++i) CHECK(items.try_push(i));
    std::array<int, 3> given = {7, 8, 9};
    const fiber<> pushing = spawn([&]() -> task<> { count = co_await items.push_some(given); });
    co_await settle();
    CHECK(items.try_pop() == 4);
    CHECK(items.try_pop() == 5);
    co_await pushing.join();
    CHECK(count == 2);
    CHECK(co_await items.pop_some(taken) == 3);
    CHECK(std::span(taken).first(3)[2] == 8);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("concurrent_queue: the rest");

TEST_CASE("dump() shows the queue that a fiber waits for") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(16);
    const fiber<> popping = spawn(pop_one(items));
    co_await settle();
    const std::string text = dump();
    CHECK(text.find("pop from concurrent queue") != std::string::npos);
    CHECK(text.find("with 0 of 16 items, 0 waiting to push and 1 to pop") != std::string::npos);
    CHECK(items.try_push(1));
    co_await popping.join();
  });
}

TEST_CASE("waiting, waking, cancelling and closing do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1);
    std::string log(100, ' ');
    log.clear();
    const fiber<> first = spawn(pop_one(items));
    const fiber<> second = spawn(pop_one(items));
    const fiber<> third = spawn(pop_one(items));
    const std::size_t before = allocations();
    co_await settle();
    first.request_kill();
    const bool pushed = items.try_push(1);
    co_await settle();
    items.close();
    co_await settle();
    const std::size_t after = allocations();
    CHECK(pushed);
    CHECK(after - before <= 3);  // the frames of settle(), and the error that third throws
    co_await third.join();
    CHECK(second.result() == outcome::value);
    CHECK(third.error() != nullptr);
  });
}

TEST_CASE("a queue that is destroyed while a fiber waits aborts") {
  CHECK(aborts_with("a concurrent_queue was destroyed while a fiber or a thread waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<numbers> items(1);
      const fiber<> popping = spawn(pop_one(*items));
      co_await yield();
      items.reset();
    });
  }));
}

TEST_CASE("the forms for plain threads abort in a fiber") {
  CHECK(aborts_with("pop_blocking() of a concurrent_queue was called on the thread of a scheduler",
                    [] {
                      run_scripted([](scripted_engine&) -> task<> {
                        numbers items(1);
                        (void)items.pop_blocking();
                        co_return;
                      });
                    }));
  CHECK(aborts_with("push_blocking() of a concurrent_queue was called on the thread of a scheduler",
                    [] {
                      run_scripted([](scripted_engine&) -> task<> {
                        numbers items(1);
                        items.push_blocking(1);
                        co_return;
                      });
                    }));
}

TEST_SUITE_END();
