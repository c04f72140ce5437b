// copy(): everything from a source to a sink, and what errors, limits and kills leave.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/copy.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "support/bytes.hpp"
#include "support/on_script.hpp"
#include "support/schedulers.hpp"
#include "support/transports.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("copy");

namespace {

task<> write_and_end(memory_stream& to, std::string text) {
  co_await to.write_all(text);
  to.shutdown_write();
}

}  // namespace

TEST_CASE_TEMPLATE("copy() returns how many bytes it has moved", T, tcp_transport, unix_transport,
                   pipe_transport, standard_transport, memory_transport) {
  on_one_scheduler([]() -> task<> {
    T source = co_await T::make();
    T sink = co_await T::make();
    const std::string large = pattern(1'000'000);
    auto& out = *source.out;
    const auto writing = spawn([&]() -> task<> {
      co_await out.write_all(large);
      source.end();
    });
    auto& in = *sink.in;
    const auto reading = spawn([&]() -> task<std::string> {
      std::string all;
      while (buffer data = co_await in.receive()) all += data.text();
      co_return all;
    });
    const std::uint64_t count = co_await copy(*source.in, *sink.out);
    CHECK(count == large.size());
    sink.end();
    const std::string all = co_await reading.get();
    CHECK(all == large);
    co_await writing.get();
  });
}

TEST_CASE("copy() does not read while the sink accepts nothing") {
  on_script([]() -> task<> {
    auto [from, in] = memory_stream::pair(100);
    auto [out, to] = memory_stream::pair(10);
    co_await from.write_all(pattern(100));
    memory_stream& source = in;
    memory_stream& sink = out;
    const auto copying =
        spawn([&]() -> task<std::uint64_t> { co_return co_await copy(source, sink); });
    co_await yield();
    co_await from.write_all(pattern(100));
    CHECK(in.bytes_read() == 100);
    CHECK(out.bytes_written() == 10);
    copying.request_kill();
    co_await copying.join();
    CHECK(copying.result() == outcome::cancelled);
    const auto cut = co_await as_result(out.write_all("x"));
    CHECK(cut.error() == errc::partial_transfer);
  });
}

TEST_CASE("copy() that is killed while it waits for bytes loses none") {
  on_script([]() -> task<> {
    auto [from, in] = memory_stream::pair();
    auto [out, to] = memory_stream::pair();
    memory_stream& source = in;
    memory_stream& sink = out;
    const auto copying =
        spawn([&]() -> task<std::uint64_t> { co_return co_await copy(source, sink); });
    co_await yield();
    copying.request_kill();
    co_await copying.join();
    co_await write_and_end(from, "abc");
    const std::uint64_t count = co_await copy(in, out);
    CHECK(count == 3);
  });
}

TEST_CASE("copy() ends with timed_out when nothing moves") {
  on_script([]() -> task<> {
    auto [from, in] = memory_stream::pair(4);
    auto [out, to] = memory_stream::pair(4);
    co_await from.write_all("abcd");
    const auto silent = co_await as_result(copy(in, out, {.idle_timeout = 1s}));
    CHECK(silent.error() == errc::timed_out);
    co_await from.write_all("abcd");
    const auto stuck = co_await as_result(copy(in, out, {.idle_timeout = 1s}));
    CHECK(stuck.error() == errc::timed_out);
    CHECK(in.bytes_read() == 8);
  });
}

TEST_CASE("copy() throws the errors of both sides") {
  on_script([]() -> task<> {
    auto [from, in] = memory_stream::pair();
    auto [out, to] = memory_stream::pair();
    co_await from.write_all("abc");
    to.abort();
    const auto of_sink = co_await as_result(copy(in, out));
    CHECK(of_sink.error() == std::errc::broken_pipe);
    from.abort();
    const auto of_source = co_await as_result(copy(in, out));
    CHECK(of_source.error() == std::errc::connection_reset);
  });
}

TEST_SUITE_END();
