// queue: order, capacity, and what remains when it is closed.
//
// Method: the scripted engine's clock moves only when every fiber sleeps. queue_cancel_test.cpp
// tests interrupted waits, queue_memory_test.cpp memory.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/aborts.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("queue");

// Order

// row: QU-01
TEST_CASE("items leave a queue in the order in which they entered") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<std::string> words;
    CHECK(words.empty());
    CHECK(words.size_max() == queue_base::unlimited);
    co_await words.push("a");
    co_await words.push(std::string("b"));
    CHECK(words.try_push("c"));
    CHECK(words.size() == 3);
    CHECK(*words.peek() == "a");
    std::string out = co_await words.pop();
    out += co_await words.pop();
    out += *words.try_pop();
    CHECK(out == "abc");
    CHECK(words.empty());
    CHECK_FALSE(words.try_pop());
    CHECK(words.peek() == nullptr);
  });
}

// row: QU-01
TEST_CASE("an item goes to the fiber that has waited longest") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr int count = 200;
    queue<int> items;
    std::vector<int> popped(count);
    std::string order, expected;
    std::vector<fiber<>> all;
    const auto pop = [&](int place) -> task<> {
      popped[static_cast<std::size_t>(place)] = co_await items.pop();
      order += std::to_string(place) + " ";
    };
    for (int i = 0; i < count; ++i) all.push_back(spawn(pop, i));
    co_await yield();
    for (int i = 0; i < count; ++i) {
      if (i % 2 == 0) {
        co_await items.push(i);
      } else {
        CHECK(items.try_push(i));
      }
      expected += std::to_string(i) + " ";
    }
    CHECK(items.empty());  // all have been passed on
    co_await join_each(all);
    CHECK(order == expected);
    for (int i = 0; i < count; ++i) CHECK(popped[static_cast<std::size_t>(i)] == i);
  });
}

// row: QU-01
TEST_CASE("room goes to the fiber that has waited longest") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(3);
    std::string log;
    std::vector<fiber<>> all;
    for (int i = 0; i < 200; ++i) all.push_back(spawn(note_push(items, log, i)));
    co_await yield();
    CHECK(items.size() == 3);
    CHECK(log == "+0 +1 +2 ");
    std::string expected = log;
    for (int i = 0; i < 200; ++i) {
      const int popped = i % 2 == 0 ? co_await items.pop() : items.try_pop().value_or(-1);
      CHECK(popped == i);
      if (i + 3 < 200) expected += "+" + std::to_string(i + 3) + " ";
    }
    co_await join_each(all);
    CHECK(log == expected);
  });
}

// row: W20
TEST_CASE("room that becomes free is not available to fibers that come later") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(1);
    std::string log;
    CHECK(items.try_push(1));
    CHECK_FALSE(items.try_push(9));
    const fiber<> a = spawn(note_push(items, log, 2)), b = spawn(note_push(items, log, 3));
    co_await yield();
    CHECK(*items.try_pop() == 1);
    CHECK(log.empty());              // 2 is in, but its fiber has not run
    CHECK_FALSE(items.try_push(9));  // the place is taken
    const fiber<> late = spawn(note_push(items, log, 4));
    for (const int expected : {2, 3, 4}) {
      const int popped = co_await items.pop();
      CHECK(popped == expected);
    }
    for (const fiber<>* each : {&a, &b, &late}) co_await each->join();
    CHECK(items.empty());
  });
}

// row: W20
TEST_CASE("try_push is false while a fiber waits to push, even if there is room") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int, itself> items(10, 10);
    std::string log;
    CHECK(items.try_push(6));
    const fiber<> heavy = spawn(note_push(items, log, 5));
    co_await yield();
    CHECK_FALSE(items.try_push(1));
    const fiber<> light = spawn(note_push(items, log, 1));
    co_await yield();
    CHECK(log.empty());
    CHECK(*items.try_pop() == 6);
    co_await light.join();
    CHECK(log == "+5 +1 ");
    CHECK(items.weight() == 6);
  });
}

// row: W20
TEST_CASE("an item that was passed to a fiber is not available before that fiber has run") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<> waiter = spawn(note_pop(items, log));
    co_await yield();
    CHECK(items.try_push(1));
    CHECK_FALSE(items.try_pop());
    const fiber<> late = spawn(note_pop(items, log));
    co_await waiter.join();
    CHECK(log == "-1 ");
    co_await items.push(2);
    co_await late.join();
    CHECK(log == "-1 -2 ");
  });
}

