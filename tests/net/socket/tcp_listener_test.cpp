// tcp_listener on real ports of this host, alone and beside another scheduler.
//
// Method: port 0 everywhere; clients connect with blocking calls, which the system answers, so that
// the test knows when a connection exists.
// SPDX-License-Identifier: MIT
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <source_location>
#include <string>
#include <vector>

#include "support/aborts.hpp"
#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view closed = "closed by this program";

// The message that binding throws; empty when it succeeds.
std::string complaint(const address& where, const listen_options& options = {}) {
  try {
    const auto listener = tcp_listener::bind(where, options);
    return {};
  } catch (const std::system_error& error) {
    return error.what();
  }
}

fiber<std::string> accepting(tcp_listener& listener, time_limit timeout = forever) {
  return spawn(outcome_of([&listener, timeout] { return listener.accept(timeout); }));
}

// Whether the peer of a raw client has ended the connection, with a FIN or a reset.
bool was_hung_up(const unique_fd& client) {
  char byte = 0;
  return ::recv(client.get(), &byte, 1, 0) <= 0;
}

std::uint16_t local_port(const unique_fd& socket) {
  address name;
  socklen_t size = address::capacity;
  ::getsockname(socket.get(), name.data(), &size);
  return name.port();
}

// Accepts as many connections as there are clients; they must arrive in the order in which they
// connected.
task<> accept_all(tcp_listener& listener, const std::vector<unique_fd>& clients,
                  std::vector<tcp_stream>& accepted) {
  while (accepted.size() < clients.size()) accepted.push_back(co_await listener.accept());
  for (std::size_t i = 0; i < clients.size(); ++i) {
    CHECK(accepted[i].peer_address().port() == local_port(clients[i]));
  }
}

// A few turns, in which the engine sees everything that the system has to report.
task<> settled() {
  for (int turn = 0; turn < 10; ++turn) co_await sleep(0s);
}

// A listening socket that was not created by ringlet.
unique_fd raw_listener() {
  unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const address any_port = address::loopback(0);
  REQUIRE(::bind(made.get(), any_port.data(), any_port.size()) == 0);
  REQUIRE(::listen(made.get(), 16) == 0);
  return made;
}

}  // namespace

TEST_SUITE_BEGIN("tcp_listener");

TEST_CASE("port 0 binds a free port, and the listener returns which") {
  on_schedulers([]() -> task<> {
    auto first = tcp_listener::bind("127.0.0.1:0");
    auto second = tcp_listener::bind("127.0.0.1:0");
    CHECK(first.local_address().host() == "127.0.0.1");
    CHECK(first.local_address().port() != 0);
    CHECK(first.local_address() != second.local_address());
    CHECK(first.native_handle() >= 0);
    co_return;
  });
}

TEST_CASE("a port in use is refused with a message that names it") {
  on_schedulers([]() -> task<> {
    const auto listener = tcp_listener::bind("127.0.0.1:0");
    const address taken = listener.local_address();
    std::error_code code;
    try {
      const auto again = tcp_listener::bind(taken);
    } catch (const std::system_error& error) {
      code = error.code();
    }
    CHECK(code == std::errc::address_in_use);
    CHECK(complaint(taken) == "cannot listen on " + taken.to_string() + ": Address already in use");
    CHECK(complaint(taken, {.reuse_port = true}) ==
          "cannot listen on " + taken.to_string() + ": Address already in use");
    co_return;
  });
}

TEST_CASE("a foreign address is refused, and so is text that is not an address") {
  on_schedulers([]() -> task<> {
    CHECK(complaint(address::parse("198.51.100.1:0")) ==
          "cannot listen on 198.51.100.1:0: Cannot assign requested address");
    CHECK_THROWS_AS(tcp_listener::bind("localhost:0"), std::invalid_argument);
    co_return;
  });
}

TEST_CASE("a bind that fails leaks no descriptor") {
  on_one_scheduler([]() -> task<> {
    const auto listener = tcp_listener::bind("127.0.0.1:0");
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 10; ++i) complaint(listener.local_address());
    CHECK(open_descriptors() == before);
    co_return;
  });
}

TEST_CASE("a port is free again when its listener is closed, although connections linger") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const address where = listener.local_address();
    auto [near, far] = co_await connected_through(listener);
    const auto waiting = accepting(listener);
    co_await sleep(0s);  // an accept is in flight
    co_await listener.close();
    CHECK(complaint(where) == "");
    const std::string words = co_await waiting.get();
    CHECK(words == closed);
    co_await far.close();
    CHECK(complaint(where) == "");
  });
}

