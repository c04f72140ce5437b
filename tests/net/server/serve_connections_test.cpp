// serve_connections: handlers and their errors, the limits on connections, and the ways to stop.
//
// Method: real sockets, with the peers that servers meet; and a scripted engine for the phases of a
// stop, whose clock tells how long it takes.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/now.hpp>
#include <ringlet/select.hpp>
#include <ringlet/serve_connections.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unix_listener.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "net/server/scripted_server.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/loopback.hpp"
#include "support/scale.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

template <class Stream>
task<> echo(Stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

template <class Stream>
task<std::string> read_all(Stream& peer) {
  std::string text;
  while (buffer data = co_await peer.receive()) text += data.text();
  co_return text;
}

// A server on the loopback device.
struct live_server {
  template <class Handler>
  explicit live_server(Handler handle, server_limits limits = {})
      : listener(tcp_listener::bind("127.0.0.1:0")), where(listener.local_address()) {
    serving = spawn(run(std::move(handle), limits));
  }
  template <class Handler>
  task<> run(Handler handle, server_limits limits) {
    result = co_await serve_connections(listener, std::move(handle), limits, control);
  }
  task<tcp_stream> connect() {
    tcp_stream made = co_await tcp_stream::connect(where);
    co_return made;
  }
  task<> stop() {
    control.stop();
    co_await serving.get();
  }

  tcp_listener listener;
  address where;
  server_control control;
  server_report result;
  fiber<void> serving;
};

// One round trip; what came back, or nothing if the connection ended.
task<std::string> ask(tcp_stream& peer, std::string_view question) {
  co_await peer.write_all(question);
  const buffer answer = co_await peer.receive();
  co_return std::string(answer.text());
}

std::uint64_t sum(const server_report& r) {
  return r.refused + r.refused_per_peer + r.refused_for_memory + r.finished + r.disconnected +
         r.failed + r.timed_out_at_first_byte + r.timed_out_idle + r.timed_out_in_write + r.cut_off;
}

}  // namespace

TEST_SUITE_BEGIN("serve_connections");

// rows: SV-02 SS-05
TEST_CASE("each connection gets a handler, and a stop returns what was done") {
  on_schedulers([]() -> task<> {
    live_server server(echo<tcp_stream>);
    std::vector<fiber<void>> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(spawn([&server, i]() -> task<> {
        tcp_stream peer = co_await server.connect();
        for (int round = 0; round < 3; ++round) {
          const std::string question = std::to_string(i) + ':' + std::to_string(round);
          const std::string answer = co_await ask(peer, question);
          CHECK(answer == question);
        }
      }));
    }
    for (const auto& one : clients) co_await one.get();
    while (server.control.running() != 0) co_await yield();
    co_await server.stop();
    CHECK(server.result.accepted == 50);
    CHECK(server.result.finished + server.result.disconnected == 50);
    CHECK(server.result.cut_off == 0);
    CHECK(server.control.is_stopping());
    const auto late = co_await as_result(server.connect());
    CHECK(late.error() == std::errc::connection_refused);
  });
}

TEST_CASE("a listener that is moved into the call is closed in the end") {
  on_one_scheduler([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const address where = listener.local_address();
    server_control control;
    const auto serving =
        spawn(serve_connections(std::move(listener), echo<tcp_stream>, server_limits{}, control));
    tcp_stream peer = co_await tcp_stream::connect(where);
    const std::string answer = co_await ask(peer, "x");
    CHECK(answer == "x");
    co_await peer.close();
    control.stop();
    const server_report done = co_await serving.get();
    CHECK(done.accepted == 1);
    const auto late = co_await as_result(tcp_stream::connect(where));
    CHECK(late.error() == std::errc::connection_refused);
  });
}

TEST_CASE("a Unix listener is served in the same way, and its peers have users") {
  on_one_scheduler([]() -> task<> {
    auto listener = unix_listener::bind("@ringlet-serve-" + std::to_string(::getpid()));
    const unix_address where = listener.local_address();
    server_control control;
    server_limits limits;
    limits.connections_per_peer = 1;
    limits.drain_timeout = 0s;
    const auto serving = spawn(serve_connections(listener, echo<unix_stream>, limits, control));
    unix_stream first = co_await unix_stream::connect(where);
    co_await first.write_all("x");
    const buffer answer = co_await first.receive();
    CHECK(answer.text() == "x");
    unix_stream second = co_await unix_stream::connect(where);
    const std::string nothing = co_await read_all(second);
    CHECK(nothing.empty());
    control.stop();
    const server_report done = co_await serving.get();
    CHECK(done.refused_per_peer == 1);
    REQUIRE(done.cut_off_peers.size() == 1);
    CHECK(done.cut_off_peers[0] ==
          "process " + std::to_string(::getpid()) + " of user " + std::to_string(::getuid()));
  });
}