TEST_CASE("a loop of pushes and pops that are always ready lets other fibers run") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    bool ran = false;
    const fiber<> other = spawn([&]() -> task<> {
      ran = true;
      co_return;
    });
    int rounds = 0;
    while (!ran) {
      co_await items.push(rounds++);
      co_await items.pop();
    }
    CHECK(rounds == ready_queue::budget / 2);
  });
}

// Room

// row: W21
TEST_CASE("each push into a queue with room for 0 items waits for a pop that takes its item") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(0);
    std::string log;
    CHECK_FALSE(items.try_push(9));
    const fiber<> a = spawn(note_push(items, log, 1)), b = spawn(note_push(items, log, 2));
    co_await yield();
    CHECK(log.empty());
    CHECK(items.empty());
    CHECK(*items.peek() == 1);
    const int first = co_await items.pop();
    CHECK(first == 1);
    co_await a.join();
    CHECK(log == "+1 ");
    CHECK(*items.try_pop() == 2);
    CHECK_FALSE(items.try_pop());
    CHECK(items.peek() == nullptr);
    co_await b.join();
    CHECK(log == "+1 +2 ");
    const fiber<> c = spawn(note_pop(items, log)), d = spawn(note_pop(items, log));
    co_await yield();
    CHECK(items.try_push(3));  // a fiber waits for it
    co_await items.push(4);
    CHECK_FALSE(items.try_push(5));
    co_await d.join();
    CHECK(log == "+1 +2 -3 -4 ");
  });
}

// row: QU-01
TEST_CASE("a queue holds as many items as its capacity, however large") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{100}}) {
      queue<int> items(size);
      for (std::size_t i = 0; i < size; ++i) CHECK(items.try_push(7));
      CHECK_FALSE(items.try_push(8));
      CHECK(items.size() == size);
      const std::string words = co_await outcome_of(push_one(items, 8, 1ms));
      CHECK(words == "timed out");
      CHECK(items.size() == size);
      CHECK(items.try_pop());
      CHECK(items.try_push(8));
    }
    queue<int> endless;
    for (int i = 0; i < 100'000; ++i) CHECK(endless.try_push(i));
  });
}

// rows: W10 QU-01 TM-06
TEST_CASE("push and pop accept limits of zero, in the past and in the future") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    const std::chrono::steady_clock::time_point past{};
    queue<int> items(1);
    for (const time_limit timeout : {time_limit(0s), time_limit(-1s), time_limit(past)}) {
      std::string words = co_await outcome_of(pop_one(items, timeout));
      CHECK(words == "timed out");
      words = co_await outcome_of(push_one(items, 1, timeout));
      CHECK(words == "done");
      words = co_await outcome_of(push_one(items, 2, timeout));
      CHECK(words == "timed out");
      words = co_await outcome_of(pop_one(items, timeout));
      CHECK(words == "done");
    }
    CHECK(engine.now() == begin);
    CHECK(co_await outcome_of(pop_one(items, 3ms)) == "timed out");
    CHECK(engine.now() == begin + 3'000'000);
    const result<int> none = co_await as_result(items.pop(1ms));
    CHECK(none.error() == errc::timed_out);
  });
}

// Weight

// row: QU-01
TEST_CASE("a limit may count weight, and the sum is exact") {
  queue<int, itself> items(4, 10);
  CHECK(items.weight_max() == 10);
  CHECK(items.try_push(7));
  CHECK_FALSE(items.try_push(4));
  CHECK(items.try_push(3));
  CHECK(items.weight() == 10);
  CHECK(items.try_push(0));
  CHECK(items.try_push(0));
  CHECK_FALSE(items.try_push(0));  // by its number
  CHECK(*items.try_pop() == 7);
  CHECK(items.weight() == 3);
  while (items.try_pop()) continue;
  CHECK(items.weight() == 0);
  CHECK(items.size() == 0);
}

