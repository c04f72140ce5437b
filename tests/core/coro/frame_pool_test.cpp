// The sizes of the frame pool, which thread gets a freed block, and what happens to blocks when
// threads end. frame_store_test.cpp tests how much memory the process takes and returns.
//
// The sanitizers check in every case that nothing leaks and nothing is freed twice.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "support/poison.hpp"

using ringlet::detail::frame_pool;
using ringlet::detail::frames;
using namespace ringlet::test;

TEST_SUITE_BEGIN("frame_pool");

TEST_CASE("a block is never smaller than requested, and no smaller class would do") {
  for (std::size_t size = 1; size <= frame_pool::pooled_max; ++size) {
    const std::size_t index = frame_pool::class_of(size);
    REQUIRE(index < frame_pool::classes);
    REQUIRE(frame_pool::size_of(index) >= size);
    if (index > 0) REQUIRE(frame_pool::size_of(index - 1) < size);
  }
}

TEST_CASE("the classes begin at one step and end at the limit") {
  CHECK(frame_pool::class_of(1) == 0);
  CHECK(frame_pool::size_of(0) == frame_pool::step);
  CHECK(frame_pool::class_of(frame_pool::pooled_max) == frame_pool::classes - 1);
  CHECK(frame_pool::size_of(frame_pool::classes - 1) == frame_pool::pooled_max);
}

TEST_CASE("a block wastes less than a step up to 1 KiB, and at most a fifth beyond") {
  for (std::size_t size = 1; size <= frame_pool::pooled_max; ++size) {
    const std::size_t block = frame_pool::size_of(frame_pool::class_of(size));
    const std::size_t waste = block - size;
    if (size <= frame_pool::fine_max) {
      REQUIRE(waste < frame_pool::step);
    } else {
      REQUIRE(waste * 5 < block);
    }
  }
}

TEST_CASE("blocks are aligned for every ordinary type") {
  for (std::size_t index = 0; index < frame_pool::classes; ++index) {
    CHECK(frame_pool::size_of(index) % alignof(std::max_align_t) == 0);
    void* const block = frames.allocate(frame_pool::size_of(index));
    CHECK(reinterpret_cast<std::uintptr_t>(block) % alignof(std::max_align_t) == 0);
    frames.deallocate(block, frame_pool::size_of(index));
  }
}

TEST_CASE("the block that was freed last is reused first, for any size of its class") {
  void* const first = frames.allocate(100);
  void* const second = frames.allocate(100);
  frames.deallocate(first, 100);
  frames.deallocate(second, 100);
  void* const again = frames.allocate(112);
  void* const once_more = frames.allocate(97);
  CHECK(again == second);
  CHECK(once_more == first);
  frames.deallocate(again, 112);
  frames.deallocate(once_more, 97);
}

TEST_CASE("a block of n bytes is aligned for any type of n bytes") {
  for (std::size_t alignment = 16; alignment <= frame_pool::alignment_max; alignment *= 2) {
    for (std::size_t size = alignment; size <= 3 * frame_pool::pooled_max; size += alignment) {
      if (size > 2048 && size > frame_pool::pooled_max / 2 && size % 1024 != 0) continue;
      void* const first = frames.allocate(size);
      void* const second = frames.allocate(size);
      REQUIRE(reinterpret_cast<std::uintptr_t>(first) % alignment == 0);
      REQUIRE(reinterpret_cast<std::uintptr_t>(second) % alignment == 0);
      frames.deallocate(first, size);
      frames.deallocate(second, size);
    }
  }
}

TEST_CASE("a block is not reused for another class") {
  void* const block = frames.allocate(100);
  frames.deallocate(block, 100);
  void* const larger = frames.allocate(129);
  CHECK(larger != block);
  frames.deallocate(larger, 129);
}

TEST_CASE("the whole of a block may be written, for every size around a class border") {
  for (std::size_t index = 0; index < frame_pool::classes; ++index) {
    for (const unsigned more : {0U, 1U}) {
      const std::size_t size = frame_pool::size_of(index) + more;
      void* const block = frames.allocate(size);
      std::memset(block, 0x5a, size);
      frames.deallocate(block, size);
    }
  }
}

