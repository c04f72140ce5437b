// A reader works over every kind of source: those with a descriptor, those without, and one that a
// program has written.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/split.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <new>
#include <optional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/on_script.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"
#include "support/transports.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

#define TRANSPORTS                                                                          \
  tcp_transport, unix_transport, socket_pair_transport, pipe_transport, standard_transport, \
      memory_transport

TEST_SUITE_BEGIN("reader sources");

namespace {

template <class T, class F>
void on_transport(F body) {
  const std::string kind = T::name;
  CAPTURE(kind);
  on_one_scheduler([&]() -> task<> {
    T made = co_await T::make();
    reader in(*made.in, 16);
    co_await body(made, in);
  });
}

/// A source of a program: passes on what another source has, one byte at a time.
class slow_source {
 public:
  explicit slow_source(memory_stream& from) noexcept : from_(from) {}

  task<buffer> receive(time_limit timeout = forever) {
    if (fails) throw std::runtime_error("the source is broken");
    std::array<std::byte, 1> one;
    const std::size_t count = co_await from_.read_some(one, timeout);
    if (count == 0) co_return buffer();
    auto [near, far] = memory_stream::pair(1);
    co_await near.write_all(one);
    co_return co_await far.receive();
  }
  auto read_some(std::span<std::byte> memory, time_limit timeout = forever) {
    return from_.read_some(memory, timeout);
  }
  auto read_exact(std::span<std::byte> memory, time_limit timeout = forever) {
    return from_.read_exact(memory, timeout);
  }
  auto readable(time_limit timeout = forever) { return from_.readable(timeout); }
  auto close() { return from_.close(); }

  bool fails = false;

 private:
  memory_stream& from_;
};
static_assert(byte_source<slow_source>);

task<std::string> outcome_of_line(reader& in, time_limit timeout = forever) {
  return outcome_of([&in, timeout] { return in.read_line(timeout); });
}

}  // namespace

TEST_CASE_TEMPLATE("a reader cuts lines, pieces and counts", T, TRANSPORTS) {
  on_transport<T>([](T& t, reader& in) -> task<> {
    co_await t.out->write_all("one\ntwo\r\n");
    const auto one = co_await in.read_line();
    CHECK(one == "one");
    const auto two = co_await in.read_line();
    CHECK(two == "two");
    const auto waiting = spawn([&]() -> task<std::string> {
      const auto piece = co_await in.read_until("::");
      co_return std::string(*piece);
    });
    for (const char* part : {"a", "b:", ":1234", "567"}) {
      co_await t.out->write_all(part);
      co_await yield();
    }
    const std::string piece = co_await waiting.get();
    CHECK(piece == "ab");
    const auto exact = co_await in.read_exact(4);
    CHECK(exact == "1234");
    const auto seen = co_await in.peek(3);
    CHECK(seen == "567");
    std::array<std::byte, 2> memory;
    const std::size_t count = co_await in.read_some(memory);
    CHECK(text(memory, count) == "56");
    t.end();
    const auto last = co_await in.read_line();
    CHECK(last == "7");
    const auto end = co_await in.read_line();
    CHECK_FALSE(end);
    const auto still = co_await in.read_line();
    CHECK_FALSE(still);
  });
}

TEST_CASE_TEMPLATE("a reader skips an overlong line", T, TRANSPORTS) {
  on_transport<T>([](T& t, reader& in) -> task<> {
    co_await t.out->write_all("this line is longer than 16 bytes\nshort\n");
    const auto refused = co_await as_result(in.read_line());
    CHECK(refused.error() == errc::too_long);
    const auto next = co_await in.read_line();
    CHECK(next == "short");
  });
}