// row: QU-01
TEST_CASE("an item that is heavier than the limit is let in alone") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int, itself> items(4, 10);
    std::string log;
    CHECK(items.try_push(99));
    CHECK(items.weight() == 99);
    CHECK_FALSE(items.try_push(0));
    CHECK(*items.try_pop() == 99);
    CHECK(items.try_push(1));
    CHECK_FALSE(items.try_push(11));
    const fiber<> heavy = spawn(note_push(items, log, 11)), light = spawn(note_push(items, log, 1));
    co_await yield();
    CHECK(*items.try_pop() == 1);
    co_await yield();
    CHECK(log == "+11 ");
    CHECK(items.weight() == 11);
    CHECK(*items.try_pop() == 11);
    co_await light.join();
    CHECK(items.weight() == 1);
  });
}

// row: QU-01
TEST_CASE("one item that leaves lets in as many items as there is room for") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int, itself> items(queue_base::unlimited, 10);
    std::string log;
    CHECK(items.try_push(10));
    std::vector<fiber<>> all;
    for (const int weight : {3, 4, 3, 1}) all.push_back(spawn(note_push(items, log, weight)));
    co_await yield();
    CHECK(*items.try_pop() == 10);
    co_await yield();
    CHECK(log == "+3 +4 +3 ");
    CHECK(items.weight() == 10);
    CHECK(*items.try_pop() == 3);
    co_await join_each(all);
    CHECK(items.weight() == 8);
  });
}

TEST_CASE("weights near the largest number do not overflow") {
  const auto huge = [](const int&) { return queue_base::unlimited; };
  queue<int, decltype(huge)> items(queue_base::unlimited, queue_base::unlimited - 1, huge);
  CHECK(items.try_push(1));
  CHECK_FALSE(items.try_push(2));
  CHECK(items.weight() == queue_base::unlimited);
  CHECK(*items.try_pop() == 1);
  CHECK(items.weight() == 0);
  queue<int, decltype(huge)> endless(queue_base::unlimited, queue_base::unlimited, huge);
  CHECK(endless.try_push(1));
  CHECK_FALSE(endless.try_push(2));
}

// Items

// row: QU-01
TEST_CASE("move-only items are moved, and other named items are copied") {
  static_assert(!std::copy_constructible<std::unique_ptr<int>>);
  run_scripted([](scripted_engine&) -> task<> {
    queue<std::unique_ptr<int>> owned;
    co_await owned.push(std::make_unique<int>(1));
    auto kept = std::make_unique<int>(2);
    co_await owned.push(std::move(kept));
    CHECK(kept == nullptr);
    const std::unique_ptr<int> one = co_await owned.pop();
    CHECK(*one == 1);
    CHECK(**owned.peek() == 2);

    queue<std::string> words(1);
    const std::string lasting = "a word that is too long to be stored inside";
    std::string passing = lasting;
    co_await words.push(lasting);
    CHECK_FALSE(words.try_push(lasting));
    CHECK_FALSE(words.try_push(std::move(passing)));
    CHECK(passing == lasting);
    const std::string popped = co_await words.pop();
    CHECK(popped == lasting);
    CHECK(words.try_push(passing));
    CHECK(passing == lasting);
    CHECK(words.try_pop());
    co_await words.push(std::move(passing));
    CHECK(passing.empty());
  });
}

TEST_CASE("a copy is made when push is called") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<std::string> words(1);
    CHECK(words.try_push("first"));
    std::string changing = "before";
    const fiber<> pusher = spawn([&]() -> task<> { co_await words.push(changing); });
    co_await yield();
    changing = "after";
    CHECK(*words.try_pop() == "first");
    CHECK(*words.try_pop() == "before");
    co_await pusher.join();
  });
}

// Closed

// row: QU-03
TEST_CASE("close ends waiting pushes, whose items are not stored") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(1);
    std::string log;
    CHECK(items.try_push(1));
    std::vector<fiber<std::string>> pushers;
    for (int i = 2; i < 5; ++i) pushers.push_back(spawn(outcome_of(push_one(items, i))));
    co_await yield();
    CHECK_FALSE(items.is_closed());
    items.close();
    CHECK(items.is_closed());
    for (const auto& each : pushers) {
      const std::string words = co_await each.get();
      CHECK(words == "closed");
    }
    CHECK(items.size() == 1);
    CHECK(*items.peek() == 1);
    CHECK_FALSE(items.try_push(6));
    std::string words = co_await outcome_of(push_one(items, 6));
    CHECK(words == "closed");
    const int last = co_await items.pop();  // items in it can be popped
    CHECK(last == 1);
    CHECK_FALSE(items.try_push(6));
    words = co_await outcome_of(pop_one(items));
    CHECK(words == "closed");
    const result<int> none = co_await as_result(items.pop());
    CHECK(none.error() == errc::closed);
    const result<void> refused = co_await as_result(items.push(7));
    CHECK(refused.error() == errc::closed);
    CHECK_FALSE(items.try_pop());
  });
}

