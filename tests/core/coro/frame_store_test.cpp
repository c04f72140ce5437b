// How much memory the frame pool takes and returns: with blocks allocated on one thread and freed
// on another, with changing sizes, after a burst, when threads end, and after fork().
//
// Method: the pool's own totals, which include AddressSanitizer's blocks.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/poison.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"

using ringlet::detail::frame_pool;
using ringlet::detail::frames;
using namespace ringlet::test;

namespace {

constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t second = 1'000'000'000;
// Memory that is never returned, and slabs that are partly in use.
constexpr std::size_t slack = 2 * 1024 * 1024;

std::size_t resident() { return frames.totals().resident; }

std::size_t free_blocks_here(std::size_t size) {
  std::size_t count = 0;
  const frame_pool::block* next = ringlet::detail::frames_here.free[frame_pool::class_of(size)];
  for (; next != nullptr; ++count) {
    ringlet::detail::unpoison(next, sizeof(*next));
    const frame_pool::block* const here = next;
    next = here->next;
    ringlet::detail::poison(here, sizeof(*here));
  }
  return count;
}

class many_blocks {
 public:
  many_blocks(std::size_t count, std::size_t size) : size_(size) {
    blocks_.reserve(count);
    while (blocks_.size() < count) {
      blocks_.push_back(frames.allocate(size));
      std::memset(blocks_.back(), 0x5a, sizeof(void*));
    }
  }
  many_blocks(const many_blocks&) = delete;
  many_blocks& operator=(const many_blocks&) = delete;
  ~many_blocks() { free_all(); }
  void free_all() {
    for (void* block : blocks_) frames.deallocate(block, size_);
    blocks_.clear();
  }

 private:
  std::size_t size_;
  std::vector<void*> blocks_;
};

// Sleeps like an idle scheduler until no further wake-up is needed. Returns how many times it woke,
// not counting sleeps of zero length.
int sleep_idly(std::int64_t& now) {
  for (int woken = 0;; ++woken) {
    std::int64_t time_limit = frames.before_sleep(now, forever);
    while (time_limit == now) time_limit = frames.before_sleep(now, forever);
    if (time_limit == forever) return woken;
    REQUIRE(time_limit > now);
    REQUIRE(time_limit - now <= second);
    now = time_limit;
  }
}

// What stays resident after all memory that can be returned has been returned.
std::size_t settled() {
  std::int64_t now = 7 * second;
  sleep_idly(now);
  return resident();
}

}  // namespace

TEST_SUITE_BEGIN("frame store");

TEST_CASE("the blocks that a thread has taken are counted, including cached ones") {
  constexpr std::size_t size = 1024;
  constexpr std::size_t count = 10;
  frames.hand_over();
  const std::size_t before = frames.totals().taken;
  {
    const many_blocks used(count, size);
    CHECK(frames.totals().taken == before + (count + free_blocks_here(size)) * size);
  }
  CHECK(frames.totals().taken == before + free_blocks_here(size) * size);
  CHECK(free_blocks_here(size) >= count);
  frames.hand_over();
  CHECK(frames.totals().taken == before);
}

