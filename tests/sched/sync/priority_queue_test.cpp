// priority_queue: the order of its items, and comparators that throw.
// SPDX-License-Identifier: MIT
#include <ringlet/priority_queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/allocations.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

struct job {
  int urgency;
  int number;
};
struct more_urgent {
  bool operator()(const job& left, const job& right) const { return left.urgency < right.urgency; }
};

// Refuses to compare 13.
struct superstitious {
  bool operator()(const std::unique_ptr<int>& left, const std::unique_ptr<int>& right) const {
    if (*left == 13 || *right == 13) throw std::runtime_error("13");
    return *left < *right;
  }
};

}  // namespace

TEST_SUITE_BEGIN("priority_queue");

// rows: QU-05 QS-03
TEST_CASE("the least item leaves first, and equal items in the order in which they came") {
  run_scripted([](scripted_engine&) -> task<> {
    random_numbers random(3);
    priority_queue<job, more_urgent> jobs;
    std::vector<job> model;
    for (int i = 0; i < 1000; ++i) {
      const job one{static_cast<int>(random.below(20)), i};
      model.push_back(one);
      CHECK(jobs.try_push(one));
    }
    std::sort(model.begin(), model.end(), [](const job& left, const job& right) {
      return std::pair(left.urgency, left.number) < std::pair(right.urgency, right.number);
    });
    CHECK(jobs.peek()->number == model[0].number);
    bool right = true;
    for (const job& next : model) right = right && (co_await jobs.pop()).number == next.number;
    CHECK(right);
    CHECK(jobs.empty());
    CHECK(jobs.peak() == 1000);
  });
}

// row: QU-05
TEST_CASE("a comparator decides what leaves first") {
  priority_queue<int, std::greater<>> items(3);
  for (const int item : {2, 3, 1}) CHECK(items.try_push(item));
  CHECK_FALSE(items.try_push(9));
  for (const int item : {3, 2, 1}) CHECK(*items.try_pop() == item);
  CHECK_FALSE(items.try_pop());
}

// row: QU-05
TEST_CASE("fibers of a priority_queue are served in the order in which they came") {
  run_scripted([](scripted_engine&) -> task<> {
    priority_queue<int> items(2);
    std::string log;
    CHECK(items.try_push(5));
    CHECK(items.try_push(7));
    std::vector<fiber<>> pushers;
    for (const int item : {6, 1, 2}) pushers.push_back(spawn(note_push(items, log, item)));
    co_await yield();
    for (const int expected : {5, 6, 1, 2, 7}) CHECK(*items.try_pop() == expected);
    co_await join_each(pushers);
    CHECK(log == "+6 +1 +2 ");
  });
}

// row: QS-06
TEST_CASE("a comparator that throws leaves the item with the caller and the queue usable") {
  run_scripted([](scripted_engine&) -> task<> {
    using item = std::unique_ptr<int>;
    priority_queue<item, superstitious> items(3);
    for (const int number : {20, 10}) CHECK(items.try_push(std::make_unique<int>(number)));
    item mine = std::make_unique<int>(13);
    int thrown = 0;
    for (int i = 0; i < 2; ++i) {
      try {
        if (i == 0) items.try_push(std::move(mine));
        if (i == 1) co_await items.push(std::move(mine));
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    }
    CHECK(thrown == 2);
    REQUIRE(mine != nullptr);
    CHECK(*mine == 13);
    CHECK(items.size() == 2);
    CHECK(items.try_push(std::make_unique<int>(15)));
    for (const int number : {10, 15, 20}) CHECK(**items.try_pop() == number);
  });
}

// row: QS-06
TEST_CASE("a push that waited ends with what the comparator throws, and those behind it go ahead") {
  run_scripted([](scripted_engine&) -> task<> {
    using item = std::unique_ptr<int>;
    priority_queue<item, superstitious> items(2);
    for (const int number : {20, 10}) CHECK(items.try_push(std::make_unique<int>(number)));
    item mine = std::make_unique<int>(13);
    const fiber<std::string> bad = spawn([&]() -> task<std::string> {
      try {
        co_await items.push(std::move(mine));
      } catch (const std::runtime_error& error) {
        co_return error.what();
      }
      co_return "stored";
    });
    const fiber<std::string> good = spawn(outcome_of(push_one(items, std::make_unique<int>(5))));
    co_await yield();
    CHECK(**items.try_pop() == 10);
    const std::string words = co_await bad.get();
    CHECK(words == "13");
    CHECK(mine != nullptr);
    const std::string stored = co_await good.get();
    CHECK(stored == "done");
    for (const int number : {5, 20}) CHECK(**items.try_pop() == number);
  });
}

// row: QS-06
TEST_CASE("a push to a priority_queue without memory leaves its item with the caller") {
  if (!allocations_are_counted()) return;
  priority_queue<std::unique_ptr<std::string>> items;
  auto mine = std::make_unique<std::string>("x");
  int failed = 0;
  for (int i = 0; i < 1000 && mine != nullptr; ++i) {
    try {
      const out_of_memory now;
      items.try_push(std::move(mine));
      mine = std::make_unique<std::string>("y");
    } catch (const std::bad_alloc&) {
      ++failed;
      break;
    }
  }
  CHECK(failed == 1);
  const std::size_t size = items.size();
  if (mine != nullptr) CHECK(items.try_push(std::move(mine)));
  while (items.try_pop()) continue;
  CHECK(items.empty());
  CHECK(items.peak() >= size);
}

// row: QU-05
TEST_CASE("items that are left in a priority_queue are destroyed once") {
  life_count lives;
  const auto less = [](const counted_item& left, const counted_item& right) {
    return left.value() < right.value();
  };
  {
    priority_queue<counted_item, decltype(less)> items(queue<int>::unlimited, less);
    for (int i = 0; i < 10; ++i) CHECK(items.try_push(counted_item(lives, i * 7 % 10)));
    CHECK(items.try_pop()->value() == 0);
    CHECK(lives.alive() == 9);
    items.close_now();
    CHECK(lives.alive() == 0);
  }
  CHECK(lives.alive() == 0);
}

TEST_SUITE_END();