// row: QU-03
TEST_CASE("close ends waiting pops, and may be called twice") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    std::vector<fiber<std::string>> poppers;
    for (int i = 0; i < 3; ++i) poppers.push_back(spawn(outcome_of(pop_one(items, 1h))));
    co_await yield();
    items.close();
    items.close();
    items.close_now();
    for (const auto& each : poppers) {
      const std::string words = co_await each.get();
      CHECK(words == "closed");
    }
  });
}

// row: QU-03
TEST_CASE("a fiber that was given an item or room before the close keeps it") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(1);
    std::string log;
    const fiber<> popper = spawn(note_pop(items, log));
    co_await yield();
    CHECK(items.try_push(1));
    CHECK(items.try_push(2));
    const fiber<> pusher = spawn(note_push(items, log, 3));
    co_await yield();
    CHECK(*items.try_pop() == 2);
    items.close();
    co_await pusher.join();
    CHECK(log == "-1 +3 ");
    CHECK(*items.try_pop() == 3);
  });
}

// row: QU-03
TEST_CASE("close_now drops the items in the queue") {
  run_scripted([](scripted_engine&) -> task<> {
    life_count lives;
    queue<counted_item, weight_of_counted> items(2, 10);
    CHECK(items.try_push(counted_item(lives, 1)));
    CHECK(items.try_push(counted_item(lives, 2)));
    const fiber<std::string> pusher = spawn([&]() -> task<std::string> {
      counted_item mine(lives, 3);
      const result<void> pushed = co_await as_result(items.push(std::move(mine)));
      co_return pushed.error().message() + " " + std::to_string(mine.value());
    });
    co_await yield();
    items.close_now();
    CHECK(items.empty());
    CHECK(items.weight() == 0);
    const std::string words = co_await pusher.get();
    CHECK(words == make_error_code(errc::closed).message() + " 3");
    CHECK(lives.alive() == 0);
    items.close_now();
    const result<counted_item> none = co_await as_result(items.pop());
    CHECK(none.error() == errc::closed);
  });
}

TEST_CASE("items in a queue are destroyed with it") {
  life_count lives;
  {
    queue<counted_item> items;
    for (int i = 0; i < 100; ++i) CHECK(items.try_push(counted_item(lives, i)));
    for (int i = 0; i < 50; ++i) CHECK(items.try_pop()->value() == i);
    CHECK(lives.alive() == 50);
  }
  CHECK(lives.alive() == 0);
}

// Dump and misuse

TEST_CASE("dump shows at which queue a fiber waits, and for what") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> full(2), empty;
    std::string log;
    while (full.try_push(1)) continue;
    const fiber<std::string> pusher = spawn(outcome_of(note_push(full, log, 1))),
                             popper = spawn(outcome_of(note_pop(empty, log)));
    co_await yield();
    const std::string text = dump();
    char where[128];
    std::snprintf(where, sizeof where, "push queue %p with 2 of 2 items (peak 2, 1 waiting",
                  static_cast<void*>(&full));
    CHECK(text.find(where) != text.npos);
    std::snprintf(where, sizeof where,
                  "pop queue %p with 0 items (peak 0, 0 waiting to push, 1 to pop)",
                  static_cast<void*>(&empty));
    CHECK(text.find(where) != text.npos);
    full.close();
    empty.close();
    CHECK(dump().find(" queue 0x") == text.npos);
    co_await pusher.join();
    co_await popper.join();
  });
}