TEST_CASE("a thread keeps at most 64 KiB of free blocks of one class") {
  for (const std::size_t size : {32U, 400U, 1024U, 10'000U, 32'768U}) {
    CAPTURE(size);
    many_blocks burst(5'000, size);
    CHECK(free_blocks_here(size) * size <= frame_pool::kept_max);
    burst.free_all();
    const std::size_t block = frame_pool::size_of(frame_pool::class_of(size));
    CHECK(free_blocks_here(size) >= 1);
    CHECK(free_blocks_here(size) * block <= frame_pool::kept_max);
  }
}

TEST_CASE("blocks allocated on one thread and freed on another are reused") {
  constexpr std::size_t size = 470, count = 4'096;
  const int rounds = sanitized ? 20 : 200;
  std::vector<void*> on_their_way;
  std::barrier<> hand_over(2);
  std::thread consumer([&] {
    frames.deallocate(frames.allocate(size), size);
    for (int i = 0; i < rounds; ++i) {
      hand_over.arrive_and_wait();
      for (void* block : on_their_way) frames.deallocate(block, size);
      on_their_way.clear();
      hand_over.arrive_and_wait();
    }
  });
  const std::size_t before = settled();
  std::size_t most = 0;
  for (int i = 0; i < rounds; ++i) {
    while (on_their_way.size() < count) on_their_way.push_back(frames.allocate(size));
    most = std::max(most, resident());
    hand_over.arrive_and_wait();
    hand_over.arrive_and_wait();
  }
  consumer.join();
  CHECK(most - before <= count * 512 + slack);
}

TEST_CASE("memory that served one size can serve every other size") {
  constexpr std::size_t bytes = 16 * 1024 * 1024;
  settled();
  many_blocks(bytes / 480, 480);
  frames.hand_over();
  const std::size_t before = resident();
  for (const std::size_t size : {64U, 800U, 5'000U, 32'768U}) {
    const many_blocks all(bytes / frame_pool::size_of(frame_pool::class_of(size)) / 2, size);
    if (!sanitized) CHECK(resident() <= before + slack);
  }
}

// Several threads allocate and free blocks of several sizes and take them from one another. The
// bound is the peak use of each size, because a size keeps its memory while it is in use.
TEST_CASE("a random program takes no more memory than its peak use") {
  constexpr std::array<std::size_t, 5> sizes{96, 200, 470, 1'500, 9'000};
  constexpr std::size_t slots = 4'000, threads = 3;
  constexpr std::uint64_t seed = 20'261'130;
  const int steps = sanitized ? 30'000 : 300'000;
  struct slot {
    std::atomic<unsigned char*> block = nullptr;
  };
  std::vector<slot> all(slots);
  std::atomic<std::size_t> in_use = 0, most_in_use = 0, damaged = 0;
  const std::size_t before = settled();
  std::size_t most_resident = 0;
  std::mutex mutex;
  const auto work = [&](std::size_t number) {
    random_numbers random(seed + number);
    for (int step = 0; step < steps; ++step) {
      // A slot always has the same size. Some phases fill more slots than others.
      const bool growing = step / 10'000 % 2 == 0;
      const std::size_t at = random.below(slots);
      const std::size_t size = sizes[at % sizes.size()];
      unsigned char* made = nullptr;
      if (random.below(4) < (growing ? 3U : 1U)) {
        made = static_cast<unsigned char*>(frames.allocate(size));
        made[0] = made[size - 1] = static_cast<unsigned char>(at);
        const std::size_t now = in_use.fetch_add(size) + size;
        std::size_t most = most_in_use;
        while (now > most && !most_in_use.compare_exchange_weak(most, now)) continue;
      }
      if (unsigned char* const old = all[at].block.exchange(made)) {
        if (old[0] != static_cast<unsigned char>(at) || old[0] != old[size - 1]) ++damaged;
        in_use.fetch_sub(size);
        frames.deallocate(old, size);
      }
      if (step % 64 == 0) {
        const std::lock_guard lock(mutex);
        most_resident = std::max(most_resident, resident());
      }
    }
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i) workers.emplace_back(work, i);
  for (std::thread& worker : workers) worker.join();
  for (std::size_t at = 0; at < slots; ++at) {
    if (void* const left = all[at].block) frames.deallocate(left, sizes[at % sizes.size()]);
  }
  CHECK(damaged == 0);
  const std::size_t kept = threads * sizes.size() * frame_pool::kept_max;
  MESSAGE("in use at once: ", most_in_use / 1024,
          " KiB, resident: ", (most_resident - std::min(before, most_resident)) / 1024, " KiB");
  CHECK(most_resident <= before + 2 * most_in_use + kept + slack);
}

TEST_CASE("memory returns to the system within a second of sleep after a burst, with one wake-up") {
  std::int64_t now = 7 * second;
  const std::size_t before = settled();
  const std::size_t mapped_before = frames.totals().mapped;
  const std::size_t count = sanitized ? 20'000 : 200'000;
  {
    const many_blocks fibers(count, 400);
    const many_blocks calls(count, 200);
    CHECK(resident() - before >= count * 600);
  }
  const std::int64_t slept_at = now;
  CHECK(sleep_idly(now) == 1);
  CHECK(now - slept_at <= second);
  CHECK(resident() <= before + slack);
  CHECK(frames.totals().mapped <= mapped_before + 2 * slack);
  // No further wake-up is needed, even if the thread has used a little of its memory since.
  for (int i = 0; i < 3; ++i) frames.deallocate(frames.allocate(400), 400);
  CHECK(sleep_idly(now) == 0);
}

TEST_CASE("a sleep ends when memory is due to return, or earlier when the sleeper asks") {
  std::int64_t now = 7 * second;
  settled();
  many_blocks(5'000, 400);
  const std::int64_t time_limit = frames.before_sleep(now, forever);
  CHECK(time_limit > now);
  REQUIRE(time_limit < forever);
  CHECK(frames.before_sleep(now + 1, now + 5) == now + 5);
  CHECK(frames.before_sleep(time_limit - 1, forever) == time_limit);  // put off by nothing
  now = time_limit;
  CHECK(sleep_idly(now) == 0);
}

TEST_CASE("blocks in use stay unchanged while memory returns to the system") {
  std::vector<unsigned char*> kept;
  {
    std::vector<void*> burst;
    for (int i = 0; i < 20'000; ++i) {
      burst.push_back(frames.allocate(700));
      if (i % 1'000 == 0) {
        kept.push_back(static_cast<unsigned char*>(frames.allocate(700)));
        std::memset(kept.back(), i / 1'000, 700);
      }
    }
    for (void* block : burst) frames.deallocate(block, 700);
  }
  settled();
  const many_blocks again(20'000, 700);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    CHECK(kept[i][0] == i);
    CHECK(kept[i][699] == i);
    frames.deallocate(kept[i], 700);
  }
}

TEST_CASE("the blocks that a thread freed return when it ends") {
  const std::size_t before = settled();
  std::thread([] { many_blocks(50'000, 400); }).join();
  CHECK(resident() <= before + slack);
}

TEST_CASE("allocate returns only cached blocks when memory has run out") {
  void* const here = frames.allocate(3'000);
  frames.deallocate(here, 3'000);
  std::vector<void*> rest;
  frames.set_shortage([]() noexcept { return true; });
  bool thrown = false;
  try {
    for (;;) rest.push_back(frames.allocate(3'000));
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  bool large_thrown = false;
  try {
    frames.deallocate(frames.allocate(100'000), 100'000);
  } catch (const std::bad_alloc&) {
    large_thrown = true;
  }
  frames.set_shortage(nullptr);
  CHECK(thrown);
  CHECK(large_thrown);
  CHECK(rest.front() == here);
  for (void* block : rest) frames.deallocate(block, 3'000);
  frames.deallocate(frames.allocate(3'000), 3'000);
}

// AddressSanitizer's allocator does not support this: its locks stay held in the child.
TEST_CASE("a forked child can use the pool, whatever other threads were doing" *
          doctest::skip(sees_poison)) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> others;
  for (const std::size_t size : {32'768U, 400U}) {
    others.emplace_back([&stop, size] {
      while (!stop) many_blocks(300, size);
    });
  }
  int failed = 0;
  for (int i = 0; i < (sanitized ? 5 : 50); ++i) {
    const child_end end = run_in_child([] {
      for (const std::size_t size : {32'768U, 400U}) many_blocks(300, size);
      settled();
    });
    failed += end.status == 0 ? 0 : 1;
  }
  stop = true;
  for (std::thread& other : others) other.join();
  CHECK(failed == 0);
}

TEST_SUITE_END();
