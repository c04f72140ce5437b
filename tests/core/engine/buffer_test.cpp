// buffer: the bytes stay until the lease ends, which happens once.
//
// Method: the pool of a scripted engine, which aborts when a buffer is returned twice.
// SPDX-License-Identifier: MIT
#include <ringlet/buffer.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "support/bytes.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("buffer");

namespace {

// Lends a buffer with that text through an operation, as an engine does.
buffer lend(scripted_engine& engine, std::string_view words) {
  static std::int32_t id;
  static std::uint32_t filled;
  operation op(opcode::receive, [](operation&, const completion& done) noexcept {
    id = done.buffer;
    filled = static_cast<std::uint32_t>(done.result);
  });
  engine.start(op);
  engine.deliver(op, words);
  completion done[1];
  REQUIRE(engine.wait(0, done) == 1);
  engine.dispatch(done[0]);
  REQUIRE(id != completion::no_buffer);
  return engine.buffers().lend(id, filled);
}

}  // namespace

TEST_CASE("a buffer that was never filled is empty and false") {
  const buffer none;
  CHECK_FALSE(none);
  CHECK(none.empty());
  CHECK(none.size() == 0);
  CHECK(none.text().empty());
  CHECK(none.bytes().empty());
}

TEST_CASE("a lent buffer exposes its bytes in every form") {
  scripted_engine engine;
  buffer data = lend(engine, "abc");
  CHECK(data);
  CHECK_FALSE(data.empty());
  CHECK(data.size() == 3);
  CHECK(data.text() == "abc");
  const std::string_view as_text = data;
  CHECK(as_text == "abc");
  const std::span<const std::byte> as_bytes = data;
  CHECK(text(as_bytes) == "abc");
  CHECK(as_bytes.data() == data.data());
}

TEST_CASE("a buffer's bytes may be changed in place") {
  scripted_engine engine;
  buffer data = lend(engine, "abc");
  data.bytes()[1] = std::byte{'B'};
  CHECK(data.text() == "aBc");
}

TEST_CASE("a lease ends when its buffer is destroyed") {
  scripted_engine engine(2);
  {
    const buffer data = lend(engine, "abc");
    CHECK(engine.buffers_free() == 1);
    CHECK(engine.buffers().on_lease() == 1);
  }
  CHECK(engine.buffers_free() == 2);
  CHECK(engine.buffers().on_lease() == 0);
}

TEST_CASE("reset ends a lease at once, and only once") {
  scripted_engine engine(2);
  buffer data = lend(engine, "abc");
  data.reset();
  CHECK_FALSE(data);
  CHECK(data.data() == nullptr);
  CHECK(engine.buffers_free() == 2);
  data.reset();
  CHECK(engine.buffers_free() == 2);
}

TEST_CASE("moving a buffer passes its lease on") {
  scripted_engine engine(2);
  buffer first = lend(engine, "abc");
  {
    const buffer second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second.text() == "abc");
    CHECK(engine.buffers().on_lease() == 1);
  }
  CHECK(engine.buffers_free() == 2);
}

TEST_CASE("assigning to a buffer ends the lease that it held") {
  scripted_engine engine(2);
  buffer data = lend(engine, "abc");
  data = lend(engine, "xyz");
  CHECK(data.text() == "xyz");
  CHECK(engine.buffers_free() == 1);
  data = buffer();
  CHECK(engine.buffers_free() == 2);
}

TEST_CASE("assigning a buffer to itself changes nothing") {
  scripted_engine engine(2);
  buffer data = lend(engine, "abc");
  buffer& same = data;
  data = std::move(same);
  CHECK(data.text() == "abc");
  CHECK(engine.buffers().on_lease() == 1);
}

TEST_CASE("several leases are separate memory") {
  scripted_engine engine(3);
  const buffer first = lend(engine, "first");
  const buffer second = lend(engine, "second");
  CHECK(first.text() == "first");
  CHECK(second.text() == "second");
}

TEST_SUITE_END();
