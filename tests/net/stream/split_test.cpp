// The two halves of a stream: each works alone, and the stream closes when both are gone.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/split.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/loopback.hpp"
#include "support/on_script.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("split");

static_assert(byte_source<read_half<tcp_stream>>);
static_assert(byte_sink<write_half<tcp_stream>>);
static_assert(byte_source<read_half<memory_stream>>);
static_assert(byte_sink<write_half<memory_stream>>);
static_assert(!byte_sink<read_half<tcp_stream>>);
static_assert(!std::is_copy_constructible_v<read_half<tcp_stream>>);
static_assert(!std::is_copy_constructible_v<write_half<tcp_stream>>);

namespace {

template <byte_source Source>
task<std::string> read_to_the_end(Source from) {
  std::string all;
  while (buffer data = co_await from.receive()) all += data.text();
  co_return all;
}

template <byte_sink Sink>
task<> write_and_go(Sink to, std::string text) {
  co_await to.write_all(text);
}

}  // namespace

TEST_CASE("two fibers that own one half each read and write at the same time") {
  on_one_scheduler([]() -> task<> {
    connection ends = co_await connected_pair();
    auto [in, out] = split(std::move(ends.near));
    const std::string large = pattern(3'000'000);
    const auto reading = spawn(read_to_the_end<read_half<tcp_stream>>, std::move(in));
    const auto writing = spawn(write_and_go<write_half<tcp_stream>>, std::move(out), large);
    const auto echoed = spawn([&]() -> task<std::string> {
      std::string all;
      while (buffer data = co_await ends.far.receive()) all += data.text();
      co_return all;
    });
    co_await ends.far.write_all(large);
    ends.far.shutdown_write();
    const std::string back = co_await reading.get();
    const std::string there = co_await echoed.get();
    co_await writing.get();
    CHECK(back == large);
    CHECK(there == large);
  });
}

TEST_CASE("a write half that is destroyed ends its direction, and the other half still reads") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    auto halves = std::optional(split(std::move(near)));
    read_half<memory_stream> in = std::move(halves->in);
    co_await halves->out.write_all("abc");
    halves.reset();
    const std::string there = co_await read_to_the_end<memory_stream>(std::move(far));
    CHECK(there == "abc");
    const buffer end = co_await in.receive();
    CHECK(end.empty());
  });
}

TEST_CASE("a read half that is destroyed leaves the other one writing") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    auto halves = split(std::move(near));
    { const read_half<memory_stream> gone = std::move(halves.in); }
    co_await halves.out.write_all("abc");
    halves.out.shutdown_write();
    const buffer got = co_await far.receive();
    CHECK(got.text() == "abc");
    const buffer end = co_await far.receive();
    CHECK(end.empty());
  });
}

TEST_CASE("the stream is closed when both halves are gone, in either order") {
  on_one_scheduler([]() -> task<> {
    for (const bool reader_first : {false, true}) {
      CAPTURE(reader_first);
      connection ends = co_await connected_pair();
      const int fd = ends.near.native_handle();
      auto made = split(std::move(ends.near));
      auto in = std::optional(std::move(made.in));
      auto out = std::optional(std::move(made.out));
      reader_first ? in.reset() : out.reset();
      CHECK(is_open(fd));
      reader_first ? out.reset() : in.reset();
      CHECK_FALSE(is_open(fd));
    }
  });
}

TEST_CASE("closing one half ends the calls of both, and abort() resets") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair(4);
    auto halves = split(std::move(near));
    auto& in = halves.in;
    auto& out = halves.out;
    const auto reading = spawn([&]() -> task<std::string> {
      const auto got = co_await as_result(in.receive());
      co_return in_words(got);
    });
    const auto writing = spawn([&]() -> task<std::string> {
      const auto done = co_await as_result(out.write_all("more than fits"));
      co_return in_words(done);
    });
    co_await yield();
    co_await in.close();
    const std::string of_read = co_await reading.get();
    const std::string of_write = co_await writing.get();
    CHECK(of_read == "closed by this program");
    CHECK(of_write == "closed by this program");
    auto [one, other] = memory_stream::pair();
    auto again = split(std::move(one));
    again.out.abort();
    const auto reset = co_await as_result(other.receive());
    CHECK(reset.error() == std::errc::connection_reset);
  });
}

TEST_CASE("a write half that cannot end its direction closes the stream") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    auto halves = split(std::move(near));
    co_await halves.in.close();
    { const auto gone = std::move(halves.out); }
    const buffer end = co_await far.receive();
    CHECK(end.empty());
  });
}

TEST_CASE("halves give access to the stream, are moved, and assigned") {
  on_script([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    auto [one, other] = memory_stream::pair();
    auto first = split(std::move(near));
    auto second = split(std::move(one));
    co_await first.out.write_all("abc");
    CHECK(first.in.stream().bytes_written() == 3);
    CHECK(&first.in.stream() == &first.out.stream());
    second.out = std::move(first.out);
    const buffer end = co_await other.receive();
    CHECK(end.empty());
    std::array<std::byte, 3> memory;
    co_await far.read_exact(memory);
    co_await far.write_all("defg");
    const bool ready = co_await first.in.readable();
    CHECK(ready);
    const std::size_t count = co_await first.in.read_some(memory);
    CHECK(text(memory, count) == "def");
    co_await first.in.read_exact(std::span(memory).first(1));
    const std::array parts{bytes("x"), bytes("y")};
    co_await second.out.write_all(parts);
    co_await second.out.write_all(bytes("z"));
    const buffer all = co_await far.receive();
    CHECK(all.text() == "xyz");
    co_await second.out.write_all(all);
    co_await second.out.close();
  });
}

TEST_CASE("a half that was moved from aborts when it is used") {
  CHECK(aborts_with("a half of a stream that was moved from was used", [] {
    on_script([]() -> task<> {
      auto halves = split(memory_stream::pair().first);
      const auto taken = std::move(halves.in);
      co_await halves.in.receive();
    });
  }));
}

TEST_SUITE_END();
