// Pairs of streams in memory: what they do beyond byte_stream_test.cpp, which runs on them too.
// SPDX-License-Identifier: MIT
#include <ringlet/any_fiber.hpp>
#include <ringlet/as_result.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <new>
#include <optional>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/on_script.hpp"
#include "support/outcome.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("memory_stream");

namespace {

task<std::string> read_to_the_end(memory_stream& from) {
  std::string all;
  while (buffer data = co_await from.receive()) all += data.text();
  co_return all;
}

}  // namespace

TEST_CASE("a direction holds as many bytes as its capacity") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair(4);
    co_await near.write_all("abcd");
    memory_stream& from = near;
    const auto writing = spawn([&]() -> task<> { co_await from.write_all("efgh"); });
    co_await yield();
    CHECK_FALSE(writing.done());
    std::array<std::byte, 3> memory;
    const std::size_t count = co_await far.read_some(memory);
    CHECK(text(memory, count) == "abc");
    CHECK(near.bytes_written() == 7);
    const std::size_t more = co_await far.read_some(memory);
    CHECK(text(memory, more) == "def");
    co_await writing.get();
    CHECK(near.bytes_written() == 8);
    CHECK(far.bytes_read() == 6);
  });
}

TEST_CASE("bytes of any sizes arrive once and in order, at any capacity") {
  for (const std::size_t capacity : {1u, 2u, 7u, 64u}) {
    CAPTURE(capacity);
    on_script([&]() -> task<> {
      auto [near, far] = memory_stream::pair(capacity);
      const std::string all = pattern(2000);
      memory_stream& from = near;
      const auto writing = spawn([&]() -> task<> {
        std::string_view left = all;
        for (std::size_t size = 1; !left.empty(); size = size % 17 + 1) {
          const std::string_view piece = left.substr(0, size);
          const std::string_view next = left.substr(piece.size()).substr(0, 3);
          const std::array parts{bytes(piece), bytes(""), bytes(next)};
          co_await from.write_all(parts);
          left.remove_prefix(piece.size() + next.size());
        }
        from.shutdown_write();
      });
      std::string got;
      for (std::size_t size = 1;; size = size % 5 + 1) {
        std::array<std::byte, 5> memory;
        const std::span<std::byte> piece = std::span(memory).first(size);
        const auto whole = co_await as_result(far.read_exact(piece));
        if (!whole) {
          CHECK(whole.error() == errc::end_of_stream);
          got += text(memory, all.size() - got.size());
          break;
        }
        got += text(piece);
      }
      co_await writing.get();
      CHECK(got == all);
    });
  }
}

TEST_CASE("the two directions are independent") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("there");
    co_await far.write_all("back");
    near.shutdown_write();
    const std::string there = co_await read_to_the_end(far);
    CHECK(there == "there");
    far.shutdown_write();
    const std::string back = co_await read_to_the_end(near);
    CHECK(back == "back");
  });
}

TEST_CASE("after shutdown_write() a write fails with broken_pipe, after close() with closed") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    near.shutdown_write();
    near.shutdown_write();
    const auto over = co_await as_result(near.write_all("x"));
    CHECK(over.error() == std::errc::broken_pipe);
    co_await near.close();
    const auto closed = co_await as_result(near.write_all("x"));
    CHECK(closed.error() == errc::closed);
    CHECK_THROWS_AS(near.shutdown_write(), std::system_error);
  });
}

TEST_CASE("abort() drops what the peer has not read, and close() with unread bytes resets") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("lost");
    near.abort();
    const auto reset = co_await as_result(far.receive());
    CHECK(reset.error() == std::errc::connection_reset);
    const auto broken = co_await as_result(far.write_all("x"));
    CHECK(broken.error() == std::errc::broken_pipe);
    auto [one, other] = memory_stream::pair();
    co_await one.write_all("kept");
    co_await other.write_all("unread");
    co_await one.close();
    const buffer kept = co_await other.receive();
    CHECK(kept.text() == "kept");
    const auto after = co_await as_result(other.receive());
    CHECK(after.error() == std::errc::connection_reset);
  });
}

TEST_CASE("a stream may be moved and destroyed while its calls wait") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    auto moved = std::optional(std::move(near));
    memory_stream& from = *moved;
    const auto reading = spawn([&]() -> task<std::string> {
      const auto got = co_await as_result(from.receive());
      co_return in_words(got);
    });
    co_await yield();
    memory_stream kept = std::move(*moved);
    moved.reset();
    co_await far.write_all("abc");
    const std::string words = co_await reading.get();
    CHECK(words == "3 bytes");
    kept = memory_stream::pair().first;
    const auto gone = co_await as_result(far.write_all("x"));
    CHECK(gone.error() == std::errc::broken_pipe);
  });
}

TEST_CASE("a close that a kill has overtaken does not close") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    memory_stream& kept = near;
    const auto killed = spawn([&]() -> task<> {
      current_fiber().request_kill();
      co_await kept.close();
    });
    co_await killed.join();
    co_await near.write_all("x");
  });
}

TEST_CASE("without memory, pair() and receive() fail, and no byte is lost") {
  on_script([]() -> task<> {
    if (!allocations_are_counted()) co_return;
    for (int number = 0; number < 4; ++number) {
      const failing_allocation fails(number);
      CHECK_THROWS_AS(memory_stream::pair(), std::bad_alloc);
    }
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("abc");
    {
      const out_of_memory shortage;
      const auto refused = co_await as_result(far.receive());
      CHECK(refused.error() == std::errc::not_enough_memory);
      std::array<std::byte, 1> memory;
      const std::size_t count = co_await far.read_some(memory);
      CHECK(count == 1);
    }
    const buffer rest = co_await far.receive();
    CHECK(rest.text() == "bc");
  });
}

TEST_CASE("a fiber that waits for a pair without another fiber is a deadlock, which dump() names") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    memory_stream& from = near;
    const auto waiting = spawn([&]() -> task<> { co_await from.receive(); });
    co_await yield();
    CHECK(dump().find("receive") != std::string::npos);
    waiting.request_kill();
    co_await waiting.join();
  });
}

TEST_CASE("misuse of a memory stream aborts") {
  CHECK(aborts_with("a memory stream holds at least 1 byte", [] {
    on_script([]() -> task<> {
      memory_stream::pair(0);
      co_return;
    });
  }));
  CHECK(aborts_with("a memory stream that was moved from was used", [] {
    on_script([]() -> task<> {
      auto [near, far] = memory_stream::pair();
      const memory_stream taken = std::move(near);
      co_await near.receive();
    });
  }));
  CHECK(aborts_with("read_some() needs room for at least one byte", [] {
    on_script([]() -> task<> {
      auto [near, far] = memory_stream::pair();
      co_await near.read_some({});
    });
  }));
}

TEST_SUITE_END();
