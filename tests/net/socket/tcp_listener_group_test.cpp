// Several listeners on one port: which scheduler gets a connection, and that none is lost.
//
// Method: two listeners of a group on one scripted engine; then the schedulers of a runtime, with
// blocking sockets as clients.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/tcp_listener_group.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <latch>
#include <map>
#include <semaphore>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/loopback.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

// Not a real descriptor: the scripted engine closes none.
int fresh_fd() {
  static int last = 200'000;
  return ++last;
}

// Two listeners of a group on one scheduler, both of which accept ahead of their fibers.
struct two_listeners {
  explicit two_listeners(scripted_engine& engine) : first(listen(engine)), second(listen(engine)) {}

  tcp_listener listen(scripted_engine& engine) const {
    engine.answer(opcode::open_socket, fresh_fd());
    return port.listen();
  }

  tcp_listener_group port{"127.0.0.1:80"};
  tcp_listener first;
  tcp_listener second;
};

task<int> accept_one(tcp_listener& listener) {
  const tcp_stream made = co_await listener.accept();
  co_return made.native_handle();
}

// The listener accepts connections although no fiber takes them.
task<> accept_ahead(stage& s, tcp_listener& listener) {
  const auto waiting = spawn(accept_one(listener));
  co_await settle();
  const bool ended = co_await waiting.kill();
  CHECK(ended);
  CHECK(s.engine.is_waiting(opcode::accept));
}

task<> arrive(stage& s, operation& at) {
  s.engine.complete(at, fresh_fd(), {.more = true});
  co_await settle();
}

std::vector<std::size_t> loads(const tcp_listener_group& port) {
  std::vector<std::size_t> found;
  for (const auto& each : port.statistics()) found.push_back(each.load);
  return found;
}

// A blocking client, which the scheduler that serves it tells its number.
struct client {
  explicit client(const address& where) : socket(raw_connect(where)) {}

  // 'x' if there is none: the connection was closed or reset.
  char served_by() const {
    char number = 'x';
    if (::recv(socket.get(), &number, 1, 0) != 1) number = 'x';
    return number;
  }

  unique_fd socket;
};

// The schedulers of a runtime that share a port. Each tells its clients its number, and keeps their
// connections until they end.
class servers {
 public:
  explicit servers(std::size_t count)
      : port_("127.0.0.1:0"),
        listening_(static_cast<std::ptrdiff_t>(count)),
        all_([this](std::size_t k) { return serve(k); }, {.threads = count}) {
    listening_.wait();
  }
  ~servers() { all_.stop(); }

  address where() const { return port_.local_address(); }
  const tcp_listener_group& port() const { return port_; }
  /// Blocks until that many connections have ended since the last call.
  void await_ends(std::size_t count) {
    for (; count > 0; --count) ended_.acquire();
  }

 private:
  task<> serve(std::size_t k) {
    tcp_listener listener = port_.listen();
    listening_.count_down();
    for (;;) spawn(keep(co_await listener.accept(), k));
  }

  task<> keep(tcp_stream peer, std::size_t k) {
    {
      tcp_stream mine = std::move(peer);
      const std::string number = std::to_string(k);
      co_await mine.write_all(number);
      while (buffer more = co_await mine.receive()) continue;
    }
    ended_.release();
  }

  tcp_listener_group port_;
  std::latch listening_;
  std::counting_semaphore<> ended_{0};
  runtime all_;
};

std::map<char, int> served(const std::vector<client>& clients) {
  std::map<char, int> by;
  for (const client& each : clients) ++by[each.served_by()];
  return by;
}

}  // namespace

TEST_SUITE_BEGIN("tcp_listener_group");

