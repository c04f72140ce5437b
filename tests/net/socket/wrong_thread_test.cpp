// Streams, listeners and lent buffers used on the thread of another scheduler: the program ends
// with a message that names both.
//
// Method: as in sched/scheduler/wrong_thread_test.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/run.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/udp_socket.hpp>

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

options named(const char* name) {
  options settings;
  settings.name = name;
  return settings;
}

// Whether the action, applied to a connected stream on a thread other than its scheduler's, ends
// the program with that rule and both names.
template <class F>
bool is_refused(std::string_view rule, F misuse) {
  const child_end end = run_in_child([&] {
    const auto owner = [&]() -> task<> {
      auto listener = tcp_listener::bind("127.0.0.1:0");
      auto stream = co_await tcp_stream::connect(listener.local_address());
      auto peer = co_await listener.accept();
      co_await peer.write_all("bytes");
      buffer lent = co_await stream.receive();
      std::thread([&] { run(misuse(stream, listener, lent), named("other")); }).join();
    };
    run(owner(), named("owner"));
  });
  if (end.signal == SIGABRT && end.errors.find(rule) != std::string::npos &&
      end.errors.find("\"owner\"") != std::string::npos &&
      end.errors.find("\"other\"") != std::string::npos) {
    return true;
  }
  describe_unexpected(end, rule);
  return false;
}

}  // namespace

// Under ThreadSanitizer a forked child cannot start threads.
TEST_SUITE_BEGIN("wrong_thread_net" * doctest::skip(sanitized));

TEST_CASE("using, closing or destroying a stream on another thread aborts") {
  const std::string_view rule = "a stream was used on a thread that is not its scheduler's";
  CHECK(is_refused(rule, [](tcp_stream& stream, tcp_listener&, buffer&) -> task<> {
    co_await stream.receive();
  }));
  CHECK(is_refused(rule, [](tcp_stream& stream, tcp_listener&, buffer&) -> task<> {
    co_await stream.write_all("x");
  }));
  CHECK(is_refused(rule, [](tcp_stream& stream, tcp_listener&, buffer&) -> task<> {
    stream.set_no_delay(true);
    co_return;
  }));
  CHECK(is_refused(rule, [](tcp_stream& stream, tcp_listener&, buffer&) -> task<> {
    stream.shutdown_write();
    co_return;
  }));
  CHECK(is_refused(
      "a stream was closed or destroyed on a thread that is not its scheduler's",
      [](tcp_stream& stream, tcp_listener&, buffer&) -> task<> { co_await stream.close(); }));
  CHECK(is_refused("a stream was closed or destroyed on a thread that is not its scheduler's",
                   [](tcp_stream& stream, tcp_listener&, buffer&) -> task<> {
                     const tcp_stream dropped = std::move(stream);
                     co_return;
                   }));
}

TEST_CASE("using, closing or destroying a listener on another thread aborts") {
  const std::string_view rule = "a listener was used on a thread that is not its scheduler's";
  CHECK(is_refused(rule, [](tcp_stream&, tcp_listener& listener, buffer&) -> task<> {
    static_cast<void>(listener.local_address());
    co_return;
  }));
  CHECK(is_refused(rule, [](tcp_stream&, tcp_listener& listener, buffer&) -> task<> {
    static_cast<void>(co_await listener.accept());
  }));
  CHECK(is_refused(
      "a listener was closed or destroyed on a thread that is not its scheduler's",
      [](tcp_stream&, tcp_listener& listener, buffer&) -> task<> { co_await listener.close(); }));
}

TEST_CASE("using, closing or destroying a UDP socket on another thread aborts") {
  const auto is_refused_for_udp = [](std::string_view rule, auto misuse) {
    const child_end end = run_in_child([&] {
      const auto owner = [&]() -> task<> {
        auto socket = udp_socket::bind("127.0.0.1:0");
        std::thread([&] { run(misuse(socket), named("other")); }).join();
        co_return;
      };
      run(owner(), named("owner"));
    });
    const bool refused = end.signal == SIGABRT && end.errors.find(rule) != std::string::npos &&
                         end.errors.find("\"owner\"") != std::string::npos;
    if (!refused) describe_unexpected(end, rule);
    return refused;
  };
  const std::string_view rule = "a stream was used on a thread that is not its scheduler's";
  CHECK(is_refused_for_udp(rule, [](udp_socket& socket) -> task<> { co_await socket.receive(); }));
  CHECK(is_refused_for_udp(rule, [](udp_socket& socket) -> task<> {
    std::array<std::byte, 1> memory;
    co_await socket.receive_into(memory);
  }));
  CHECK(is_refused_for_udp(rule, [](udp_socket& socket) -> task<> {
    co_await socket.send_to(address::loopback(9), "x");
  }));
  CHECK(is_refused_for_udp(rule, [](udp_socket& socket) -> task<> {
    static_cast<void>(socket.lost());
    co_return;
  }));
  CHECK(
      is_refused_for_udp("a stream was closed or destroyed on a thread that is not its scheduler's",
                         [](udp_socket& socket) -> task<> { co_await socket.close(); }));
}

TEST_CASE("dropping a lent buffer on another thread aborts") {
  CHECK(is_refused(
      "a lent buffer was dropped on a thread other than that of the scheduler that lent it",
      [](tcp_stream&, tcp_listener&, buffer& lent) -> task<> {
        lent.reset();
        co_return;
      }));
}

TEST_CASE("a buffer that outlives its scheduler may be dropped on any thread") {
  buffer lent;
  const auto main = [&]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    auto stream = co_await tcp_stream::connect(listener.local_address());
    auto peer = co_await listener.accept();
    co_await peer.write_all("bytes");
    lent = co_await stream.receive();
  };
  run(main());
  CHECK(lent.text() == "bytes");
  std::thread([&] { lent.reset(); }).join();
  CHECK_FALSE(lent);
}

TEST_SUITE_END();
