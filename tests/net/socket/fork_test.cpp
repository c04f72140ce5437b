// fork() in a server: the child cannot touch the parent's operations in flight, and dropping what
// it has inherited is invisible to the peers.
//
// Method: the parent keeps connections busy while, and after, a child makes a forbidden call or
// destroys everything; each byte is checked.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <csignal>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> echo(tcp_stream peer) {
  while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
}

// A server with clients, in the parent.
struct traffic {
  std::optional<tcp_listener> listener = tcp_listener::bind("127.0.0.1:0");
  std::vector<tcp_stream> clients;
  fiber<> server;

  task<> begin() {
    server = spawn(
        [](tcp_listener& from) -> task<> {
          for (;;) spawn(echo(co_await from.accept()));
        },
        std::ref(*listener));
    for (int i = 0; i < 20; ++i) {
      clients.push_back(co_await tcp_stream::connect(listener->local_address()));
    }
    CHECK(co_await round_trips(2) == 40);
  }
  // How many of the clients' messages came back.
  task<int> round_trips(int rounds) {
    int right = 0;
    for (int i = 0; i < rounds; ++i) {
      for (tcp_stream& client : clients) {
        co_await client.write_all("abcdef");
        const buffer back = co_await client.receive();
        right += back.text() == "abcdef" ? 1 : 0;
      }
    }
    co_return right;
  }
};

// Forks with traffic in flight; the child calls `in_child`.
child_end fork_in_traffic(const std::function<task<>(traffic&)>& in_child) {
  child_end end;
  on_one_scheduler([&]() -> task<> {
    traffic all;
    co_await all.begin();
    co_await all.clients.front().write_all("abcdef");  // in flight when the process forks
    forked_child child;
    if (child.is_here()) {
      co_await in_child(all);
      ::_exit(0);
    }
    CHECK((co_await all.clients.front().receive()).text() == "abcdef");
    CHECK(co_await all.round_trips(5) == 100);
    end = child.wait();
    CHECK(co_await all.round_trips(5) == 100);
    // The listener, too.
    auto late = co_await tcp_stream::connect(all.listener->local_address());
    co_await late.write_all("late");
    CHECK((co_await late.receive()).text() == "late");
    all.server.request_kill();
  });
  return end;
}

bool was_refused(const child_end& end) {
  const std::string_view rule =
      "in a child of fork() the parent's scheduler, streams and fibers cannot be used";
  if (end.signal == SIGABRT && end.errors.find(rule) != std::string::npos) return true;
  describe_unexpected(end, rule);
  return false;
}

}  // namespace

TEST_SUITE_BEGIN("fork_net");

TEST_CASE("a child that uses the parent's streams and listeners aborts") {
  CHECK(was_refused(
      fork_in_traffic([](traffic& all) -> task<> { co_await all.clients.front().receive(); })));
  CHECK(was_refused(fork_in_traffic(
      [](traffic& all) -> task<> { co_await all.clients.back().write_all("from the child"); })));
  CHECK(was_refused(fork_in_traffic([](traffic& all) -> task<> {
    all.clients.back().shutdown_write();
    co_return;
  })));
  CHECK(was_refused(
      fork_in_traffic([](traffic& all) -> task<> { co_await all.listener->accept(); })));
}

TEST_CASE("a child that connects in the parent's fiber aborts before it calls the kernel") {
  CHECK(was_refused(fork_in_traffic([](traffic& all) -> task<> {
    const address where = all.listener->local_address();
    co_await tcp_stream::connect(where);
  })));
  const address somewhere = address::parse("127.0.0.1:9");
  CHECK(was_refused(fork_in_traffic([&](traffic&) -> task<> {
    static_cast<void>(co_await as_result(tcp_stream::connect(somewhere)));
  })));
}

TEST_CASE("destroying the parent's streams and listeners in the child is invisible to the peers") {
  const child_end end = fork_in_traffic([](traffic& all) -> task<> {
    all.clients.clear();
    all.listener.reset();
    co_return;
  });
  CHECK(end.status == 0);
  CHECK(end.errors.empty());
}

TEST_CASE("a child forked in a server can serve on its own scheduler") {
  const child_end end = fork_in_traffic([](traffic&) -> task<> {
    const auto serve = []() -> task<int> {
      traffic own;
      co_await own.begin();
      const int right = co_await own.round_trips(5);
      own.server.request_kill();
      co_return right;
    };
    ::_exit(run(serve()));
    co_return;
  });
  CHECK(end.status == 100);
}

TEST_SUITE_END();
