// buffer_queue: buffers leave in order, in parts or whole, and each returns to the engine once.
//
// Method: the pool of a scripted engine, which aborts the test when a buffer is returned twice;
// AddressSanitizer tells what may be touched.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/extend/buffer_queue.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/poison.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("buffer_queue");

namespace {

constexpr std::uint32_t buffer_count = 4;
constexpr std::uint32_t buffer_size = 64;

// A pool, a queue, and the steps that the tests take with both.
struct filled_queue {
  scripted_engine engine{buffer_count, buffer_size};
  buffer_pool& pool = engine.buffers();
  buffer_queue queue;

  ~filled_queue() { queue.clear(pool); }

  std::int32_t fill(std::string_view text) {
    const std::int32_t id = engine.take_buffer();
    detail::unpoison(pool.at(id), text.size());
    std::memcpy(pool.at(id), text.data(), text.size());
    detail::poison(pool.at(id), text.size());
    return id;
  }
  std::int32_t push(std::string_view text) {
    const std::int32_t id = fill(text);
    queue.push(pool, id, static_cast<std::uint32_t>(text.size()));
    return id;
  }
  buffer pop() { return pool.lend_filled(queue.pop(pool)); }
  std::string copy(std::size_t most) {
    std::string copied(most, '-');
    const std::size_t count = queue.copy_to(std::as_writable_bytes(std::span(copied)), pool);
    CHECK(copied.substr(count) == std::string(most - count, '-'));
    return copied.substr(0, count);
  }
};

}  // namespace

TEST_CASE("a buffer_queue is small, because every connection has one") {
  CHECK(sizeof(buffer_queue) == 6);
}

TEST_CASE("a new queue is empty, and has nothing to copy or clear") {
  filled_queue f;
  CHECK(f.queue.empty());
  CHECK(f.queue.size() == 0);
  CHECK(f.copy(10).empty());
  f.queue.clear(f.pool);
  CHECK(f.queue.empty());
  CHECK(f.engine.buffers_free() == buffer_count);
}

TEST_CASE("buffers leave a queue in the order in which they entered, whatever their numbers") {
  filled_queue f;
  const std::int32_t zero = f.fill("zero");
  const std::int32_t one = f.fill("one");
  const std::int32_t two = f.fill("two");
  f.queue.push(f.pool, two, 3);
  f.queue.push(f.pool, zero, 4);
  f.queue.push(f.pool, one, 3);
  CHECK(f.queue.size() == 3);
  CHECK_FALSE(f.queue.empty());
  CHECK(f.queue.pop(f.pool) == two);
  CHECK(f.queue.pop(f.pool) == zero);
  CHECK(f.queue.size() == 1);
  CHECK(f.queue.pop(f.pool) == one);
  CHECK(f.queue.empty());
  for (const std::int32_t id : {zero, one, two}) f.pool.give_back_unlent(id);
  CHECK(f.engine.buffers_free() == buffer_count);
}

TEST_CASE("a queue keeps the order while buffers come and go") {
  filled_queue f;
  std::string sent;
  std::string received;
  f.push("(");
  for (int round = 0; round < 20; ++round) {
    const std::string one = "a" + std::to_string(round);
    const std::string other = "b" + std::to_string(round);
    f.push(one);
    f.push(other);
    sent += one + other;
    CHECK(f.queue.size() == 3);
    received += f.pop().text();
    received += f.pop().text();
  }
  received += f.pop().text();
  CHECK(received == "(" + sent);
  CHECK(f.queue.empty());
  CHECK(f.engine.buffers_free() == buffer_count);
}

TEST_CASE("a popped buffer is lent up to its filled length, and is returned") {
  filled_queue f;
  const std::int32_t id = f.push("abcde");
  CHECK(f.pool.on_lease() == 0);
  {
    const buffer lease = f.pop();
    CHECK(lease.data() == f.pool.at(id));
    CHECK(lease.text() == "abcde");
    CHECK(f.pool.on_lease() == 1);
    CHECK(f.engine.buffers_free() == buffer_count - 1);
  }
  CHECK(f.pool.on_lease() == 0);
  CHECK(f.engine.buffers_free() == buffer_count);
}

TEST_CASE("all buffers of a pool can wait in a queue, full to the last byte") {
  filled_queue f;
  std::string sent;
  for (std::uint32_t i = 0; i < buffer_count; ++i) {
    const std::string full = pattern(buffer_size - 1) + std::to_string(i);
    f.push(full);
    sent += full;
  }
  CHECK(f.queue.size() == buffer_count);
  CHECK(f.engine.buffers_free() == 0);
  CHECK(f.copy(sent.size()) == sent);
  CHECK(f.engine.buffers_free() == buffer_count);
}

// Copying

TEST_CASE("bytes are copied across buffers in order, and never more than there are") {
  filled_queue f;
  f.push("ab");
  f.push("c");
  f.push("def");
  CHECK(f.copy(100) == "abcdef");
  CHECK(f.queue.empty());
  CHECK(f.copy(100).empty());
}

