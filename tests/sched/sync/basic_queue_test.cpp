// basic_queue: peeking, iterating, closing and counting, which all queues have in common.
//
// Method: the scripted engine's clock moves only when everything sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Notes "?7 " when it has seen the 7.
task<> note_peek(queue<int>& at, std::string& log, time_limit timeout = forever) {
  const int* const first = co_await at.wait_peek(timeout);
  log += "?" + std::to_string(*first) + " ";
}

task<> note_items(queue<int>& from, std::string& log) {
  auto all = from.items();
  while (const auto item = co_await all.next()) log += std::to_string(*item) + " ";
  log += "end ";
}

}  // namespace

TEST_SUITE_BEGIN("basic_queue");

// Counting

// rows: QU-01 QS-01 QS-04
TEST_CASE("peak is the largest number of items that a queue ever held") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(4);
    std::string log;
    CHECK(items.peak() == 0);
    for (int i = 0; i < 3; ++i) CHECK(items.try_push(i));
    CHECK(items.peak() == 3);
    CHECK(items.try_pop());
    CHECK(items.try_pop());
    CHECK(items.try_push(7));
    CHECK(items.size() == 2);
    CHECK(items.peak() == 3);
    for (int i = 0; i < 2; ++i) CHECK(items.try_push(i));
    CHECK(items.peak() == 4);
    items.close_now();
    CHECK(items.peak() == 4);
    queue<int> handed;
    const fiber<> popper = spawn(note_pop(handed, log));
    co_await yield();
    CHECK(handed.try_push(1));  // was never in it
    CHECK(handed.peak() == 0);
    co_await popper.join();
  });
}

TEST_CASE("a queue counts the fibers that wait at each end, however their waits end") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> full(1), none;
    std::string log;
    CHECK(full.try_push(0));
    std::vector<fiber<>> pushers, poppers;
    for (int i = 1; i < 5; ++i) pushers.push_back(spawn(note_push(full, log, i)));
    for (int i = 0; i < 4; ++i) poppers.push_back(spawn(note_pop(none, log)));
    co_await yield();
    CHECK(full.waiting_to_push() == 4);
    CHECK(none.waiting_to_pop() == 4);
    CHECK(full.waiting_to_pop() == 0);
    co_await pushers[1].kill();
    co_await poppers[1].kill();
    CHECK(full.waiting_to_push() == 3);
    CHECK(none.waiting_to_pop() == 3);
    CHECK(*full.try_pop() == 0);
    CHECK(none.try_push(9));
    CHECK(full.waiting_to_push() == 2);
    CHECK(none.waiting_to_pop() == 2);
    const auto which = co_await select(none.pop(), full.push(8), sleep(1ms));
    CHECK(which.index() == 2);
    CHECK(full.waiting_to_push() == 2);
    CHECK(none.waiting_to_pop() == 2);
    pushers[2].request_kill();
    poppers[2].request_kill();
    full.close();
    none.close();
    pushers[3].request_kill();  // is not in line any more
    CHECK(full.waiting_to_push() == 0);
    CHECK(none.waiting_to_pop() == 0);
    for (const auto* all : {&pushers, &poppers}) {
      for (const auto& each : *all) co_await each.join();
    }
    CHECK(none.waiting_to_pop() == 0);
  });
}

// Peeking

// row: QU-01
TEST_CASE("wait_peek waits for an item and leaves it in the queue") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<> a = spawn(note_peek(items, log)), b = spawn(note_peek(items, log));
    co_await yield();
    CHECK(log.empty());
    CHECK(items.waiting_to_pop() == 0);
    CHECK(items.try_push(7));
    co_await a.join();
    co_await b.join();
    CHECK(log == "?7 ?7 ");
    CHECK(items.size() == 1);
    co_await note_peek(items, log);
    CHECK(log == "?7 ?7 ?7 ");
    CHECK(items.try_pop());
    const steady_ns begin = engine.now();
    const std::string words = co_await outcome_of(note_peek(items, log, 3ms));
    CHECK(words == "timed out");
    CHECK(engine.now() == begin + 3'000'000);
  });
}

// row: QU-01
TEST_CASE("wait_peek waits for the next item if another fiber takes the first one") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    std::string log;
    const steady_ns begin = engine.now();
    const fiber<std::string> peeker = spawn(outcome_of(note_peek(items, log, 5ms)));
    co_await yield();
    CHECK(items.try_push(1));
    CHECK(*items.try_pop() == 1);
    co_await sleep(2ms);
    CHECK(log.empty());
    SUBCASE("which comes") {
      CHECK(items.try_push(2));
      co_await peeker.join();
      CHECK(log == "?2 ");
    }
    SUBCASE("within its limit") {
      const std::string words = co_await peeker.get();
      CHECK(words == "timed out");
      CHECK(engine.now() == begin + 5'000'000);
    }
    SUBCASE("or never, because it is closed") {
      items.close();
      const std::string words = co_await peeker.get();
      CHECK(words == "closed");
    }
    SUBCASE("or is killed") {
      peeker.request_kill();
      const std::string words = co_await peeker.get();
      CHECK(words == "cancelled");
    }
  });
}