// row: W42
TEST_CASE("a fiber that waits alone at a queue is a deadlock") {
  queue<int> items(0);
  std::string words = deadlock_of([&](scripted_engine&) -> task<> { co_await pop_one(items); });
  CHECK(words.find("deadlock") == 0);
  CHECK(words.find("fiber 1: pop queue 0x") != words.npos);
  words = deadlock_of([&](scripted_engine&) -> task<> { co_await push_one(items, 1); });
  CHECK(words.find("deadlock") == 0);
  CHECK(items.peek() == nullptr);
}

TEST_CASE("a queue that is destroyed while a fiber waits at it aborts") {
  constexpr auto sentence = "a queue was destroyed while a fiber waited to push or to pop";
  const auto with = [](auto wait) {
    return [wait] {
      run_scripted([wait](scripted_engine&) -> task<> {
        std::optional<queue<int>> items(std::in_place, 0u);
        const fiber<> waiter = spawn(wait(*items));
        co_await yield();
        items.reset();
      });
    };
  };
  CHECK(aborts_with(sentence, with([](queue<int>& at) { return push_one(at, 1); })));
  CHECK(aborts_with(sentence, with([](queue<int>& at) { return pop_one(at); })));
}

TEST_CASE("waking a fiber that waits at a queue on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
  CHECK(aborts_with("a fiber was woken on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      queue<int> items;
      const fiber<> waiter = spawn(pop_one(items));
      co_await yield();
      std::thread([&] { items.close(); }).join();
    });
  }));
}

namespace {

// Weighs an item by its own value, and calls `act` first.
struct acting_weigher {
  std::size_t operator()(int item) const {
    if (*act) (*act)(item);
    return static_cast<std::size_t>(item);
  }
  std::shared_ptr<std::function<void(int)>> act = std::make_shared<std::function<void(int)>>();
};

}  // namespace

TEST_CASE("a weigher that throws aborts, and so does one that uses its queue") {
  CHECK(aborts_with("the weigher of a queue threw an exception: it must return the weight", [] {
    acting_weigher weigh;
    *weigh.act = [](int) { throw std::runtime_error("no weight"); };
    queue<int, acting_weigher> items(10, 10, weigh);
    items.try_push(1);
  }));
  CHECK(aborts_with("the weigher of a queue used that queue", [] {
    acting_weigher weigh;
    queue<int, acting_weigher> items(10, 10, weigh);
    *weigh.act = [&](int item) {
      if (item == 1) items.try_push(2);
    };
    items.try_push(1);
  }));
}

TEST_CASE("a fiber that its weigher kills does not wait, and keeps its item") {
  run_scripted([](scripted_engine&) -> task<> {
    acting_weigher weigh;
    queue<int, acting_weigher> items(10, 10, weigh);
    CHECK(items.try_push(9));
    std::optional<fiber<>> pusher;
    *weigh.act = [&](int item) {
      if (item == 5) pusher->request_kill();
    };
    for (const bool selects : {false, true}) {
      CAPTURE(selects);
      const auto push = [&]() -> task<> {
        if (selects) {
          (void)co_await select(items.push(5), sleep(1h));
        } else {
          co_await items.push(5);
        }
      };
      pusher.emplace(spawn(push()));
      CHECK(co_await pusher->join(1s));
      CHECK(pusher->result() == outcome::cancelled);
      CHECK(items.waiting_to_push() == 0);
      CHECK(items.size() == 1);
    }
  });
}

TEST_CASE("a waiting push that its weigher kills when there is room keeps its item") {
  run_scripted([](scripted_engine&) -> task<> {
    acting_weigher weigh;
    queue<int, acting_weigher> items(10, 10, weigh);
    CHECK(items.try_push(9));
    std::string log;
    const auto push = [&](int item) -> task<> {
      const auto pushed = co_await as_result(items.push(item));
      log += pushed ? std::to_string(item) : "closed";
    };
    const fiber<> first = spawn(push(5));
    const fiber<> second = spawn(push(4));
    co_await yield();
    CHECK(items.waiting_to_push() == 2);
    *weigh.act = [&](int item) {
      if (item == 5) first.request_kill();
    };
    CHECK(items.try_pop() == 9);
    co_await first.join();
    co_await second.join();
    CHECK(first.result() == outcome::cancelled);
    CHECK(log == "4");
    CHECK(items.size() == 1);
    CHECK(items.weight() == 4);
    CHECK(items.waiting_to_push() == 0);
  });
}

TEST_SUITE_END();
