// The memory that receive() lends: running out of buffers is normal, a receive neither fails nor
// spins then, and a lease may outlive the stream and the run.
//
// Method: a scripted engine for the phases, with one buffer of 64 bytes; then the real one with two
// buffers and 500 connections that are all active.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/joinall.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

template <class F>
void with_one_buffer(F body) {
  scripted_engine engine(1);
  detail::run_on(engine, on_new_stage(engine, body), {}, std::source_location::current());
}

// Answers recv(2) calls that do not wait.
void answer_receive_now(scripted_engine& engine, std::string_view with) {
  engine.answer(opcode::receive_now, [with](operation& op) {
    REQUIRE(op.length >= with.size());
    std::memcpy(op.data, with.data(), with.size());
    return static_cast<std::int32_t>(with.size());
  });
}

// Takes the only buffer, so that the next receive() finds none.
task<buffer> the_only_buffer(stage& s) {
  const auto take = [&s]() -> task<buffer> { co_return co_await s.stream.receive(); };
  auto fiber = spawn(take);
  co_await settle();
  s.engine.deliver(s.engine.oldest(opcode::receive), "only");
  co_return co_await std::move(fiber).get();
}

engine_statistics statistics() { return current_scheduler().engine().statistics(); }

options with_two_buffers() {
  options settings;
  settings.sizes.buffer_count = 2;
  return settings;
}

}  // namespace

TEST_SUITE_BEGIN("lent buffers");

TEST_CASE("a receive gets what has arrived in its own memory when all buffers are out") {
  with_one_buffer([](stage& s) -> task<> {
    const buffer only = co_await the_only_buffer(s);
    CHECK(s.engine.buffers_free() == 0);
    answer_receive_now(s.engine, "more");
    s.engine.deliver(s.engine.oldest(opcode::receive), "more");
    const buffer another = co_await s.stream.receive();
    CHECK(another.text() == "more");
    CHECK(only.text() == "only");
    CHECK(s.engine.statistics().buffers_dry == 1);
    CHECK(s.stream.bytes_read() == 8);
    CHECK(s.engine.buffers().on_lease() == 2);
  });
}

TEST_CASE("a request waits without a buffer when all are out and nothing has arrived") {
  with_one_buffer([](stage& s) -> task<> {
    buffer only = co_await the_only_buffer(s);
    const auto fiber = spawn(outcome_of_receive(s, forever));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::receive), -ENOBUFS);
    co_await settle();
    CHECK_FALSE(fiber.done());
    CHECK(s.engine.oldest(opcode::receive).poll_first);
    only.reset();
    CHECK(s.engine.buffers_free() == 1);
    s.engine.deliver(s.engine.oldest(opcode::receive), "late");
    const std::string words = co_await fiber.get();
    CHECK(words == "4 bytes");
    CHECK(s.engine.called(opcode::receive_now) == 1);
    CHECK(s.engine.buffers_free() == 1);
  });
}

TEST_CASE("errors and the end of the stream are reported although all buffers are out") {
  for (const int error : {0, ECONNRESET, ETIMEDOUT}) {
    with_one_buffer([error](stage& s) -> task<> {
      const buffer only = co_await the_only_buffer(s);
      s.engine.answer(opcode::receive_now, -error);
      s.engine.complete(s.engine.oldest(opcode::receive), -ENOBUFS);
      const std::string words = co_await outcome_of_receive(s, forever);
      CHECK(words == (error == 0 ? "0 bytes" : std::system_category().message(error)));
    });
  }
}

TEST_CASE("a receive that is killed while all buffers are out loses no byte") {
  for (const bool data_came : {true, false}) {
    with_one_buffer([data_came](stage& s) -> task<> {
      const buffer only = co_await the_only_buffer(s);
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(outcome_of_receive(s, forever));
      co_await settle();
      fiber.request_kill();
      co_await settle();
      if (data_came) answer_receive_now(s.engine, "more");
      s.engine.complete(s.engine.oldest(opcode::receive), -ENOBUFS);
      const std::string words = co_await fiber.get();
      CHECK(words == (data_came ? "4 bytes, then cancelled" : "cancelled"));
      CHECK(s.engine.started(opcode::receive) == 1);
      CHECK(s.stream.bytes_read() == (data_came ? 8 : 4));
    });
  }
}