// row: SV-06
TEST_CASE("errors of handlers are reported with the peer, and disconnects only counted") {
  std::vector<std::string> told;
  options settings;
  settings.on_unhandled_error = [&told](const unhandled_error& failure) {
    told.emplace_back(failure.name);
  };
  std::string expected;
  on_one_scheduler(
      [&]() -> task<> {
        const auto handle = [](tcp_stream peer) -> task<> {
          const buffer data = co_await peer.receive();
          if (data.text() == "bad") throw std::runtime_error("what a handler threw");
          if (data.text() == "odd") throw 7;
          std::byte more[10];
          co_await peer.read_exact(more);  // throws end_of_stream
        };
        live_server server(handle);
        for (const char* word : {"bad", "odd", "end"}) {
          tcp_stream peer = co_await server.connect();
          if (expected.empty()) expected = "connection from " + peer.local_address().to_string();
          co_await peer.write_all(word);
          peer.shutdown_write();
          const std::string nothing = co_await read_all(peer);
          CHECK(nothing.empty());
        }
        co_await server.stop();
        CHECK(server.result.failed == 2);
        CHECK(server.result.disconnected == 1);
        CHECK(server.result.finished == 0);
      },
      settings);
  REQUIRE(told.size() == 2);
  CHECK(told[0] == expected);
}

// row: W31
TEST_CASE("a connection beyond the limit is told so and closed, and one at the limit is served") {
  on_one_scheduler([]() -> task<> {
    server_limits limits;
    limits.connections = 2;
    limits.busy_line = "busy\n";
    live_server server(echo<tcp_stream>, limits);
    tcp_stream first = co_await server.connect();
    const std::string one = co_await ask(first, "1");
    CHECK(one == "1");
    tcp_stream second = co_await server.connect();
    const std::string two = co_await ask(second, "2");
    CHECK(two == "2");
    tcp_stream third = co_await server.connect();
    const std::string line = co_await read_all(third);
    CHECK(line == "busy\n");
    first.shutdown_write();
    const std::string rest = co_await read_all(first);
    CHECK(rest.empty());
    while (server.control.running() != 1) co_await yield();
    tcp_stream fourth = co_await server.connect();
    const std::string four = co_await ask(fourth, "4");
    CHECK(four == "4");
    second.shutdown_write();
    fourth.shutdown_write();
    co_await server.stop();
    CHECK(server.result.refused == 1);
    CHECK(server.result.finished == 3);
    CHECK(server.result.peak == 2);
    CHECK(server.result.accepted == sum(server.result));
  });
}

