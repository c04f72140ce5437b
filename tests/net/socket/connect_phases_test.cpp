// connect() in every phase of its life, on a scripted engine.
//
// Method: the sockets are real descriptors of /dev/null, so that a leaked one shows.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "support/loopback.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// The address that connects use, and the sockets that they opened.
struct town {
  explicit town(scripted_engine& used) : engine(used) {
    engine.answer(opcode::open_socket, [this](operation& op) {
      families.push_back(op.socket.family);
      sockets.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      return sockets.back();
    });
    engine.answer(opcode::close, [](operation& op) { return ::close(op.fd); });
    // The local end has another port than the peer.
    engine.answer(opcode::local_name, [](operation& op) {
      static_cast<sockaddr_in*>(op.data)->sin_port = htons(50'000);
      return 0;
    });
  }

  scripted_engine& engine;
  address peer = address::loopback(4242);
  std::vector<int> sockets;
  std::vector<int> families;

  operation& in_flight() { return engine.oldest(opcode::connect); }
  fiber<std::string> connecting(time_limit timeout = forever) {
    return spawn(connect_one(*this, timeout));
  }

 private:
  static task<std::string> connect_one(town& t, time_limit timeout) {
    co_return co_await outcome_of([&t, timeout] { return tcp_stream::connect(t.peer, timeout); });
  }
};

template <class F>
task<> in_new_town(scripted_engine& engine, F& body) {
  town made(engine);
  co_await body(made);
  for (const int socket : made.sockets) CHECK_FALSE(is_open(socket));
}

// Runs the task that `body(town&)` returns. No socket may be left at the end.
template <class F>
void in_town(F body) {
  scripted_engine engine;
  detail::run_on(engine, in_new_town(engine, body), {}, std::source_location::current());
}

}  // namespace

TEST_SUITE_BEGIN("connect phases");

TEST_CASE("a connected stream sends small writes at once") {
  for (const std::string_view peer : {"127.0.0.1:4242", "[::1]:4242"}) {
    CAPTURE(peer);
    in_town([peer](town& t) -> task<> {
      t.peer = address::parse(peer);
      const auto fiber = t.connecting();
      co_await settle();
      CHECK(t.families == std::vector<int>{t.peer.is_ipv6() ? AF_INET6 : AF_INET});
      CHECK(t.in_flight().fd == t.sockets[0]);
      CHECK(t.in_flight().length == t.peer.size());
      int no_delay = 0;
      t.engine.answer(opcode::set_option, [&](operation& op) {
        if (op.option.level == IPPROTO_TCP && op.option.name == TCP_NODELAY) {
          no_delay = *static_cast<const int*>(op.data);
        }
        return 0;
      });
      t.engine.complete(t.in_flight(), 0);
      const std::string words = co_await fiber.get();
      CHECK(words == "fd " + std::to_string(t.sockets[0]));
      CHECK(no_delay == 1);
    });
  }
}

TEST_CASE("an attempt that fails reports why, and its socket is closed") {
  for (const int error : {ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL}) {
    in_town([error](town& t) -> task<> {
      const auto fiber = t.connecting();
      co_await settle();
      t.engine.complete(t.in_flight(), -error);
      const std::string words = co_await fiber.get();
      CHECK(words == std::system_category().message(error));
      CHECK_FALSE(is_open(t.sockets[0]));
    });
  }
}

TEST_CASE("an exception from connect names the peer") {
  in_town([](town& t) -> task<> {
    t.engine.on_start = [&](operation& op) { t.engine.complete(op, -ECONNREFUSED); };
    std::string said;
    try {
      co_await tcp_stream::connect(t.peer);
    } catch (const std::system_error& error) {
      said = error.what();
      CHECK(error.code() == std::errc::connection_refused);
    }
    CHECK(said == "connect to 127.0.0.1:4242: Connection refused");
  });
}

TEST_CASE("connect without a free descriptor makes no attempt") {
  in_town([](town& t) -> task<> {
    t.engine.answer(opcode::open_socket, -EMFILE);
    const std::string words = co_await t.connecting().get();
    CHECK(words == "Too many open files");
    CHECK(t.engine.started(opcode::connect) == 0);
  });
}

TEST_CASE("an attempt ends at its limit, once the system has released it") {
  in_town([](town& t) -> task<> {
    t.engine.hold_cancellations(true);
    const auto fiber = t.connecting(5ms);
    co_await settle();
    co_await sleep(6ms);
    CHECK(t.engine.cancelled(opcode::connect) == 1);
    CHECK_FALSE(fiber.done());
    CHECK(is_open(t.sockets[0]));
    t.engine.hold_cancellations(false);
    const std::string words = co_await fiber.get();
    CHECK(words == "timed out");
    CHECK_FALSE(is_open(t.sockets[0]));
  });
}

