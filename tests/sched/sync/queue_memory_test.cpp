// queue: what it allocates and when, and that nothing is lost when there is no memory.
//
// Method: items are compared with those of a std::deque, their lives are counted, and operator new
// fails where a test says so. Under sanitizers it cannot fail, and those cases are skipped.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <new>
#include <optional>
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

// An item of that size with a number, whose life is counted.
template <std::size_t Size, std::size_t Alignment = alignof(counted_item)>
struct alignas(Alignment) sized : counted_item {
  using counted_item::counted_item;
  std::array<char, Size> filling{};
};

// The size of a queue's block. While a test holds all free blocks of this size, a queue's blocks
// come from the system.
constexpr std::size_t chunk_bytes = 512;

bool throws_bad_alloc(auto&& call) {
  try {
    call();
    return false;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

// Pushes and pops in waves that grow to `most`, and compares all popped items.
template <class T>
void compare_with_deque(std::size_t most, std::uint64_t seed) {
  CAPTURE(most);
  life_count lives;
  {
    random_numbers random(seed);
    queue<T> items;
    std::deque<int> model;
    int number = 0;
    bool right = true;
    for (int wave = 0; wave < 40; ++wave) {
      const std::size_t high = wave == 0 ? most : random.below(most + 1);
      const std::size_t low = wave % 4 == 3 ? 0 : random.below(high + 1);
      while (model.size() < high) {
        right = right && items.try_push(T(lives, ++number));
        model.push_back(number);
        right = right && items.peek()->value() == model.front();
      }
      while (model.size() > low) {
        right = right && items.try_pop()->value() == model.front();
        model.pop_front();
      }
      right = right && items.size() == model.size() && items.empty() == model.empty();
      right = right && lives.alive() == static_cast<int>(model.size());
    }
    CHECK(right);
  }
  CHECK(lives.alive() == 0);
}

}  // namespace

TEST_SUITE_BEGIN("queue memory");

// row: QU-01
TEST_CASE("a queue behaves like a deque at every border of its blocks") {
  for (const std::size_t most :
       {1u, 2u, 20u, 21u, 22u, 30u, 31u, 32u, 33u, 62u, 63u, 64u, 65u, 66u, 1000u}) {
    compare_with_deque<counted_item>(most, most);        // 31 of them are a block
    compare_with_deque<sized<100>>(most, most);          // 4
    compare_with_deque<sized<200, 16>>(most, most);      // 2, with a gap in front
    compare_with_deque<sized<450>>(most, most);          // 1
    compare_with_deque<sized<480, 16>>(most, most);      // exactly a block
    compare_with_deque<sized<1000>>(most % 100, most);   // larger than a block
    compare_with_deque<sized<40'000>>(most % 20, most);  // larger than what the pool has
  }
}

// row: QU-01
TEST_CASE("numbers fill a block without a gap") {
  queue<char> letters;
  std::string in, out;
  for (int i = 0; i < 3000; ++i) {
    in += static_cast<char>('a' + i % 26);
    CHECK(letters.try_push(in.back()));
    if (i % 3 == 2) out += *letters.try_pop();
  }
  while (const auto next = letters.try_pop()) out += *next;
  CHECK(out == in);
}

// row: QU-01
TEST_CASE("an empty queue holds no memory") {
  if (!allocations_are_counted()) return;
  const empty_frame_pool nothing_free(chunk_bytes);
  queue<int> items;
  const auto takes_memory = [&] {
    const out_of_memory now;
    return throws_bad_alloc([&] { items.try_push(1); });
  };
  CHECK(takes_memory());
  for (int i = 0; i < 1000; ++i) CHECK(items.try_push(i));
  while (items.try_pop()) continue;
  // All blocks are back in the pool: when another owner holds them, none is left.
  const empty_frame_pool all(chunk_bytes);
  CHECK(takes_memory());
}

TEST_CASE("a hand-over does not allocate, a block holds many items, and spent blocks are reused") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<> popper = spawn(note_pop(items, log));
    co_await yield();
    const empty_frame_pool nothing_free(chunk_bytes);
    {
      std::optional<out_of_memory> now(std::in_place);
      const bool handed_over = items.try_push(1);
      now.reset();
      CHECK(handed_over);
    }
    co_await popper.join();
    CHECK(items.try_push(1));  // with a block
    {
      std::optional<out_of_memory> now(std::in_place);
      bool right = true;
      for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 100; ++i) right = right && items.try_push(i);
        for (int i = 0; i < 100; ++i) right = right && items.try_pop();
      }
      now.reset();
      CHECK(right);
    }
  });
}

