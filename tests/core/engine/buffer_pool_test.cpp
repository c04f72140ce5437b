// The memory behind buffers: where it lies, how it is counted, when it may be touched, and how long
// it lives.
//
// Method: the pool of a scripted engine; AddressSanitizer tells what may be touched.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/buffer_pool.hpp>

#include <doctest/doctest.h>

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "support/poison.hpp"
#include "support/sanitized.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("buffer_pool");

namespace {

constexpr std::uint32_t buffer_count = 3;
constexpr std::uint32_t buffer_size = 64;

}  // namespace

TEST_CASE("buffers lie side by side and do not overlap") {
  scripted_engine engine(buffer_count, buffer_size);
  buffer_pool& pool = engine.buffers();
  CHECK(pool.count() == buffer_count);
  CHECK(pool.size() == buffer_size);
  for (std::int32_t id = 1; id < static_cast<std::int32_t>(buffer_count); ++id) {
    CHECK(pool.at(id) - pool.at(id - 1) == buffer_size);
  }
}

TEST_CASE("a lease shows the filled part of its buffer, and the buffer's number") {
  scripted_engine engine(buffer_count, buffer_size);
  const std::int32_t id = engine.take_buffer();
  const buffer lease = engine.buffers().lend(id, 5);
  CHECK(lease.data() == engine.buffers().at(id));
  CHECK(lease.size() == 5);
}

TEST_CASE("a lease of no bytes is false, and its buffer is still returned") {
  scripted_engine engine(buffer_count, buffer_size);
  {
    const buffer lease = engine.buffers().lend(engine.take_buffer(), 0);
    CHECK_FALSE(lease);
    CHECK(engine.buffers().on_lease() == 1);
  }
  CHECK(engine.buffers().on_lease() == 0);
  CHECK(engine.buffers_free() == buffer_count);
}

TEST_CASE("a buffer returns to the engine under its own number") {
  scripted_engine engine(buffer_count, buffer_size);
  const std::int32_t first = engine.take_buffer();
  const std::int32_t second = engine.take_buffer();
  engine.take_buffer();
  buffer one = engine.buffers().lend(first, 1);
  buffer two = engine.buffers().lend(second, 1);
  two.reset();
  one.reset();
  // First in, first out.
  CHECK(engine.take_buffer() == second);
  CHECK(engine.take_buffer() == first);
}

TEST_CASE("an empty pool lends newly allocated memory, which never goes to the engine") {
  scripted_engine engine(buffer_count, buffer_size);
  buffer_pool& pool = engine.buffers();
  std::byte* const memory = pool.allocate_private();
  std::memset(memory, 'x', buffer_size);
  {
    const buffer lease = pool.lend_private(memory, 5);
    CHECK(lease.text() == "xxxxx");
    CHECK(pool.on_lease() == 1);
  }
  CHECK(pool.on_lease() == 0);
  CHECK(engine.buffers_free() == buffer_count);
}

TEST_CASE("private memory that was not leased is freed") {
  scripted_engine engine(buffer_count, buffer_size);
  engine.buffers().free_private(engine.buffers().allocate_private());
  CHECK(engine.buffers().on_lease() == 0);
}

TEST_CASE("leases of both kinds outlive the engine and keep their bytes") {
  buffer lent, allocated, moved;
  {
    scripted_engine engine(buffer_count, buffer_size);
    buffer_pool& pool = engine.buffers();
    lent = pool.lend(engine.take_buffer(), 3);
    std::memcpy(lent.data(), "abc", 3);
    allocated = pool.lend_private(pool.allocate_private(), 3);
    std::memcpy(allocated.data(), "xyz", 3);
  }
  CHECK(lent.text() == "abc");
  CHECK(allocated.text() == "xyz");
  moved = std::move(lent);
  CHECK(moved.text() == "abc");
  moved.reset();
  CHECK(allocated.text() == "xyz");
}

namespace {

// Whether a mapping exists there.
bool is_mapped(const void* place) {
  const auto page = static_cast<std::uintptr_t>(::getpagesize());
  auto* const begin =
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(place) / page * page);
  return ::msync(begin, page, MS_ASYNC) == 0;
}

std::size_t heap_in_use() {
  const auto now = ::mallinfo2();
  return now.uordblks + now.hblkhd;
}

}  // namespace

TEST_CASE(
    "a pool's memory is freed with its engine, or with the last lease that outlives the engine") {
  for (const bool outlived : {false, true}) {
    buffer lease;
    const std::byte* place = nullptr;
    {
      scripted_engine engine(buffer_count, buffer_size);
      place = engine.buffers().at(0);
      if (outlived) lease = engine.buffers().lend(engine.take_buffer(), 1);
      CHECK(is_mapped(place));
    }
    CHECK(is_mapped(place) == outlived);
    lease.reset();
    CHECK_FALSE(is_mapped(place));
  }
}

// Skipped under sanitizers, which have their own heap and report leaks at the end.
TEST_CASE("private memory is freed with its lease, without a lease, and after its engine" *
          doctest::skip(sanitized)) {
  constexpr std::uint32_t large = 1 << 20;
  constexpr int times = 20;
  const std::size_t before = heap_in_use();
  for (int i = 0; i < times; ++i) {
    buffer late;
    {
      scripted_engine engine(buffer_count, large);
      buffer_pool& pool = engine.buffers();
      { const buffer lease = pool.lend_private(pool.allocate_private(), 3); }
      pool.free_private(pool.allocate_private());
      late = pool.lend_private(pool.allocate_private(), 3);
    }
  }
  CHECK(heap_in_use() < before + large);
}

TEST_CASE("a pool that does not fit into the address space throws bad_alloc") {
  constexpr auto most = std::numeric_limits<std::uint32_t>::max();
  CHECK_THROWS_AS(scripted_engine(most, most), std::bad_alloc);
}

// Skipped without AddressSanitizer, which alone detects this.
TEST_CASE("only the filled part of a lease may be touched, and no byte of other buffers" *
          doctest::skip(!sees_poison)) {
  scripted_engine engine(buffer_count, buffer_size);
  buffer_pool& pool = engine.buffers();
  CHECK(count_poisoned(pool.at(0), buffer_count * buffer_size) == buffer_count * buffer_size);
  const std::int32_t id = engine.take_buffer();
  {
    const buffer lease = pool.lend(id, 5);
    CHECK(count_poisoned(pool.at(id), 5) == 0);
    CHECK(count_poisoned(pool.at(id) + 5, buffer_size - 5) == buffer_size - 5);
  }
  CHECK(count_poisoned(pool.at(0), buffer_count * buffer_size) == buffer_count * buffer_size);
}

TEST_SUITE_END();