TEST_CASE("emptied buffers are returned at once and only once, and the rest are kept") {
  filled_queue f;
  f.push("ab");
  f.push("cd");
  f.push("ef");
  CHECK(f.copy(1) == "a");
  CHECK(f.engine.buffers_free() == 1);
  CHECK(f.queue.size() == 3);
  // Exactly to the end of the first buffer.
  CHECK(f.copy(1) == "b");
  CHECK(f.engine.buffers_free() == 2);
  CHECK(f.queue.size() == 2);
  // All of the second and a part of the third.
  CHECK(f.copy(3) == "cde");
  CHECK(f.engine.buffers_free() == 3);
  CHECK(f.queue.size() == 1);
  CHECK(f.copy(1) == "f");
  CHECK(f.engine.buffers_free() == buffer_count);
  CHECK(f.queue.empty());
  CHECK(f.pool.on_lease() == 0);
}

TEST_CASE("copying into an empty span takes nothing") {
  filled_queue f;
  f.push("ab");
  CHECK(f.queue.copy_to({}, f.pool) == 0);
  CHECK(f.queue.size() == 1);
  CHECK(f.copy(2) == "ab");
}

TEST_CASE("a partly copied buffer lends its rest, and the next buffer is whole") {
  filled_queue f;
  const std::int32_t first = f.push("abcde");
  f.push("fg");
  CHECK(f.copy(2) == "ab");
  CHECK(f.copy(1) == "c");
  {
    const buffer rest = f.pop();
    CHECK(rest.data() == f.pool.at(first) + 3);
    CHECK(rest.text() == "de");
    CHECK(f.engine.buffers_free() == buffer_count - 2);
  }
  CHECK(f.engine.buffers_free() == buffer_count - 1);
  CHECK(f.pop().text() == "fg");
  CHECK(f.engine.buffers_free() == buffer_count);
}

TEST_CASE("a copy continues in the middle of a buffer, then across the following ones") {
  filled_queue f;
  f.push("abcd");
  f.push("ef");
  f.push("g");
  CHECK(f.copy(3) == "abc");
  CHECK(f.copy(100) == "defg");
  CHECK(f.engine.buffers_free() == buffer_count);
}

TEST_CASE("a partly read buffer begins at its first byte when it is filled again") {
  filled_queue f;
  for (int round = 0; round < 10; ++round) {
    f.push("abcd");
    CHECK(f.copy(3) == "abc");
    CHECK(f.pop().text() == "d");
    f.push("efgh");
    CHECK(f.copy(4) == "efgh");
  }
}

// Clearing

TEST_CASE("clear returns all buffers, including partly read ones, and the queue stays usable") {
  filled_queue f;
  f.push("ab");
  f.push("cd");
  f.push("ef");
  CHECK(f.copy(1) == "a");
  f.queue.clear(f.pool);
  CHECK(f.queue.empty());
  CHECK(f.queue.size() == 0);
  CHECK(f.engine.buffers_free() == buffer_count);
  CHECK(f.pool.on_lease() == 0);

  f.push("gh");
  f.push("ij");
  CHECK(f.copy(100) == "ghij");
}

TEST_CASE("two queues on one pool do not mix") {
  filled_queue f;
  buffer_queue other;
  f.push("a");
  other.push(f.pool, f.fill("x"), 1);
  f.push("b");
  other.push(f.pool, f.fill("y"), 1);
  CHECK(f.copy(100) == "ab");
  CHECK(f.engine.buffers_free() == 2);
  CHECK(f.pool.lend_filled(other.pop(f.pool)).text() == "x");
  CHECK(f.pool.lend_filled(other.pop(f.pool)).text() == "y");
  CHECK(other.empty());
}

TEST_CASE("taking from an empty queue aborts and says so") {
  CHECK(aborts_with("a buffer was taken from an empty queue", [] {
    filled_queue f;
    f.queue.pop(f.pool);
  }));
}

// Skipped without AddressSanitizer, which alone detects this.
TEST_CASE("queued buffers may not be touched, nor may the read part of a popped one" *
          doctest::skip(!sees_poison)) {
  filled_queue f;
  constexpr std::size_t whole = buffer_count * buffer_size;
  const std::int32_t id = f.push("01234567abc");  // AddressSanitizer works in steps of eight bytes
  CHECK(count_poisoned(f.pool.at(0), whole) == whole);
  CHECK(f.copy(8) == "01234567");
  CHECK(count_poisoned(f.pool.at(0), whole) == whole);
  {
    const buffer rest = f.pop();
    CHECK(count_poisoned(f.pool.at(0), whole) == whole - 3);
    CHECK(count_poisoned(f.pool.at(id) + 8, 3) == 0);
  }
  CHECK(count_poisoned(f.pool.at(0), whole) == whole);
}

TEST_SUITE_END();
