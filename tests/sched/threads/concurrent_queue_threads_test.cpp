// concurrent_queue: producers and consumers on schedulers and plain threads.
//
// Method: every item says who pushed it and how many that one had pushed before. Consumers note
// what is wrong; the main thread checks when all have ended. RINGLET_TEST_SCALE makes the runs that
// many times longer.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/concurrent_event.hpp>
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/concurrent_semaphore.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/remote_promise.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/random.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

struct numbered {
  std::uint32_t producer = 0;
  std::uint32_t number = 0;
};
using numbered_queue = concurrent_queue<numbered>;

constexpr std::size_t producers_max = 8;

// What one consumer has seen: the numbers of each producer must rise.
struct view {
  std::array<std::uint32_t, producers_max> last{};
  std::array<std::uint32_t, producers_max> count{};
  int disorders = 0;

  void note(const numbered& item) {
    disorders += static_cast<int>(item.number <= last[item.producer]);
    last[item.producer] = item.number;
    ++count[item.producer];
  }
};

bool is_complete(std::span<const view> all, std::size_t producers, std::uint32_t each) {
  for (std::size_t producer = 0; producer < producers; ++producer) {
    std::uint32_t sum = 0;
    for (const view& one : all) sum += one.count[producer];
    if (sum != each) return false;
  }
  for (const view& one : all) {
    if (one.disorders != 0) return false;
  }
  return true;
}

task<> push_all(numbered_queue& to, std::uint32_t producer, std::uint32_t count) {
  for (std::uint32_t i = 1; i <= count; ++i) {
    numbered item{producer, i};
    co_await to.push(std::move(item));
  }
}

task<> pop_all(numbered_queue& from, view& seen) {
  while (const result<numbered> next = co_await as_result(from.pop())) seen.note(*next);
}

task<> push_in_batches(numbered_queue& to, std::uint32_t producer, std::uint32_t count) {
  std::array<numbered, 16> batch;
  for (std::uint32_t done = 0; done < count;) {
    const std::size_t size = std::min<std::size_t>(batch.size(), count - done);
    for (std::size_t i = 0; i < size; ++i) {
      batch[i] = {producer, done + static_cast<std::uint32_t>(i) + 1};
    }
    done += static_cast<std::uint32_t>(co_await to.push_some(std::span(batch).first(size)));
  }
}

task<> pop_in_batches(numbered_queue& from, view& seen) {
  std::array<numbered, 16> batch;
  while (const result<std::size_t> count = co_await as_result(from.pop_some(batch))) {
    for (std::size_t i = 0; i < *count; ++i) seen.note(batch[i]);
  }
}

void push_blocking_all(numbered_queue& to, std::uint32_t producer, std::uint32_t count) {
  for (std::uint32_t i = 1; i <= count; ++i) to.push_blocking({producer, i});
}

void pop_blocking_all(numbered_queue& from, view& seen) {
  try {
    for (;;) seen.note(from.pop_blocking());
  } catch (const std::system_error& error) {
    if (error.code() != errc::closed) ++seen.disorders;
  }
}

}  // namespace

TEST_SUITE_BEGIN("concurrent_queue between threads");

