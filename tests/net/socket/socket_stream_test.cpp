// What connected sockets have in common, seen as one type. The calls are tested by
// byte_stream_test.cpp, tcp_stream_test.cpp and unix_stream_test.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/byte_stream.hpp>
#include <ringlet/socket_stream.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <concepts>
#include <ostream>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/aborts.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("socket_stream");

static_assert(byte_stream<socket_stream>);
static_assert(std::derived_from<tcp_stream, socket_stream>);
static_assert(std::derived_from<unix_stream, socket_stream>);
// It is a view of a stream, not a stream of its own.
static_assert(!std::is_default_constructible_v<socket_stream>);
static_assert(!std::is_destructible_v<socket_stream>);

namespace {

task<> send_back(socket_stream& peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
  peer.shutdown_write();
}

// What comes back for "abc".
task<std::string> answer_of(socket_stream& client) {
  co_await client.write_all("abc");
  client.shutdown_write();
  std::string all;
  while (buffer data = co_await client.receive()) all += data.text();
  co_return all;
}

}  // namespace

TEST_CASE("one function serves TCP and Unix sockets") {
  on_one_scheduler([]() -> task<> {
    connection tcp = co_await connected_pair();
    auto [near, far] = unix_stream::pair();
    socket_stream& over_tcp = tcp.far;
    socket_stream& over_unix = far;
    const auto first = spawn([&]() -> task<> { co_await send_back(over_tcp); });
    const auto second = spawn([&]() -> task<> { co_await send_back(over_unix); });
    const std::string by_tcp = co_await answer_of(tcp.near);
    const std::string by_unix = co_await answer_of(near);
    CHECK(by_tcp == "abc");
    CHECK(by_unix == "abc");
    CHECK(over_tcp.bytes_read() == 3);
    CHECK(over_unix.bytes_written() == 3);
    co_await first.join();
    co_await second.join();
  });
}

TEST_CASE("the system's buffers can be set, and an error names the call") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    near.set_receive_buffer(100'000);
    near.set_send_buffer(100'000);
    co_await near.close();
    CHECK_THROWS_WITH_AS(near.set_send_buffer(1), doctest::Contains("set_send_buffer(1)"),
                         std::system_error);
    CHECK_THROWS_AS(near.shutdown_write(), std::system_error);
  });
}

TEST_CASE("a stream that was moved from aborts when it is used") {
  CHECK(aborts_with("a stream without a connection (moved from) was used", [] {
    on_one_scheduler([]() -> task<> {
      auto [near, far] = unix_stream::pair();
      const unix_stream taken = std::move(near);
      CHECK_FALSE(static_cast<bool>(near));
      near.abort();
      co_await near.close();
      co_await near.receive();
    });
  }));
}

TEST_SUITE_END();