TEST_CASE("close alone does not count as a deadlock, although only the system can end it") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const auto waiting = accepting(listener);
    co_await sleep(0s);
    const std::string words = co_await outcome_of([&] { return listener.close(); });
    CHECK(words == "done");
    co_await yield();
  });
}

TEST_CASE("several listeners share a port with reuse_port, and each connection is accepted once") {
  on_schedulers([]() -> task<> {
    auto first = tcp_listener::bind("127.0.0.1:0", {.reuse_port = true});
    auto second = tcp_listener::bind(first.local_address(), {.reuse_port = true});
    std::size_t counts[2] = {};
    const auto serve = [&](tcp_listener& listener, std::size_t& count) -> task<> {
      for (;;) {
        const auto made = co_await as_result(listener.accept());
        if (!made) co_return;
        ++count;
      }
    };
    const auto a = spawn(serve, std::ref(first), std::ref(counts[0]));
    const auto b = spawn(serve, std::ref(second), std::ref(counts[1]));
    for (int i = 0; i < 50; ++i) {
      auto client = co_await tcp_stream::connect(first.local_address());
      const buffer nothing = co_await client.receive();  // until accepted and dropped
    }
    co_await first.close();
    co_await second.close();
    co_await joinall(a, b);
    CHECK(counts[0] + counts[1] == 50);
  });
}

TEST_CASE("an IPv6 listener accepts IPv4 connections unless the options forbid it") {
  on_schedulers([]() -> task<> {
    const address four_in_six = address::parse("[::ffff:127.0.0.1]:0");
    auto both = tcp_listener::bind(four_in_six);
    const unique_fd client = raw_connect(address::loopback(both.local_address().port()));
    CHECK(client);
    CHECK(complaint(four_in_six, {.ipv6_only = true}) ==
          "cannot listen on [::ffff:127.0.0.1]:0: it is an IPv4 address, and the option ipv6_only "
          "is set");
    co_return;
  });
}

TEST_CASE("two connections in one batch are distinguished by their peers") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    auto first = co_await tcp_stream::connect(listener.local_address());
    auto second = co_await tcp_stream::connect(listener.local_address());
    const auto take = [&]() -> task<tcp_stream> { co_return co_await listener.accept(); };
    auto one = spawn(take);
    auto other = spawn(take);
    const tcp_stream a = co_await std::move(one).get();
    const tcp_stream b = co_await std::move(other).get();
    CHECK(a.peer_address() == first.local_address());
    CHECK(b.peer_address() == second.local_address());
  });
}

TEST_CASE("accepted connections send small writes at once, even on an adopted listener") {
  on_schedulers([]() -> task<> {
    tcp_listener taken_over(raw_listener());
    const unique_fd client = raw_connect(taken_over.local_address());
    const tcp_stream made = co_await taken_over.accept();
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    ::getsockopt(made.native_handle(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
    CHECK(no_delay != 0);
  });
}

TEST_CASE("accept on a socket that does not listen fails, and the listener does not spin") {
  on_schedulers([]() -> task<> {
    tcp_listener listener(unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    const std::string words = co_await accepting(listener).get();
    CHECK(words == "Invalid argument");
    const auto calls = [] { return current_scheduler().engine().statistics().system_calls; };
    const std::uint64_t before = calls();
    co_await sleep(20ms);
    CHECK(calls() - before < 20);
  });
}

// Closing

TEST_CASE("connections that the system accepted and no fiber took are closed") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<unique_fd> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(raw_connect(listener.local_address()));
    const tcp_stream kept = co_await listener.accept();
    co_await listener.close();
    for (std::size_t i = 1; i < clients.size(); ++i) CHECK(was_hung_up(clients[i]));
    const unique_fd late = raw_connect(kept.local_address());
    CHECK_FALSE(late);
  });
}