TEST_CASE("a stream that is closed while all buffers are out ends its receive with closed") {
  with_one_buffer([](stage& s) -> task<> {
    const buffer only = co_await the_only_buffer(s);
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(outcome_of_receive(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of([&s] { return s.stream.close(); }));
    co_await settle();
    s.engine.answer(opcode::receive_now, 0);  // the effect of our own shutdown
    s.engine.complete(s.engine.oldest(opcode::receive), -ENOBUFS);
    const std::string words = co_await fiber.get();
    CHECK(words == "closed by this program");
  });
}

TEST_CASE("a buffer returns when it is reset, assigned to or destroyed, and only once") {
  with_one_buffer([](stage& s) -> task<> {
    buffer lent = co_await the_only_buffer(s);
    buffer moved = std::move(lent);
    CHECK_FALSE(lent);
    CHECK(s.engine.buffers_free() == 0);
    lent.reset();
    CHECK(s.engine.buffers_free() == 0);
    moved = buffer();
    CHECK(s.engine.buffers_free() == 1);
    {
      const buffer again = co_await the_only_buffer(s);
      CHECK(s.engine.buffers_free() == 0);
    }
    CHECK(s.engine.buffers_free() == 1);
    CHECK(s.engine.buffers().on_lease() == 0);
  });
}

TEST_CASE("a socket that was emptied is tried only once it is readable, any other one at once") {
  on_stage([](stage& s) -> task<> {
    for (const byte_call& call : byte_calls) {
      if (call.code != opcode::receive && call.name != "read_some") continue;
      CAPTURE(call.name);
      for (const bool nonempty : {false, true, false}) {
        auto fiber = spawn(call.outcome(s, forever));
        co_await settle();
        operation& request = call.in_flight(s);
        request.multishot = false;  // the kernel may end any of them
        s.engine.deliver(request, "abc", nonempty);
        co_await fiber.join();
        fiber = spawn(call.outcome(s, forever));
        co_await settle();
        CHECK(call.in_flight(s).poll_first == !nonempty);
        if (call.code == opcode::receive) CHECK(call.in_flight(s).multishot == !nonempty);
        fiber.request_kill();
        co_await fiber.join();
      }
    }
  });
}

TEST_CASE("a lease outlives its stream and its run, whether from the pool or not") {
  std::vector<buffer> kept;
  const auto body = [&]() -> task<> {
    auto [near, far] = co_await connected_pair();
    for (int i = 0; i < 10; ++i) {
      co_await far.write_all(std::to_string(i));
      kept.push_back(co_await near.receive());
    }
    CHECK(statistics().buffers_dry >= 8);
  };
  on_one_scheduler(body, with_two_buffers());
  REQUIRE(kept.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) CHECK(kept[i].text() == std::to_string(i));
  kept.erase(kept.begin() + 3);
  CHECK(kept.back().text() == "9");
}

namespace {

constexpr std::size_t talkers = 500;
constexpr int rounds = 20;

// Sends its number and the round, and expects them back.
task<> talk(tcp_stream stream, std::size_t number) {
  for (int round = 0; round < rounds; ++round) {
    const std::string message = std::to_string(number * rounds + static_cast<std::size_t>(round));
    co_await stream.write_all(message);
    std::string back;
    while (back.size() < message.size()) {
      const buffer piece = co_await stream.receive();
      if (!piece) break;
      back += piece.text();
    }
    CHECK(back == message);
  }
  stream.shutdown_write();
  const buffer end = co_await stream.receive();
  CHECK_FALSE(end);
}

// Keeps each lease until the next one arrives.
task<> echo_holding(tcp_stream stream) {
  buffer last;
  while (buffer data = co_await stream.receive()) {
    co_await stream.write_all(data);
    last = std::move(data);
  }
}

}  // namespace

TEST_CASE("two buffers serve 500 connections that hold theirs, without failing or spinning") {
  const auto body = []() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i < talkers; ++i) {
      auto [near, far] = co_await connected_through(listener);
      all.push_back(spawn(talk(std::move(near), i)));
      all.push_back(spawn(echo_holding(std::move(far))));
    }
    co_await joinall(all);
    for (const auto& one : all) CHECK(one.result() == outcome::value);
    const engine_statistics done = statistics();
    CHECK(done.buffers_dry > 0);
    // A receive costs at most two enters and one recv(2); no call is redundant.
    const std::uint64_t receives = 2 * talkers * (rounds + 1);
    CHECK(done.system_calls < 4 * receives + 10 * talkers);
    CHECK(done.completions < 6 * receives + 10 * talkers);
  };
  on_schedulers(body, with_two_buffers());
}

TEST_CASE("silent connections cost nothing when all buffers are out") {
  const auto body = []() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    auto [near, far] = co_await connected_through(listener);
    std::vector<buffer> held;
    for (int i = 0; i < 3; ++i) {
      co_await far.write_all("x");
      held.push_back(co_await near.receive());
    }
    std::vector<connection> silent;
    std::vector<fiber<std::string>> waiting;
    for (int i = 0; i < 100; ++i) {
      silent.push_back(co_await connected_through(listener));
      waiting.push_back(
          spawn(outcome_of([&stream = silent.back().near] { return stream.receive(); })));
      co_await yield();
    }
    const std::uint64_t before = statistics().system_calls;
    std::array<std::byte, 1> byte{};
    for (int i = 0; i < 100; ++i) {
      co_await far.write_all("x");
      co_await near.read_exact(byte);
    }
    // Each wait of this fiber takes up to two calls; the first round includes the silent
    // connections.
    CHECK(statistics().system_calls - before < 4 * 100 + 3 * 100);
    for (auto& one : silent) co_await one.far.write_all("now");
    for (auto& one : waiting) {
      const std::string words = co_await one.get();
      CHECK(words == "3 bytes");
    }
  };
  on_schedulers(body, with_two_buffers());
}

TEST_SUITE_END();