// row: QU-01
TEST_CASE("push throws when there is no memory, and leaves its item unchanged") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    queue<std::unique_ptr<int>> items(100);
    auto mine = std::make_unique<int>(7);
    int thrown = 0;
    {
      const empty_frame_pool nothing_free(chunk_bytes);
      for (int i = 0; i < 2; ++i) {
        try {
          const out_of_memory now;
          if (i == 0) items.try_push(std::move(mine));
          if (i == 1) co_await items.push(std::move(mine));
        } catch (const std::bad_alloc&) {
          ++thrown;
        }
      }
    }
    CHECK(thrown == 2);
    CHECK(mine != nullptr);
    CHECK(items.empty());
    CHECK(items.peek() == nullptr);
    co_await items.push(std::move(mine));
    CHECK(**items.try_pop() == 7);
  });
}

// row: QU-01
TEST_CASE("push throws when there is no memory for one more block, and no item is lost") {
  if (!allocations_are_counted()) return;
  queue<int> items;
  int in = 0;
  bool thrown = false;
  {
    const empty_frame_pool nothing_free(chunk_bytes);
    CHECK(items.try_push(in++));
    const empty_frame_pool rest_of_slab(chunk_bytes);
    const out_of_memory now;
    thrown = throws_bad_alloc([&] {
      for (;;) items.try_push(int(in)), ++in;
    });
  }
  CHECK(thrown);
  CHECK(in > 100);
  CHECK(items.size() == static_cast<std::size_t>(in));
  CHECK(items.try_push(in++));
  for (int i = 0; i < in; ++i) CHECK(*items.try_pop() == i);
  CHECK(items.empty());
}

// row: W22
TEST_CASE("a pop without memory for waiting pushers loses nothing, and they are let in later") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    constexpr int block = (chunk_bytes - sizeof(void*)) / sizeof(int);
    queue<int> items(block);
    std::string log;
    for (int i = 0; i < block; ++i) CHECK(items.try_push(i));
    std::vector<fiber<>> all;
    for (int i = 0; i < 3; ++i) all.push_back(spawn(note_push(items, log, block + i)));
    co_await yield();
    int next = 0;
    bool barged = true;
    const auto pop_without_memory = [&](int time_limit) {
      const empty_frame_pool nothing_free(chunk_bytes);
      const out_of_memory now;
      bool right = true;
      while (next < time_limit) right = right && *items.try_pop() == next++;
      barged = items.try_push(9);
      return right;
    };
    SUBCASE("with the next pop") {
      CHECK(pop_without_memory(1));
      CHECK_FALSE(barged);
      CHECK(items.size() == block - 1);
      CHECK(*items.try_pop() == next++);
      CHECK(items.size() == block);
    }
    SUBCASE("with the block that the last item leaves") {
      CHECK(pop_without_memory(block - 1));
      CHECK_FALSE(barged);
      CHECK(items.size() == 1);
      CHECK(pop_without_memory(block));
      CHECK(items.size() == (barged ? 4 : 3));
    }
    for (; next < block + 3; ++next) {
      const int popped = co_await items.pop();
      CHECK(popped == next);
    }
    co_await join_each(all);
    CHECK(log == "+126 +127 +128 ");
  });
}

// row: W22
TEST_CASE("an item without memory is popped directly from the fiber that pushes it") {
  if (!allocations_are_counted()) return;
  using large = std::array<int, 10'000>;  // from operator new
  run_scripted([](scripted_engine&) -> task<> {
    queue<large> items(2);
    std::string log;
    const auto push = [&](int number) -> task<> {
      large mine{number};
      co_await items.push(std::move(mine));
      log += std::to_string(number);
    };
    std::vector<fiber<>> all;
    for (int i = 0; i < 6; ++i) all.push_back(spawn(push, i));
    co_await yield();
    CHECK(log == "01");
    const auto pop = [&]() -> int {
      const out_of_memory now;
      return (*items.try_pop())[0];
    };
    CHECK(pop() == 0);
    CHECK(pop() == 1);
    CHECK(items.empty());
    CHECK((*items.peek())[0] == 2);
    CHECK(pop() == 2);
    // Now there is memory: with the next pop the remaining pushes find room.
    CHECK((*items.try_pop())[0] == 3);
    CHECK(items.size() == 2);
    co_await join_each(all);
    CHECK(log == "012345");
    CHECK((*items.try_pop())[0] == 4);
    CHECK((*items.try_pop())[0] == 5);
    CHECK_FALSE(items.try_pop());
  });
}

TEST_SUITE_END();