TEST_CASE("a listener leaks no descriptor, however it ends") {
  const std::size_t before = open_descriptors();
  for (const int way : {0, 1, 2}) {
    CAPTURE(way);
    on_two_schedulers([way]() -> task<> {
      auto listener = tcp_listener::bind("127.0.0.1:0");
      std::vector<unique_fd> clients;
      for (int i = 0; i < 100; ++i) clients.push_back(raw_connect(listener.local_address()));
      const tcp_stream kept = co_await listener.accept();
      const auto waiting = [&]() -> task<> {
        for (;;) const tcp_stream dropped = co_await listener.accept();
      };
      if (way == 0) co_await listener.close();
      if (way == 1) co_return;
      const auto fiber = spawn(waiting);
      co_await yield();
      fiber.request_kill();
      co_await fiber.join();
    });
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("a listener that outlives its run closes its socket when it is destroyed") {
  std::optional<tcp_listener> left;
  int fd = -1;
  on_one_scheduler([&]() -> task<> {
    left.emplace(tcp_listener::bind("127.0.0.1:0"));
    fd = left->native_handle();
    co_return;
  });
  CHECK(left->native_handle() == -1);
  left.reset();
  CHECK_FALSE(is_open(fd));
}

TEST_CASE("using a listener after its scheduler has ended aborts and says so") {
  const auto leave = [](std::optional<tcp_listener>& left) {
    on_one_scheduler([&]() -> task<> {
      left.emplace(tcp_listener::bind("127.0.0.1:0"));
      co_return;
    });
  };
  std::optional<tcp_listener> left;
  leave(left);
  on_one_scheduler([&]() -> task<> {
    const std::string words = co_await accepting(*left).get();
    CHECK(words == closed);
    const std::string closing = co_await outcome_of([&] { return left->close(); });
    CHECK(closing == "done");
  });
  CHECK(aborts_with("a listener was used after its scheduler had ended",
                    [&] { left->local_address(); }));
}

TEST_CASE(
    "closing a listener does not shut it down: a duplicate in another process still accepts") {
  on_one_scheduler([]() -> task<> {
    for (const bool destroyed : {false, true}) {
      CAPTURE(destroyed);
      auto listener = tcp_listener::bind("127.0.0.1:0");
      const address where = listener.local_address();
      const unique_fd duplicate(::dup(listener.native_handle()));
      const auto waiting = accepting(listener);
      co_await sleep(0s);  // an accept is in flight
      if (destroyed) {
        const tcp_listener gone = std::move(listener);
      } else {
        co_await listener.close();
      }
      const std::string words = co_await waiting.get();
      CHECK(words == closed);
      const unique_fd client = raw_connect(where);
      REQUIRE(client);
      const child_end end = run_in_child([&] {
        const unique_fd accepted(::accept(duplicate.get(), nullptr, nullptr));
        RINGLET_ASSERT(::send(accepted.get(), "hello", 5, 0) == 5, "the child could not accept");
      });
      CHECK(end.status == 0);
      char said[5] = {};
      CHECK(::recv(client.get(), said, sizeof said, MSG_WAITALL) == 5);
    }
  });
}

// Staging

TEST_CASE("unrequested connections stay with the system, except for at most 64") {
  on_one_scheduler([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<unique_fd> clients;
    clients.push_back(raw_connect(listener.local_address()));
    std::vector<tcp_stream> accepted;
    accepted.push_back(co_await listener.accept());
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 200; ++i) {
      clients.push_back(raw_connect(listener.local_address()));
      co_await sleep(0s);
    }
    const std::size_t staged = open_descriptors() - before - 200;
    CHECK(staged >= 64);
    CHECK(staged <= 70);
    co_await accept_all(listener, clients, accepted);
  });
}

TEST_CASE(
    "a burst of connections that the system delivers at once loses none, even in a tiny ring") {
  options settings;
  settings.sizes.submission_entries = 8;
  settings.sizes.completion_entries = 16;
  for (const bool tiny : {false, true}) {
    on_schedulers(
        []() -> task<> {
          auto listener = tcp_listener::bind("127.0.0.1:0");
          std::vector<unique_fd> clients;
          for (int i = 0; i < 500; ++i) clients.push_back(raw_connect(listener.local_address()));
          std::vector<tcp_stream> accepted;
          accepted.push_back(co_await listener.accept());
          co_await settled();
          co_await accept_all(listener, clients, accepted);
        },
        tiny ? settings : options());
  }
}

TEST_CASE("a thousand waiting fibers get one connection each") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    constexpr std::size_t count = 1000;
    std::set<std::uint16_t> ports;
    const auto take_one = [&]() -> task<> {
      const tcp_stream made = co_await listener.accept();
      ports.insert(made.peer_address().port());
    };
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(take_one));
    std::vector<tcp_stream> clients;
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(co_await tcp_stream::connect(listener.local_address()));
    }
    co_await joinall(all);
    CHECK(ports.size() == count);
    const auto unserved = accepting(listener, 0s);
    const std::string words = co_await unserved.get();
    CHECK(words == "timed out");
  });
}

TEST_SUITE_END();
