// lifo_queue: the order of its items, and its blocks of memory.
// SPDX-License-Identifier: MIT
#include <ringlet/lifo_queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/allocations.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("lifo_queue");

// rows: QU-06 QS-03
TEST_CASE("the item that was stored last leaves first") {
  run_scripted([](scripted_engine&) -> task<> {
    lifo_queue<std::string> words(3);
    for (const char* const word : {"a", "b", "c"}) co_await words.push(std::string(word));
    CHECK_FALSE(words.try_push("d"));
    CHECK(*words.peek() == "c");
    std::string out = co_await words.pop();
    CHECK(words.try_push("e"));
    for (int i = 0; i < 3; ++i) out += *words.try_pop();
    CHECK(out == "ceba");
    CHECK(words.peak() == 3);
    CHECK_FALSE(words.try_pop());
  });
}

// row: QU-06
TEST_CASE("fibers of a lifo_queue are served in the order in which they came") {
  run_scripted([](scripted_engine&) -> task<> {
    lifo_queue<int> items(1);
    std::string log;
    const fiber<> a = spawn(note_pop(items, log)), b = spawn(note_pop(items, log));
    co_await yield();
    CHECK(items.try_push(1));
    CHECK(items.try_push(2));
    co_await b.join();
    CHECK(log == "-1 -2 ");
    log.clear();
    std::vector<fiber<>> pushers;
    for (int i = 3; i < 6; ++i) pushers.push_back(spawn(note_push(items, log, i)));
    co_await yield();
    for (const int expected : {3, 4, 5}) CHECK(*items.try_pop() == expected);
    co_await join_each(pushers);
    CHECK(log == "+3 +4 +5 ");
  });
}

// row: QU-06
TEST_CASE("at every border of its blocks a lifo_queue behaves like a stack") {
  random_numbers random(7);
  life_count lives;
  {
    lifo_queue<counted_item> items;  // 31 of them are a block
    std::vector<int> model;
    bool right = true;
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t most = i % 1000 < 500 ? 100 : 3;
      if (model.size() < most && (model.empty() || random.once_in(2))) {
        model.push_back(i);
        right = right && items.try_push(counted_item(lives, i));
      } else {
        right = right && items.try_pop()->value() == model.back();
        model.pop_back();
      }
      right = right && items.size() == model.size();
      right = right && (model.empty() || items.peek()->value() == model.back());
    }
    CHECK(right);
    CHECK(lives.alive() == static_cast<int>(model.size()));
  }
  CHECK(lives.alive() == 0);
}

// rows: QU-06 QS-06
TEST_CASE("a push to a lifo_queue without memory leaves its item with the caller") {
  if (!allocations_are_counted()) return;
  lifo_queue<std::unique_ptr<int>> items;
  auto mine = std::make_unique<int>(7);
  bool thrown = false;
  {
    const empty_frame_pool nothing_free(512);
    try {
      const out_of_memory now;
      items.try_push(std::move(mine));
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  CHECK(thrown);
  REQUIRE(mine != nullptr);
  CHECK(items.empty());
  CHECK(items.try_push(std::move(mine)));
  CHECK(**items.try_pop() == 7);
}

// row: QU-06
TEST_CASE("a lifo_queue may be a part of a select, and is closed like any queue") {
  run_scripted([](scripted_engine&) -> task<> {
    lifo_queue<int> items;
    CHECK((co_await select(items.pop(), sleep(1ms))).index() == 1);
    CHECK(items.try_push(1));
    CHECK(items.try_push(2));
    const auto which = co_await select(items.pop(), sleep(1ms));
    CHECK(std::get<0>(which) == 2);
    items.close();
    CHECK(co_await outcome_of(push_one(items, 3)) == "closed");
    CHECK(co_await outcome_of(pop_one(items)) == "done");
    CHECK(co_await outcome_of(pop_one(items)) == "closed");
  });
}

TEST_SUITE_END();