TEST_CASE("a killed fiber abandons its attempt, and a fiber killed earlier opens no socket") {
  in_town([](town& t) -> task<> {
    const auto fiber = t.connecting();
    co_await settle();
    fiber.request_kill();
    std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    CHECK_FALSE(is_open(t.sockets[0]));
    current().kill();
    words = co_await outcome_of([&t] { return tcp_stream::connect(t.peer); });
    CHECK(words == "cancelled");
    CHECK(t.sockets.size() == 1);
  });
}

TEST_CASE("an attempt that had succeeded when its fiber was killed returns its connection") {
  in_town([](town& t) -> task<> {
    const auto undelivered = t.connecting();
    co_await settle();
    t.engine.complete(t.in_flight(), 0);
    undelivered.request_kill();
    std::string words = co_await undelivered.get();
    CHECK(words == "fd " + std::to_string(t.sockets[0]) + ", then cancelled");

    t.engine.hold_cancellations(true);
    const auto cancelled_late = t.connecting(5ms);
    co_await settle();
    co_await sleep(6ms);
    t.engine.complete(t.in_flight(), 0);
    words = co_await cancelled_late.get();
    CHECK(words == "fd " + std::to_string(t.sockets[1]));
  });
}

TEST_CASE("an attempt that fails after its limit reports why, and after a kill it is cancelled") {
  in_town([](town& t) -> task<> {
    t.engine.hold_cancellations(true);
    const auto late = t.connecting(5ms);
    co_await settle();
    co_await sleep(6ms);
    t.engine.complete(t.in_flight(), -ECONNREFUSED);
    std::string words = co_await late.get();
    CHECK(words == "Connection refused");

    const auto killed = t.connecting();
    co_await settle();
    killed.request_kill();
    co_await settle();
    t.engine.complete(t.in_flight(), -ECONNREFUSED);
    words = co_await killed.get();
    CHECK(words == "cancelled");
  });
}

TEST_CASE("a socket that has connected to itself is refused and closed") {
  for (const std::string_view own : {"127.0.0.1:4242", "127.0.0.1:4243", "127.0.0.2:4242"}) {
    CAPTURE(own);
    in_town([own](town& t) -> task<> {
      t.engine.answer(opcode::local_name, [own](operation& op) {
        *static_cast<sockaddr_in*>(op.data) =
            *static_cast<const sockaddr_in*>(static_cast<const void*>(address::parse(own).data()));
        return 0;
      });
      const auto fiber = t.connecting();
      co_await settle();
      t.engine.complete(t.in_flight(), 0);
      const std::string words = co_await fiber.get();
      const bool is_itself = own == t.peer.to_string();
      CHECK(words == (is_itself ? "Connection refused" : "fd " + std::to_string(t.sockets[0])));
      CHECK(t.engine.closes(t.sockets[0]) == 1);
    });
  }
}

TEST_CASE("as_result of connect never throws, whatever fails after the connection is made") {
  in_town([](town& t) -> task<> {
    t.engine.answer(opcode::set_option, -ENOPROTOOPT);
    t.engine.on_start = [&](operation& op) { t.engine.complete(op, 0); };
    const auto fiber = t.connecting();
    bool thrown = false;
    try {
      co_await fiber.get();
    } catch (const std::system_error&) {
      thrown = true;
    }
    CHECK_FALSE(thrown);
  });
}

TEST_CASE("an attempt is abandoned when the run ends") {
  scripted_engine engine;
  std::string words;
  const auto main = [&]() -> task<> {
    const auto client = [&]() -> task<> {
      const auto connect_for_ever = [&](town& t) -> task<> {
        words = co_await outcome_of([&t] { return tcp_stream::connect(t.peer); });
      };
      co_await in_new_town(engine, connect_for_ever);
    };
    spawn(client);
    co_await settle();
    CHECK(engine.is_waiting(opcode::connect));
  };
  detail::run_on(engine, main(), {}, std::source_location::current());
  CHECK(words == "cancelled, then cancelled");
}

TEST_CASE("dump shows the address that a fiber connects to") {
  in_town([](town& t) -> task<> {
    const auto fiber = t.connecting();
    co_await settle();
    CHECK(dump().find("connect to 127.0.0.1:4242") != std::string::npos);
    fiber.request_kill();
    co_await fiber.join();
  });
}

TEST_SUITE_END();
