// The examples in the headers of server do what their comments say. Method: see core.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/listening_descriptors.hpp>
#include <ringlet/run.hpp>
#include <ringlet/serve_connections.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace ringlet;

namespace {

task<> send_back(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

task<std::string> echo_of_hello(address where) {
  tcp_stream client = co_await tcp_stream::connect(where);
  co_await client.write_all("hello");
  client.shutdown_write();
  std::string text;
  while (buffer data = co_await client.receive()) text += data.text();
  co_return text;
}

std::vector<std::uint64_t> shown;

}  // namespace

namespace around_listening_descriptors {

const auto echo = send_back;

}  // namespace around_listening_descriptors

namespace around_serve_connections {

void show(const std::string&) { shown.push_back(1); }

}  // namespace around_serve_connections

namespace around_server_control {

const auto echo = send_back;
void show(std::uint64_t number) { shown.push_back(number); }

}  // namespace around_server_control

#include <server_examples.hpp>

TEST_SUITE_BEGIN("examples of server");

TEST_CASE("the example of serve_connections.hpp echoes, and one process takes over from another") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const address where = listener.local_address();
    auto [old, successor] = unix_stream::pair();
    server_control control;
    const auto serving = spawn([&]() -> task<> {
      co_await serve_connections(listener, send_back, server_limits{}, control);
    });
    const auto giving = spawn([&]() -> task<> {
      co_await example_serve_connections_2::hand_over(old, listener, control);
    });
    tcp_listener taken = co_await example_serve_connections_2::take_over(successor);
    const fiber<> next = spawn(example_serve_connections::serve(std::move(taken)));
    co_await giving.get();
    co_await serving.get();
    const std::string echoed = co_await echo_of_hello(where);
    CHECK(echoed == "hello");
    CHECK(control.report().accepted == 0);
    co_await next.kill();
  }());
}

TEST_CASE("the example of server_control.hpp stops, and shows how many were cut off") {
  run([]() -> task<> {
    shown.clear();
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const address where = listener.local_address();
    event changed;
    const auto serving =
        spawn([&]() -> task<> { co_await example_server_control::serve(listener, changed); });
    const std::string echoed = co_await echo_of_hello(where);
    CHECK(echoed == "hello");
    changed.set();
    co_await serving.get();
    CHECK(shown == std::vector<std::uint64_t>{0});
  }());
}

TEST_CASE("the example of server_limits.hpp makes limits that are allowed") {
  const server_limits limits = example_server_limits::for_chat();
  CHECK(limits.connections_per_peer == 20);
  CHECK_NOTHROW(detail::connection_server::check(limits));
}

TEST_CASE("the example of listening_descriptors.hpp serves a socket that it was given") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const address where = listener.local_address();
    std::vector<listening_descriptor> given;
    given.push_back({unique_fd(::dup(listener.native_handle())), "echo"});
    const fiber<> serving = spawn(example_listening_descriptors::serve(std::move(given)));
    const std::string echoed = co_await echo_of_hello(where);
    CHECK(echoed == "hello");
    co_await serving.kill();
  }());
}

TEST_SUITE_END();