// row: W21
TEST_CASE("with room for 0 items wait_peek sees the item of the first push") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(0);
    std::string log;
    const fiber<> peeker = spawn(note_peek(items, log));
    co_await yield();
    const fiber<> pusher = spawn(note_push(items, log, 4));
    co_await peeker.join();
    CHECK(log == "?4 ");
    CHECK(*items.try_pop() == 4);
    co_await pusher.join();
  });
}

// Iterating

// row: QU-04
TEST_CASE("items ends when the queue is closed and empty") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> numbers;
    std::string log;
    for (int i = 1; i < 3; ++i) CHECK(numbers.try_push(i));
    const fiber<> reader = spawn(note_items(numbers, log));
    co_await yield();
    CHECK(log == "1 2 ");
    CHECK(numbers.try_push(3));
    CHECK(numbers.try_push(4));
    numbers.close();
    co_await reader.join();
    CHECK(log == "1 2 3 4 end ");
    co_await note_items(numbers, log);
    CHECK(log == "1 2 3 4 end end ");
  });
}

// row: QU-04
TEST_CASE("a fiber that is killed while it iterates takes no further item") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> numbers;
    std::string log;
    const fiber<> reader = spawn(note_items(numbers, log));
    co_await yield();
    SUBCASE("it gets what it was handed") {
      CHECK(numbers.try_push(1));
      reader.request_kill();
      CHECK(numbers.try_push(2));
      co_await reader.join();
      CHECK(log == "1 ");
      CHECK(*numbers.try_pop() == 2);
    }
    SUBCASE("nothing, if it was killed first") {
      reader.request_kill();
      CHECK(numbers.try_push(1));
      co_await reader.join();
      CHECK(log.empty());
      CHECK(*numbers.try_pop() == 1);
    }
  });
}

// Closing

// rows: QU-03 QS-05
TEST_CASE(
    "close wakes any number of fibers, and a wait that is cancelled while they wake is closed") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 1000;
    queue<int> full(1), none;
    CHECK(full.try_push(0));
    std::vector<fiber<std::string>> all;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(spawn(outcome_of(push_one(full, 1, 1ms))));
      all.push_back(spawn(outcome_of(pop_one(none, 1ms))));
    }
    co_await yield();
    full.close();
    none.close();
    CHECK(full.waiting_to_push() == 0);
    all[2 * count - 1].request_kill();  // a pop that close() has ended, but not yet woken
    all[2 * count - 2].request_kill();
    std::size_t closed = 0, killed = 0;
    for (const auto& each : all) {
      const std::string words = co_await each.get();
      closed += words == "closed";
      killed += words == "cancelled";
    }
    CHECK(closed == 2 * count - 2);
    CHECK(killed == 2);  // an interruption goes before closed
    CHECK(full.size() == 1);
  });
}

// row: QU-03
TEST_CASE("a queue may be destroyed while the fibers that close has ended wake") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<queue<int>> none(std::in_place);
    std::vector<fiber<std::string>> all;
    for (int i = 0; i < 600; ++i) all.push_back(spawn(outcome_of(pop_one(*none))));
    co_await yield();
    none->close();
    none.reset();
    for (const auto& each : all) {
      const std::string words = co_await each.get();
      CHECK(words == "closed");
    }
  });
}

// rows: QU-03 W22
TEST_CASE("an item that was pushed before close is never stranded") {
  run_scripted([](scripted_engine&) -> task<> {
    for (int round = 0; round < 100'000; ++round) {
      queue<int> one;
      const bool waits = round % 2 == 0;
      int got = 0;
      const fiber<> popper = spawn([&]() -> task<> {
        while (const auto item = co_await as_result(one.pop())) got += *item;
      });
      if (waits) co_await yield();
      if (!one.try_push(1)) got = -100;
      one.close();
      co_await popper.join();
      if (got != 1 || !one.empty()) {
        CAPTURE(round);
        CHECK(got == 1);
        break;
      }
    }
  });
}

TEST_CASE("closing and peeking do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    std::string log;
    std::vector<fiber<std::string>> all;
    for (int i = 0; i < 300; ++i) all.push_back(spawn(outcome_of(pop_one(items))));
    co_await yield();
    const std::size_t before = allocations();
    items.close();
    CHECK(items.peek() == nullptr);
    CHECK(allocations() == before);
    for (const auto& each : all) co_await each.join();
  });
}

TEST_CASE("a queue that is destroyed while a fiber waits to see an item aborts") {
  CHECK(aborts_with("a queue was destroyed while a fiber waited", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<queue<int>> items(std::in_place);
      std::string log;
      const fiber<> peeker = spawn(note_peek(*items, log));
      co_await yield();
      items.reset();
    });
  }));
}

TEST_SUITE_END();