TEST_CASE("a connection goes to the listener with fewer that wait to be accepted") {
  on_stage([](stage& s) -> task<> {
    two_listeners both(s.engine);
    co_await accept_ahead(s, both.first);
    operation& accepting = s.engine.oldest(opcode::accept);
    const auto before = loads(both.port);
    for (int i = 0; i < 5; ++i) co_await arrive(s, accepting);
    CHECK(loads(both.port) == std::vector{before[0] + 3, before[1] + 2});
    const auto counted = both.port.statistics();
    CHECK(counted[0].accepted == 5);
    CHECK(counted[0].handed_over == 2);
    CHECK(counted[0].taken_over == 0);
    CHECK(counted[1].accepted == 0);
    CHECK(counted[1].taken_over == 2);
  });
}

TEST_CASE("a fiber that waits at the other listener gets the connection") {
  on_stage([](stage& s) -> task<> {
    two_listeners both(s.engine);
    co_await accept_ahead(s, both.first);
    operation& accepting = s.engine.oldest(opcode::accept);
    co_await arrive(s, accepting);  // stays, and waits at the first
    const auto waiting = spawn(accept_one(both.second));
    co_await settle();
    const int connection = fresh_fd();
    s.engine.complete(accepting, connection, {.more = true});
    const int got = co_await waiting.get();
    CHECK(got == connection);
  });
}

TEST_CASE("without memory for the message, a connection stays where it was accepted" *
          doctest::skip(!allocations_are_counted())) {
  on_stage([](stage& s) -> task<> {
    two_listeners both(s.engine);
    co_await accept_ahead(s, both.first);
    operation& accepting = s.engine.oldest(opcode::accept);
    co_await arrive(s, accepting);
    s.engine.complete(accepting, fresh_fd(), {.more = true});
    {
      const out_of_memory none;
      co_await sleep(std::chrono::nanoseconds(0));
    }
    co_await settle();
    CHECK(both.port.statistics()[0].handed_over == 0);
  });
}

TEST_CASE("closing a listener passes on the connections that wait there") {
  on_stage([](stage& s) -> task<> {
    two_listeners both(s.engine);
    co_await accept_ahead(s, both.first);
    operation& accepting = s.engine.oldest(opcode::accept);
    for (int i = 0; i < 4; ++i) co_await arrive(s, accepting);
    co_await both.first.close();
    co_await settle();
    const auto left = both.port.statistics();
    REQUIRE(left.size() == 1);
    CHECK(left[0].taken_over == 4);
    for (int i = 0; i < 4; ++i) {
      const auto made = co_await as_result(both.second.accept(std::chrono::nanoseconds(0)));
      CHECK(made.has_value());
    }
  });
}

TEST_CASE("closing the last listener closes the connections that wait there") {
  on_stage([](stage& s) -> task<> {
    two_listeners both(s.engine);
    co_await accept_ahead(s, both.first);
    operation& accepting = s.engine.oldest(opcode::accept);
    co_await both.second.close();
    const int connection = fresh_fd();
    s.engine.complete(accepting, connection, {.more = true});
    co_await settle();
    co_await both.first.close();
    CHECK(both.port.statistics().empty());
    CHECK(s.engine.closes(connection) == 1);
  });
}

TEST_CASE("a message that reaches a closed listener passes its connection on") {
  on_stage([](stage& s) -> task<> {
    two_listeners both(s.engine);
    tcp_listener third = both.listen(s.engine);
    co_await accept_ahead(s, both.first);
    operation& accepting = s.engine.oldest(opcode::accept);
    co_await arrive(s, accepting);
    s.engine.complete(accepting, fresh_fd(), {.more = true});
    // Runs after the completion has placed the connection, and before the message of that.
    const scheduler_handle here;
    const bool posted{here.post([&] { static_cast<void>(tcp_listener(std::move(both.second))); })};
    CHECK(posted);
    co_await settle();
    const auto left = both.port.statistics();
    REQUIRE(left.size() == 2);
    CHECK(left[0].handed_over == 1);
    CHECK(left[1].taken_over == 1);
  });
}