TEST_CASE_TEMPLATE("a reader keeps the bytes of a call that was killed or ran out of time", T,
                   TRANSPORTS) {
  on_transport<T>([](T& t, reader& in) -> task<> {
    co_await t.out->write_all("on");
    const std::string late = co_await outcome_of_line(in, 5ms);
    CHECK(late == "timed out");
    const auto waiting = spawn([&]() { return outcome_of_line(in); });
    co_await yield();
    waiting.request_kill();
    const std::string killed = co_await waiting.get();
    CHECK(killed == "cancelled");
    co_await t.out->write_all("e\n");
    const auto line = co_await in.read_line();
    CHECK(line == "one");
  });
}

TEST_CASE_TEMPLATE("a reader reports that its stream was closed", T, TRANSPORTS) {
  on_transport<T>([](T& t, reader& in) -> task<> {
    const auto waiting = spawn([&]() { return outcome_of_line(in); });
    co_await yield();
    co_await t.in->close();
    const std::string words = co_await waiting.get();
    CHECK(words == "closed by this program");
    const std::string later = co_await outcome_of_line(in);
    CHECK(later == "closed by this program");
  });
}

TEST_CASE("a reader without requests returns only what it has buffered, without waiting") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    reader in(far);
    co_await near.write_all("one\ntwo\nrest");
    CHECK_FALSE(in.try_read_line());
    CHECK(in.peek().empty());
    const auto one = co_await in.read_line();
    CHECK(one == "one");
    CHECK(in.try_read_line() == "two");
    CHECK(in.peek() == "rest");
    CHECK_FALSE(in.try_read_line());
  });
}

TEST_CASE("a reader works over a source of the program, at any split") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    slow_source source(far);
    reader in(source);
    co_await near.write_all("one\ntwo\n1234");
    near.shutdown_write();
    const auto one = co_await in.read_line();
    CHECK(one == "one");
    const auto two = co_await in.read_until("\n");
    CHECK(two == "two");
    const auto exact = co_await in.read_exact(4);
    CHECK(exact == "1234");
    const auto end = co_await as_result(in.read_exact(1));
    CHECK(end.error() == errc::end_of_stream);
  });
}

TEST_CASE("an exception of a source that is no system_error passes through the reader") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    slow_source source(far);
    source.fails = true;
    reader in(source);
    CHECK_THROWS_WITH_AS(co_await in.read_line(), "the source is broken", std::runtime_error);
    source.fails = false;
    co_await near.write_all("one\n");
    const auto one = co_await in.read_line();
    CHECK(one == "one");
  });
}

TEST_CASE("a read without memory for its call fails, and loses no byte") {
  on_script([]() -> task<> {
    if (!allocations_are_counted()) co_return;
    auto [near, far] = memory_stream::pair();
    reader in(far);
    co_await near.write_all("on");
    const std::string part = co_await outcome_of_line(in, 1ms);
    CHECK(part == "timed out");
    co_await near.write_all("e\n");
    for (std::size_t first = 0; first < 3; ++first) {
      const out_of_memory shortage(first);
      const auto got = co_await as_result(in.read_line());
      if (got) {
        CHECK(**got == "one");
        co_return;
      }
      CHECK(got.error() == std::errc::not_enough_memory);
    }
    const auto line = co_await in.read_line();
    CHECK(line == "one");
  });
}

TEST_CASE("a reader over a half of a TCP stream uses its requests") {
  on_one_scheduler([]() -> task<> {
    connection ends = co_await connected_pair();
    auto halves = split(std::move(ends.near));
    reader in(halves.in);
    co_await ends.far.write_all("one\n");
    const bool ready = co_await halves.in.readable();
    CHECK(ready);
    // Bytes that a request has received need no wait.
    CHECK(in.try_read_line() == "one");
  });
}

TEST_CASE("two calls at once on a reader over memory abort") {
  CHECK(aborts_with("a call on a reader was begun while another one waited", [] {
    on_script([]() -> task<> {
      auto [near, far] = memory_stream::pair();
      reader in(far);
      const auto waiting = spawn([&]() { return outcome_of_line(in); });
      co_await yield();
      co_await in.read_line();
    });
  }));
}

TEST_SUITE_END();
