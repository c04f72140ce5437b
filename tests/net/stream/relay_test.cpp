// relay(): both directions at once, half-closed connections, back-pressure, and the end of one
// direction by an error of the other.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/relay.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "support/bytes.hpp"
#include "support/loopback.hpp"
#include "support/on_script.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("relay");

namespace {

// A client, a server, and the relay between them.
struct route {
  std::pair<memory_stream, memory_stream> front;
  std::pair<memory_stream, memory_stream> back;

  explicit route(std::size_t capacity = memory_stream::default_capacity)
      : front(memory_stream::pair(capacity)), back(memory_stream::pair(capacity)) {}
  memory_stream& client() { return front.first; }
  memory_stream& server() { return back.second; }
  task<relayed> run(copy_options options = {}) { return relay(front.second, back.first, options); }
};

template <class Source>
task<std::string> read_to_the_end(Source& from) {
  std::string all;
  while (buffer data = co_await from.receive()) all += data.text();
  co_return all;
}

}  // namespace

TEST_CASE("relay() copies both ways until both ends, and counts") {
  on_one_scheduler([]() -> task<> {
    connection front = co_await connected_pair();
    auto [onward, server] = unix_stream::pair();
    tcp_stream& near = front.far;
    unix_stream& far = onward;
    const auto relaying = spawn([&]() -> task<relayed> { co_return co_await relay(near, far); });
    const std::string there = pattern(2'000'000);
    const std::string back = pattern(1'000'000);
    unix_stream& answering = server;
    const auto answer = spawn([&]() -> task<std::string> {
      co_await answering.write_all(back);
      answering.shutdown_write();
      co_return co_await read_to_the_end(answering);
    });
    const auto ask = spawn([&]() -> task<> {
      co_await front.near.write_all(there);
      front.near.shutdown_write();
    });
    const std::string got_back = co_await read_to_the_end(front.near);
    const std::string got_there = co_await answer.get();
    co_await ask.get();
    CHECK(got_back == back);
    CHECK(got_there == there);
    const relayed moved = co_await relaying.get();
    CHECK(moved.there == there.size());
    CHECK(moved.back == back.size());
  });
}

TEST_CASE("a half-closed connection stays half-closed") {
  on_script([]() -> task<> {
    route r;
    const auto relaying = spawn(r.run());
    co_await r.client().write_all("question");
    r.client().shutdown_write();
    const std::string question = co_await read_to_the_end(r.server());
    CHECK(question == "question");
    CHECK_FALSE(relaying.done());
    co_await r.server().write_all("answer");
    r.server().shutdown_write();
    const std::string answer = co_await read_to_the_end(r.client());
    CHECK(answer == "answer");
    const relayed moved = co_await relaying.get();
    CHECK(moved.there == 8);
    CHECK(moved.back == 6);
  });
}

TEST_CASE("a slow reader stops the writer, and does not stop the other direction") {
  on_script([]() -> task<> {
    route r(10);
    const auto relaying = spawn(r.run());
    memory_stream& client = r.client();
    const auto writing = spawn([&]() -> task<> { co_await client.write_all(pattern(1000)); });
    co_await yield();
    co_await yield();
    // What the two pipes and one buffer hold.
    CHECK(client.bytes_written() <= 30);
    co_await r.server().write_all("back");
    const buffer got = co_await client.receive();
    CHECK(got.text() == "back");
    writing.request_kill();
    relaying.request_kill();
    co_await writing.join();
    co_await relaying.join();
    CHECK(relaying.result() == outcome::cancelled);
  });
}

TEST_CASE("an error of one direction ends the other one, and is thrown") {
  on_script([]() -> task<> {
    route r;
    const auto relaying = spawn(r.run());
    co_await yield();
    r.server().abort();
    const auto ended = co_await as_result(relaying.get());
    CHECK(ended.error() == std::errc::connection_reset);
    CHECK(is_disconnect(ended.error()));
    // Neither stream was closed.
    co_await r.client().write_all("abc");
    const buffer kept = co_await r.front.second.receive();
    CHECK(kept.text() == "abc");
  });
}

TEST_CASE("a relay over which nothing moves for too long ends") {
  on_script([]() -> task<> {
    route r;
    const auto ended = co_await as_result(r.run({.idle_timeout = 1s}));
    CHECK(ended.error() == errc::timed_out);
  });
}

TEST_CASE("a relay over which bytes move in one direction is not idle") {
  on_script([]() -> task<> {
    route r;
    const auto relaying = spawn(r.run({.idle_timeout = 1s}));
    for (int round = 0; round < 10; ++round) {
      co_await sleep(500ms);
      co_await r.client().write_all("x");
    }
    CHECK_FALSE(relaying.done());
    const auto ended = co_await as_result(relaying.get());
    CHECK(ended.error() == errc::timed_out);
  });
}

TEST_CASE("a relay is not idle while one direction is in the middle of a write") {
  on_script([]() -> task<> {
    route r(4);
    const auto relaying = spawn(r.run({.idle_timeout = 1s}));
    co_await sleep(900ms);
    co_await r.client().write_all("four");
    co_await r.client().write_all("more");
    co_await sleep(600ms);  // the limit of the silent direction has passed
    CHECK_FALSE(relaying.done());
    std::string got;
    while (got.size() < 8) got += (co_await r.server().receive()).text();
    CHECK(got == "fourmore");
    const auto ended = co_await as_result(relaying.get());
    CHECK(ended.error() == errc::timed_out);
  });
}

TEST_CASE("a relay to a stream that accepts nothing ends") {
  on_script([]() -> task<> {
    route r(4);
    co_await r.back.first.write_all("full");
    const auto relaying = spawn(r.run({.idle_timeout = 1s}));
    co_await r.client().write_all("x");
    for (int round = 0; round < 2; ++round) {
      co_await sleep(400ms);
      co_await r.server().write_all("y");
    }
    const auto ended = co_await as_result(relaying.get());
    CHECK(ended.error() == errc::timed_out);
  });
}

TEST_CASE("a killed relay() ends both directions before it unwinds, and loses nothing that waits") {
  on_script([]() -> task<> {
    route r;
    const auto relaying = spawn(r.run());
    co_await yield();
    relaying.request_kill();
    co_await relaying.join();
    CHECK(relaying.result() == outcome::cancelled);
    co_await r.client().write_all("abc");
    co_await r.server().write_all("def");
    r.client().shutdown_write();
    r.server().shutdown_write();
    const relayed moved = co_await r.run();
    CHECK(moved.there == 3);
    CHECK(moved.back == 3);
  });
}

TEST_SUITE_END();