TEST_CASE("the listeners of a group share the free port that the first one got") {
  servers two(2);
  CHECK(two.where().port() != 0);
  CHECK(two.port().statistics().size() == 2);
}

TEST_CASE("listen() reports a port that is in use") {
  run([]() -> task<> {
    auto other = tcp_listener::bind("127.0.0.1:0");
    const tcp_listener_group port(other.local_address());
    std::error_code why;
    try {
      static_cast<void>(port.listen());
    } catch (const std::system_error& error) {
      why = error.code();
    }
    CHECK(why == std::errc::address_in_use);
    CHECK(port.statistics().empty());
    co_return;
  }());
}

TEST_CASE("connections that come one by one are spread evenly") {
  servers four(4);
  std::vector<client> clients;
  std::map<char, int> by;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back(four.where());
    ++by[clients.back().served_by()];
  }
  CHECK(by == std::map<char, int>{{'0', 4}, {'1', 4}, {'2', 4}, {'3', 4}});
}

TEST_CASE("of 16 connections that come at once, none of 4 schedulers gets more than 5") {
  servers four(4);
  for (int round = 0; round < 20; ++round) {
    std::vector<client> clients;
    for (int i = 0; i < 16; ++i) clients.emplace_back(four.where());
    auto by = served(clients);
    CHECK(by['x'] == 0);
    for (const auto& [number, count] : by) CHECK(count <= 5);
    clients.clear();
    four.await_ends(16);
  }
}

TEST_CASE("the scheduler whose connections have ended gets the next ones") {
  servers four(4);
  std::vector<client> clients;
  std::map<char, std::vector<client>> by;
  for (int i = 0; i < 16; ++i) {
    client next(four.where());
    by[next.served_by()].push_back(std::move(next));
  }
  by['2'].clear();
  four.await_ends(4);
  for (int i = 0; i < 4; ++i) {
    client next(four.where());
    CHECK(next.served_by() == '2');
    by['2'].push_back(std::move(next));
  }
}

TEST_CASE("a runtime that stops closes every connection, wherever it waits") {
  for (int round = 0; round < 20; ++round) {
    std::vector<client> clients;
    {
      servers three(3);
      for (int i = 0; i < 12; ++i) clients.emplace_back(three.where());
    }
    for (const client& each : clients) {
      char rest[8];
      while (::recv(each.socket.get(), rest, sizeof rest, 0) > 0) continue;
    }
  }
}

TEST_CASE("a stream released before its first read is served by another scheduler") {
  tcp_listener_group port("127.0.0.1:0");
  std::latch listening(1);
  const auto answer = [](int fd) -> task<> {
    tcp_stream peer{unique_fd(fd)};
    co_await peer.write_all("served by " + std::to_string(scheduler_index()));
  };
  const auto serve = [&](std::size_t k) -> task<> {
    if (k != 0) co_return;
    tcp_listener listener = port.listen();
    listening.count_down();
    tcp_stream peer = co_await listener.accept();
    unique_fd released = peer.release();
    CHECK(peer.native_handle() == -1);
    co_await run_on(1, answer, released.release());
  };
  runtime two(serve, {.threads = 2});
  listening.wait();
  const client asking(port.local_address());
  char text[20] = {};
  CHECK(::recv(asking.socket.get(), text, sizeof text, MSG_WAITALL) == 11);
  CHECK(std::string(text) == "served by 1");
  two.join();
}

TEST_CASE("release() of a closed stream is an error") {
  run([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    co_await near.close();
    CHECK_THROWS_AS(near.release(), std::system_error);
  }());
}

TEST_CASE("release() after a receive aborts") {
  const auto release_late = [] {
    run([]() -> task<> {
      auto [near, far] = co_await connected_pair();
      co_await far.write_all("a");
      const buffer got = co_await near.receive();
      static_cast<void>(near.release());
    }());
  };
  CHECK(
      aborts_with("after a receive() or readable(), whose request stays in flight", release_late));
}

TEST_SUITE_END();