TEST_CASE("a block larger than the pool serves comes from the system and goes back to it") {
  void* const block = frames.allocate(frame_pool::pooled_max + 1);
  std::memset(block, 0x5a, frame_pool::pooled_max + 1);
  frames.deallocate(block, frame_pool::pooled_max + 1);
}

TEST_CASE("blocks of whole cache lines begin at a cache line") {
  constexpr std::size_t line = 64;
  for (std::size_t index = 0; index < frame_pool::classes; ++index) {
    const std::size_t size = frame_pool::size_of(index);
    if (size % line != 0) continue;
    std::vector<void*> blocks;
    for (int i = 0; i < 5; ++i) blocks.push_back(frames.allocate(size));
    for (void* block : blocks) {
      CHECK(reinterpret_cast<std::uintptr_t>(block) % line == 0);
      frames.deallocate(block, size);
    }
  }
}

TEST_CASE("blocks do not overlap, however many are in use") {
  for (const unsigned size : {32U, 96U, 1024U, 20'000U}) {
    std::vector<unsigned char*> blocks;
    for (int i = 0; i < 1000; ++i) {
      blocks.push_back(static_cast<unsigned char*>(frames.allocate(size)));
      std::memset(blocks.back(), i % 251, size);
    }
    for (int i = 0; i < 1000; ++i) {
      unsigned char* const block = blocks[static_cast<std::size_t>(i)];
      REQUIRE(block[0] == i % 251);
      REQUIRE(block[size - 1] == i % 251);
      frames.deallocate(block, size);
    }
  }
}

TEST_CASE("a pool that has handed over its blocks still works") {
  std::vector<void*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(frames.allocate(64));
  for (void* block : blocks) frames.deallocate(block, 64);
  frames.hand_over();
  void* const block = frames.allocate(64);
  std::memset(block, 0, 64);
  frames.deallocate(block, 64);
}

TEST_CASE("the blocks that a thread leaves behind are used by the next thread") {
  constexpr std::size_t size = frame_pool::pooled_max;
  constexpr int count = 100;
  const auto use_many = [] {
    std::vector<void*> blocks;
    for (int i = 0; i < count; ++i) blocks.push_back(frames.allocate(size));
    for (void* block : blocks) frames.deallocate(block, size);
  };
  std::thread(use_many).join();
  const std::size_t before = frames.totals().resident;
  for (int i = 0; i < 10; ++i) std::thread(use_many).join();
  CHECK(frames.totals().resident <= before);
}

TEST_CASE("a block belongs to the thread that frees it") {
  void* const made_here = frames.allocate(200);
  std::thread([made_here] {
    frames.deallocate(frames.allocate(200), 200);  // the pool of this thread opens
    frames.deallocate(made_here, 200);
    void* const first = frames.allocate(200);
    CHECK(first == made_here);
    frames.deallocate(first, 200);
  }).join();
  void* const other = frames.allocate(200);
  std::memset(other, 0, 200);
  frames.deallocate(other, 200);
}

TEST_CASE("a thread that never allocated can free a block") {
  void* const block = frames.allocate(200);
  std::thread([block] { frames.deallocate(block, 200); }).join();
}

namespace {

// Is destroyed after the pool of its thread has closed, because it was created before the pool.
struct late_user {
  void* held = nullptr;
  ~late_user() {
    if (held == nullptr) return;
    frames.deallocate(held, 300);
    void* const another = frames.allocate(300);
    std::memset(another, 0, 300);
    frames.deallocate(another, 300);
  }
};
thread_local late_user late;

}  // namespace

TEST_CASE("frames destroyed while their thread is ending are freed, and new ones can be made") {
  std::thread([] {
    late.held = nullptr;  // made now
    late.held = frames.allocate(300);
  }).join();
}

// Skipped without AddressSanitizer, which alone detects this.
TEST_CASE("a free block may not be touched" * doctest::skip(!sees_poison)) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, frame_pool::pooled_max}) {
    const std::size_t whole = frame_pool::size_of(frame_pool::class_of(size));
    void* const block = frames.allocate(size);
    CHECK(count_poisoned(block, size) == 0);
    frames.deallocate(block, size);
    CHECK(count_poisoned(block, whole) == whole);
  }
}

TEST_SUITE_END();