TEST_CASE(
    "fibers of two schedulers and plain threads pop each item once, each producer's in order") {
  const auto each = static_cast<std::uint32_t>(3'000 * test_scale());
  constexpr std::size_t producers = 6;
  numbered_queue items(8);
  std::array<view, 6> seen;
  std::vector<std::thread> producing;
  std::vector<std::thread> consuming;
  for (std::uint32_t i = 0; i < 2; ++i) {
    producing.emplace_back([&, i] { push_blocking_all(items, i, each); });
    producing.emplace_back([&, i] {
      const auto main = [&]() -> task<> {
        const fiber<> other = spawn(push_in_batches(items, 2 + i, each));
        co_await push_all(items, 4 + i, each);
        co_await other.get();
      };
      run(main());
    });
    consuming.emplace_back([&, i] { pop_blocking_all(items, seen[i]); });
    consuming.emplace_back([&, i] {
      const auto main = [&]() -> task<> {
        const fiber<> other = spawn(pop_in_batches(items, seen[2 + i]));
        co_await pop_all(items, seen[4 + i]);
        co_await other.get();
      };
      run(main());
    });
  }
  for (std::thread& one : producing) one.join();
  items.close();
  for (std::thread& one : consuming) one.join();
  CHECK(is_complete(seen, producers, each));
  CHECK(items.empty());
}

// S9
TEST_CASE("an item that is pushed before close() is popped, whenever the pop comes") {
  const int rounds = 500 * static_cast<int>(test_scale());
  int popped = 0;
  std::atomic<numbered_queue*> shared = nullptr;
  std::atomic<int> ready = 0;
  std::thread producer([&] {
    for (int i = 0; i < rounds; ++i) {
      while (ready.load() != i + 1) std::this_thread::yield();
      shared.load()->push_blocking({0, 1});
      shared.load()->close();
    }
  });
  const auto main = [&]() -> task<> {
    for (int i = 0; i < rounds; ++i) {
      std::optional<numbered_queue> items(1);
      shared = &*items;
      ready = i + 1;
      while (co_await as_result(items->pop())) ++popped;
    }
  };
  run(main());
  producer.join();
  CHECK(popped == rounds);
}

TEST_CASE(
    "a plain thread that waits for an item, or for room, is woken by a fiber, or by its limit") {
  numbered_queue items(1);
  CHECK_THROWS_AS(items.pop_blocking(1ms), timed_out);
  items.push_blocking({0, 1});
  CHECK_THROWS_AS(items.push_blocking({0, 2}, 1ms), timed_out);
  CHECK(items.try_pop()->number == 1);
  std::uint32_t got = 0;
  std::thread other([&] {
    got = items.pop_blocking().number;
    items.push_blocking({0, got + 1});
    items.push_blocking({0, got + 2});  // waits for room
    items.close();
  });
  const auto main = [&]() -> task<> {
    while (items.waiting_to_pop() == 0) co_await yield();
    CHECK(items.try_push({0, 5}));
    while (items.waiting_to_push() == 0) co_await yield();
    view seen;
    co_await pop_all(items, seen);
    CHECK(seen.count[0] == 2);
    CHECK(seen.last[0] == 7);
  };
  run(main());
  other.join();
  CHECK(got == 5);
  CHECK_THROWS_AS(items.pop_blocking(), std::system_error);
  CHECK_THROWS_AS(items.push_blocking({0, 1}), std::system_error);
}

TEST_CASE("plain threads push and pop several items at once") {
  numbered_queue items(4);
  std::array<numbered, 6> given;
  std::array<numbered, 6> taken;
  for (std::uint32_t i = 0; i < given.size(); ++i) given[i] = {0, i};
  CHECK(items.push_some_blocking(given) == 4);
  CHECK(items.pop_some_blocking(taken) == 4);
  CHECK(taken[3].number == 3);
  CHECK(items.push_some_blocking({}) == 0);
  CHECK(items.pop_some_blocking({}) == 0);
  CHECK_THROWS_AS(items.pop_some_blocking(taken, 0s), timed_out);
}

TEST_CASE("close() by another thread ends the waits of fibers and threads") {
  numbered_queue items(1);
  std::vector<view> seen(2);
  std::thread blocked([&] { pop_blocking_all(items, seen[0]); });
  std::thread scheduled([&] { run(pop_all(items, seen[1])); });
  while (items.waiting_to_pop() != 2) std::this_thread::yield();
  items.close();
  blocked.join();
  scheduled.join();
  CHECK(is_complete(seen, 1, 0));
}

TEST_CASE("fibers that are killed or run out of time at any moment lose and double nothing") {
  const auto each = static_cast<std::uint32_t>(2'000 * test_scale());
  numbered_queue items(4);
  std::array<view, 2> seen;
  const auto consume = [&](view& mine, std::uint64_t seed) -> task<> {
    random_numbers random(seed);
    bool ended = false;
    while (!ended) {
      const fiber<> popping = spawn([&]() -> task<> {
        for (;;) {
          const time_limit limit = random.once_in(3) ? time_limit(0s) : forever;
          if (random.once_in(4)) {
            auto first = co_await select(items.pop(), sleep(1us));
            if (first.index() == 0) mine.note(std::get<0>(first));
            continue;
          }
          const result<numbered> next = co_await as_result(items.pop(limit));
          if (next) mine.note(*next);
          ended = !next && next.error() == errc::closed;
          if (ended) co_return;
        }
      });
      for (std::size_t turns = random.below(20); turns != 0; --turns) co_await yield();
      popping.request_kill();
      co_await popping.join();
      // A select() reports that the queue is closed as an error of the fiber.
      if (popping.result() == outcome::error) {
        (void)popping.error();
        ended = true;
      }
    }
  };
  std::thread one([&] { run(consume(seen[0], 1)); });
  std::thread two([&] { run(consume(seen[1], 2)); });
  std::thread producer([&] { push_blocking_all(items, 0, each); });
  run(push_in_batches(items, 1, each));
  producer.join();
  items.close();
  one.join();
  two.join();
  CHECK(is_complete(seen, 2, each));
}

TEST_CASE("waits end with the run of their fibers, and those of other threads continue") {
  numbered_queue items(1);
  concurrent_semaphore seats(0);
  concurrent_event begun;
  remote_promise<> promised;
  std::vector<fiber<>> waiting;
  const auto main = [&]() -> task<> {
    waiting.push_back(spawn([&]() -> task<> { (void)co_await items.pop(); }));
    waiting.push_back(spawn([&]() -> task<> { (void)co_await seats.acquire(); }));
    waiting.push_back(spawn([&]() -> task<> { co_await begun.wait(); }));
    waiting.push_back(spawn([&]() -> task<> { co_await promised.get_future().get(); }));
    while (items.waiting_to_pop() != 2) co_await yield();
  };
  view seen;
  std::thread other([&] { pop_blocking_all(items, seen); });
  run(main());
  for (const fiber<>& one : waiting) CHECK(one.result() == outcome::cancelled);
  CHECK(items.waiting_to_pop() == 1);
  CHECK(seats.waiting() == 0);
  items.push_blocking({0, 1});
  items.close();
  other.join();
  CHECK(seen.count[0] == 1);
}

// The waits are those of the parent, and never end in the child.
TEST_CASE("a child of fork() may destroy objects that the parent's fibers and threads wait for") {
  std::optional<numbered_queue> items(1);
  std::optional<concurrent_semaphore> seats(1);
  std::optional<concurrent_event> begun(std::in_place);
  child_end end;
  const auto main = [&]() -> task<> {
    const auto held = co_await seats->acquire();
    const std::array<fiber<>, 3> waiting = {
        spawn([&]() -> task<> { (void)co_await items->pop(); }),
        spawn([&]() -> task<> { (void)co_await seats->acquire(); }),
        spawn([&]() -> task<> { co_await begun->wait(); })};
    while (items->waiting_to_pop() != 2) co_await yield();
    forked_child child;
    if (child.is_here()) {
      items.reset();
      seats.reset();
      begun.reset();
      ::_exit(0);
    }
    end = child.wait();
    for (const fiber<>& one : waiting) one.request_kill();
  };
  view seen;
  std::thread other([&] { pop_blocking_all(*items, seen); });
  run(main());
  items->close();
  other.join();
  CHECK(end.errors.empty());
  CHECK(end.status == 0);
}

// S13
TEST_CASE("a thread that pops in a loop does not keep two schedulers from making progress") {
  const auto each = static_cast<std::uint32_t>(20'000 * test_scale());
  numbered_queue items(64);
  std::array<view, 2> seen;
  std::atomic<bool> ended = false;
  std::thread spinning([&] {
    while (!ended) {
      if (const auto item = items.try_pop()) seen[0].note(*item);
    }
  });
  std::thread producer([&] { run(push_all(items, 0, each)); });
  std::thread consumer([&] { run(pop_all(items, seen[1])); });
  producer.join();
  items.close();
  consumer.join();
  ended = true;
  spinning.join();
  CHECK(is_complete(seen, 1, each));
}

TEST_SUITE_END();
