// Fibers that are cancelled together with their peers. The engine decides whether the end of the
// peer or the cancellation comes first, so on all engines a call that has taken nothing reports the
// cancellation; what the system reports only once is kept for the next call.
//
// Method: on a scripted engine the answer comes after the cancellation; on the real one all fibers
// of both ends are killed together, the owners of the peers first.
// SPDX-License-Identifier: MIT
#include <ringlet/poll_fd.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

const std::string reset_by_peer = std::system_category().message(ECONNRESET);

task<std::string> outcome_of_line(reader& in) {
  return outcome_of([&in] { return in.read_line(); });
}

}  // namespace

TEST_SUITE_BEGIN("cancelled together");

TEST_CASE("a call is cancelled when its fiber was killed before the end or error came") {
  for (const byte_call& call : byte_calls) {
    for (const int answer : {0, -ECONNRESET, -EPIPE}) {
      CAPTURE(call.name);
      CAPTURE(answer);
      on_stage([&](stage& s) -> task<> {
        s.engine.hold_cancellations(true);
        const auto fiber = spawn(call.outcome(s, forever));
        co_await settle();
        fiber.request_kill();
        s.engine.complete(call.in_flight(s), answer);
        const std::string words = co_await fiber.get();
        CHECK(words == "cancelled");
        s.engine.hold_cancellations(false);
      });
    }
  }
}

TEST_CASE("a call whose limit had passed reports the end of the stream or the error") {
  for (const byte_call& call : byte_calls) {
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, 5ms));
      co_await settle();
      co_await sleep(6ms);
      s.engine.complete(call.in_flight(s), -ECONNRESET);
      const std::string words = co_await fiber.get();
      CHECK(words == reset_by_peer);
      s.engine.hold_cancellations(false);
    });
  }
}

TEST_CASE("an error that a cancelled read has not reported is reported by the next one") {
  for (const byte_call& call : byte_calls) {
    if (!call.is_read()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      fiber.request_kill();
      s.engine.complete(call.in_flight(s), -ECONNRESET);
      co_await fiber.join();
      const std::size_t started = s.engine.started(call.code);
      const std::string words = co_await spawn(call.outcome(s, forever)).get();
      CHECK(words == reset_by_peer);
      CHECK(s.engine.started(call.code) == started);
      s.engine.hold_cancellations(false);
    });
  }
}

TEST_CASE("a compound call that is cancelled after it has begun makes its direction unusable") {
  for (const byte_call& call : byte_calls) {
    if (call.name.find("exact") == call.name.npos && call.is_read()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      call.complete(s, "a");
      co_await settle();
      fiber.request_kill();
      s.engine.complete(call.in_flight(s), -ECONNRESET);
      std::string words = co_await fiber.get();
      CHECK(words == "cancelled");
      words = co_await spawn(call.outcome(s, forever)).get();
      CHECK(words == make_error_code(errc::partial_transfer).message());
      s.engine.hold_cancellations(false);
    });
  }
}

TEST_CASE("a reader that is cancelled as the stream ends or fails loses neither") {
  for (const int answer : {0, -ECONNRESET}) {
    CAPTURE(answer);
    on_stage([answer](stage& s) -> task<> {
      reader in(s.stream, 100);
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(outcome_of_line(in));
      co_await settle();
      s.engine.deliver(s.engine.oldest(opcode::receive), "unfinished");
      co_await settle();
      fiber.request_kill();
      s.engine.complete(s.engine.oldest(opcode::receive), answer);
      std::string words = co_await fiber.get();
      CHECK(words == "cancelled");
      words = co_await outcome_of_line(in);
      CHECK(words == (answer == 0 ? "'unfinished'" : reset_by_peer));
      s.engine.hold_cancellations(false);
    });
  }
}

TEST_CASE("a killed poll is cancelled, whatever it has found") {
  for (const int answer : {POLLIN, POLLIN | POLLHUP, -EBADF}) {
    CAPTURE(answer);
    on_stage([answer](stage& s) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn([]() -> task<> { co_await poll_fd(9, POLLIN); });
      co_await settle();
      fiber.request_kill();
      s.engine.complete(s.engine.oldest(opcode::poll), answer);
      co_await fiber.join();
      CHECK(fiber.result() == outcome::cancelled);
      s.engine.hold_cancellations(false);
    });
  }
}

namespace {

using client = task<> (*)(tcp_stream&);

task<> receive_it(tcp_stream& s) {
  const buffer data = co_await s.receive();
  if (!data) throw_error(errc::end_of_stream, "receive");
}
task<> read_it(tcp_stream& s) {
  std::array<std::byte, 8> memory;
  const std::size_t count = co_await s.read_some(memory);
  if (count == 0) throw_error(errc::end_of_stream, "read_some");
}
task<> read_all(tcp_stream& s) {
  std::array<std::byte, 8> memory;
  co_await s.read_exact(memory);
}
task<> read_a_line(tcp_stream& s) {
  reader in(s);
  const auto line = co_await in.read_line();
  if (!line) throw_error(errc::end_of_stream, "read_line");
}
task<> wait_until_readable(tcp_stream& s) {
  const bool is_readable = co_await s.readable();
  if (is_readable) throw_error(errc::end_of_stream, "readable");
}
task<> poll_it(tcp_stream& s) {
  const short found = co_await poll_fd(s.native_handle(), POLLIN | POLLRDHUP);
  if (found != 0) throw_error(errc::end_of_stream, "poll_fd");
}
task<> write_for_ever(tcp_stream& s) {
  const std::string much(1 << 20, 'x');
  for (;;) co_await s.write_all(much);
}

constexpr client clients[] = {&receive_it,          &read_it, &read_all,      &read_a_line,
                              &wait_until_readable, &poll_it, &write_for_ever};

task<> hold(tcp_stream stream) {
  static_cast<void>(stream);
  co_await sleep(1h);
}

task<> be_client(client call, tcp_stream stream) { co_await call(stream); }

}  // namespace

TEST_CASE("fibers that are killed together with the owners of their peers are cancelled") {
  on_schedulers([]() -> task<> {
    std::vector<fiber<>> owners;
    std::vector<fiber<>> fibers;
    for (int round = 0; round < 4; ++round) {
      for (const client call : clients) {
        auto pair = co_await connected_pair();
        owners.push_back(spawn(hold(std::move(pair.far))));
        fibers.push_back(spawn(be_client(call, std::move(pair.near))));
      }
    }
    for (int turn = 0; turn < 20; ++turn) co_await sleep(0s);
    for (auto& one : owners) one.request_kill();
    for (auto& one : fibers) one.request_kill();
    for (std::size_t i = 0; i < fibers.size(); ++i) {
      CAPTURE(i % std::size(clients));
      co_await fibers[i].join();
      CHECK(fibers[i].result() == outcome::cancelled);
    }
  });
}

TEST_CASE("a fiber that accepts is cancelled when it is killed together with its listener") {
  on_schedulers([]() -> task<> {
    auto listener = std::make_shared<tcp_listener>(tcp_listener::bind("127.0.0.1:0"));
    const auto accepting =
        spawn([](std::shared_ptr<tcp_listener> l) -> task<> { co_await l->accept(); }, listener);
    co_await sleep(0s);
    co_await sleep(0s);
    *listener = tcp_listener::bind("127.0.0.1:0");
    accepting.request_kill();
    co_await accepting.join();
    CHECK(accepting.result() == outcome::cancelled);
  });
}

TEST_SUITE_END();