TEST_CASE("the limit per peer leaves other addresses alone") {
  on_one_scheduler([]() -> task<> {
    server_limits limits;
    limits.connections_per_peer = 1;
    live_server server(echo<tcp_stream>, limits);
    tcp_stream first = co_await server.connect();
    const std::string one = co_await ask(first, "1");
    CHECK(one == "1");
    tcp_stream second = co_await server.connect();
    const std::string nothing = co_await read_all(second);
    CHECK(nothing.empty());
    unique_fd raw(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const address other = address::parse("127.0.0.2:0");
    REQUIRE(::bind(raw.get(), other.data(), other.size()) == 0);
    REQUIRE(::connect(raw.get(), server.where.data(), server.where.size()) == 0);
    tcp_stream third{std::move(raw)};
    const std::string three = co_await ask(third, "3");
    CHECK(three == "3");
    first.shutdown_write();
    const std::string rest = co_await read_all(first);
    CHECK(rest.empty());
    while (server.control.running() != 1) co_await yield();
    tcp_stream fourth = co_await server.connect();
    const std::string four = co_await ask(fourth, "4");
    CHECK(four == "4");
    third.shutdown_write();
    fourth.shutdown_write();
    co_await server.stop();
    CHECK(server.result.refused_per_peer == 1);
    CHECK(server.result.finished == 3);
  });
}

// rows: W29 SV-04
TEST_CASE("a stop lets handlers finish until the deadline, and names the peers it cuts off") {
  on_stage([](stage& s) -> task<> {
    server_limits limits;
    limits.drain_timeout = 3s;
    server_control* control = nullptr;
    const auto handle = [&](tcp_stream peer) -> task<> {
      const buffer data = co_await peer.receive();
      co_await control->stopping();
      if (data.text() == "quick") co_await sleep(1s);
      if (data.text() == "late") co_await sleep(3s - 1ns);
      if (data.text() == "never") co_await sleep(24h);
    };
    scripted_server server(s, handle, limits);
    control = &server.control;
    for (const char* word : {"quick", "late", "never", "now"}) {
      const int fd = co_await server.connect();
      co_await server.send(fd, word);
    }
    const auto begun = now();
    co_await server.stop();
    CHECK(now() - begun == 3s);
    CHECK(server.result.finished == 3);
    CHECK(server.result.cut_off == 1);
    CHECK(server.result.cut_off_peers.size() == 1);
    CHECK(s.engine.closes(server.listening_fd) == 1);
  });
}

TEST_CASE("a stop without connections, or before the call, ends it at once") {
  on_stage([](stage& s) -> task<> {
    scripted_server idle(s, echo<tcp_stream>, {});
    co_await settle();
    const auto begun = now();
    co_await idle.stop();
    CHECK(now() == begun);
    scripted_server early(s, echo<tcp_stream>, {});
    co_await early.stop();
    CHECK(now() == begun);
    CHECK(early.result.accepted == 0);
  });
}

TEST_CASE("a stop serves the connections that have been accepted before") {
  on_stage([](stage& s) -> task<> {
    scripted_server server(s, echo<tcp_stream>, {});
    co_await settle();
    operation& accept = s.engine.oldest(opcode::accept, server.listening_fd);
    const int first = fresh_fd();
    const int second = fresh_fd();
    server.control.stop();
    s.engine.complete(accept, first, {.more = true});
    s.engine.hold_cancellations(true);
    co_await settle();
    s.engine.complete(accept, second);  // the cancellation comes too late
    co_await settle();
    s.engine.hold_cancellations(false);
    CHECK(server.is_open(first));
    CHECK(server.is_open(second));
    for (const int fd : {first, second}) co_await server.send(fd, "");
    co_await server.stop();
    CHECK(server.result.accepted == 2);
    CHECK(server.result.finished == 2);
  });
}

TEST_CASE("closing the listener is a stop, too") {
  on_one_scheduler([]() -> task<> {
    live_server server(echo<tcp_stream>);
    tcp_stream peer = co_await server.connect();
    const std::string answer = co_await ask(peer, "x");
    CHECK(answer == "x");
    co_await server.listener.close();
    peer.shutdown_write();
    co_await server.serving.get();
    CHECK(server.control.is_stopping());
    CHECK(server.result.finished == 1);
  });
}

TEST_CASE("a permanent error of accept is thrown after the handlers have ended") {
  on_stage([](stage& s) -> task<> {
    scripted_server server(s, echo<tcp_stream>, {});
    const int fd = co_await server.connect();
    s.engine.complete(s.engine.oldest(opcode::accept, server.listening_fd), -EINVAL);
    co_await settle();
    CHECK(server.is_open(fd));
    co_await server.send(fd, "");
    const auto end = co_await as_result(server.serving.get());
    CHECK(end.error() == std::errc::invalid_argument);
    CHECK(server.control.report().finished == 1);
  });
}

TEST_CASE("a kill in any phase cancels the handlers, and waits for their ends") {
  enum phase { unstarted, accepting, handling, draining };
  for (const phase when : {unstarted, accepting, handling, draining}) {
    CAPTURE(static_cast<int>(when));
    on_stage([&](stage& s) -> task<> {
      bool has_ended = false;
      const auto handle = [&](tcp_stream peer) -> task<> {
        std::exception_ptr end;
        try {
          while (buffer data = co_await peer.receive()) continue;
        } catch (const cancelled&) {
          end = std::current_exception();
        }
        co_await shield(10s, sleep(1s));
        has_ended = true;
        if (end) std::rethrow_exception(end);
      };
      scripted_server server(s, handle, {});
      if (when >= accepting) co_await settle();
      if (when >= handling) {
        const int fd = co_await server.connect();
        CHECK(server.is_open(fd));
      }
      if (when == draining) server.control.stop();
      co_await settle();
      const bool ended = co_await server.serving.kill();
      CHECK(ended);
      CHECK(has_ended == (when >= handling));
      CHECK(server.control.running() == 0);
      CHECK(server.control.report().cut_off == (when >= handling ? 1 : 0));
    });
  }
}

TEST_CASE("a connection that is accepted as the call is killed is closed and counted") {
  on_stage([](stage& s) -> task<> {
    scripted_server server(s, echo<tcp_stream>, {});
    co_await settle();
    const int fd = fresh_fd();
    s.engine.complete(s.engine.oldest(opcode::accept, server.listening_fd), fd, {.more = true});
    server.serving.request_kill();
    co_await server.serving.join();
    const server_report done = server.control.report();
    CHECK(done.accepted == sum(done));
    server.listener = listener_on(s.engine, fresh_fd());  // closes the old one
    co_await settle();
    CHECK(s.engine.closes(fd) == 1);
  });
}

TEST_CASE("a shortage of memory costs a connection, and not the server") {
  if (!allocations_are_counted()) return;
  int failures = 0;
  for (int number = 0; number < 40; ++number) {
    CAPTURE(number);
    on_stage([&](stage& s) -> task<> {
      server_limits limits;
      limits.connections_per_peer = 5;
      scripted_server server(s, echo<tcp_stream>, limits);
      co_await settle();
      const int fd = fresh_fd();
      s.engine.complete(s.engine.oldest(opcode::accept, server.listening_fd), fd, {.more = true});
      {
        const failing_allocation none(number);
        co_await settle();
        if (none.has_failed()) ++failures;
      }
      co_await sleep(2s);  // the listener may have to try again
      const int next = co_await server.connect();
      co_await sleep(2s);
      REQUIRE(server.is_open(next));
      co_await server.send(next, "");
      server.control.stop();
      co_await sleep(10s);
      co_await server.serving.join();
      CHECK(server.result.accepted == sum(server.result));
    });
  }
  CHECK(failures > 0);
}

TEST_CASE("a server_control serves one call") {
  CHECK(aborts_with("a server_control was given to two calls", [] {
    on_stage([](stage& s) -> task<> {
      scripted_server server(s, echo<tcp_stream>, {});
      co_await server.stop();
      co_await serve_connections(server.listener, echo<tcp_stream>, {}, server.control);
    });
  }));
}

// The old server and its successor listen on one socket, as two processes would.
TEST_CASE("a listening socket is handed over without a lost connection") {
  on_one_scheduler([]() -> task<> {
    live_server old(echo<tcp_stream>);
    int answered = 0;
    bool is_over = false;
    const auto ask_often = [&]() -> task<> {
      while (!is_over) {
        tcp_stream peer = co_await old.connect();
        const std::string answer = co_await ask(peer, "x");
        if (answer != "x") throw std::runtime_error("a connection was lost");
        ++answered;
      }
    };
    std::vector<fiber<void>> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(spawn(ask_often()));
    auto [left, right] = unix_stream::pair();
    server_control control;
    fiber<server_report> successor;
    while (answered < 100) co_await yield();
    const int socket = old.listener.native_handle();
    co_await left.send_descriptors(std::span(&socket, 1), "l");
    std::byte byte{};
    unique_fd received;
    co_await right.receive_descriptors(std::span(&byte, 1), std::span(&received, 1));
    tcp_listener taken(std::move(received));
    successor = spawn(serve_connections(taken, echo<tcp_stream>, server_limits{}, control));
    co_await old.stop();
    const int before = answered;
    while (answered < before + 100) co_await yield();
    is_over = true;
    for (const auto& one : clients) co_await one.get();
    control.stop();
    const server_report done = co_await successor.get();
    CHECK(old.result.accepted + done.accepted == static_cast<std::uint64_t>(answered));
    CHECK(done.accepted >= 100);
  });
}

namespace {

// What a peer does to a server.
task<> bother(const address& where, std::size_t kind, event& over) {
  enum { silence, one_request, flood, no_reading, half_a_close, reset, kinds };
  tcp_stream peer = co_await tcp_stream::connect(where);
  const std::string much(100'000, 'x');
  switch (kind % kinds) {
    case silence:
      co_await over.wait();
      break;
    case one_request:
      static_cast<void>(co_await ask(peer, "x"));
      co_await over.wait();
      break;
    case flood:
      for (;;) static_cast<void>(co_await ask(peer, much));
    case no_reading:
      for (;;) co_await peer.write_all(much);
    case half_a_close:
      peer.shutdown_write();
      static_cast<void>(co_await read_all(peer));
      break;
    case reset:
      co_await peer.write_all("x");
      peer.abort();
      break;
    default:
      break;
  }
}

}  // namespace

TEST_CASE("each stop ends by its deadline, whatever the peers do") {
  const std::size_t stops = 5 * test_scale();
  options settings;
  settings.on_unhandled_error = [](const unhandled_error&) {};
  on_one_scheduler(
      [&]() -> task<> {
        std::size_t in_time = 0;
        for (std::size_t stop = 0; stop < stops; ++stop) {
          server_limits limits;
          limits.drain_timeout = 20ms;
          live_server server(echo<tcp_stream>, limits);
          event over;
          std::vector<fiber<void>> peers;
          for (std::size_t i = 0; i < 12; ++i) {
            peers.push_back(spawn(bother(server.where, i, over)));
          }
          while (server.control.report().accepted < 12) co_await yield();
          const auto begun = now();
          co_await server.stop();
          if (now() - begun < limits.drain_timeout.resolve(0) * 1ns + 100ms) ++in_time;
          over.set();
          for (const auto& one : peers) co_await one.join();
          CHECK(server.result.accepted == sum(server.result));
          CHECK(server.result.cut_off_peers.size() == server.result.cut_off);
        }
        // Only a long run counts on an idle machine.
        if (test_scale() > 1) CHECK(in_time == stops);
      },
      settings);
}

TEST_SUITE_END();
