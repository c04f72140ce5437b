// udp_server: many handlers at once, their limit, their errors, and the ways to stop.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/event.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/udp_server.hpp>
#include <ringlet/unique_fd.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <ostream>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/schedulers.hpp"
#include "support/scripted_engine.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> echo(udp_request request) { co_await request.reply(request.data); }

udp_socket on_loopback(const udp_options& options = {}) {
  return udp_socket::bind("127.0.0.1:0", options);
}

fiber<void> serving(udp_server& server) {
  return spawn([&server]() -> task<> { co_await server.serve(); });
}

task<std::string> ask(udp_socket& client, std::string_view question) {
  co_await client.send(question);
  const udp_datagram answer = co_await client.receive();
  co_return std::string(answer.data.text());
}

}  // namespace

TEST_SUITE_BEGIN("udp_server");

// rows: SV-09 SS-06 SS-08
TEST_CASE("each datagram gets a handler, and many clients are served at once") {
  on_schedulers([]() -> task<> {
    udp_server server(on_loopback(), echo);
    const auto run = serving(server);
    const address there = server.socket().local_address();
    std::vector<fiber<void>> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(spawn([there, i]() -> task<> {
        auto client = udp_socket::connect(there);
        for (int round = 0; round < 3; ++round) {
          const std::string question = std::to_string(i) + ':' + std::to_string(round);
          const std::string answer = co_await ask(client, question);
          CHECK(answer == question);
        }
      }));
    }
    for (const auto& one : clients) co_await one.get();
    server.stop();
    co_await run.get();
    CHECK(server.handled() == 150);
    CHECK(server.failed() == 0);
    CHECK(server.dropped() == 0);
    CHECK(server.running() == 0);
  });
}

TEST_CASE("an error of a handler is reported with the peer, and is not fatal") {
  on_one_scheduler([]() -> task<> {
    std::vector<std::string> told;
    const auto handle = [](udp_request request) -> task<> {
      if (request.data.text() == "bad") throw std::runtime_error("what a handler threw");
      co_await request.reply("good");
    };
    udp_server_options options;
    options.on_error = [&told](const address& peer, const std::exception_ptr& error) {
      try {
        std::rethrow_exception(error);
      } catch (const std::exception& failure) {
        told.push_back(peer.to_string() + ' ' + failure.what());
      }
    };
    udp_server server(on_loopback(), handle, options);
    const auto run = serving(server);
    auto client = udp_socket::connect(server.socket().local_address());
    co_await client.send("bad");
    const std::string answer = co_await ask(client, "fine");
    CHECK(answer == "good");
    REQUIRE(told.size() == 1);
    CHECK(told[0] == client.local_address().to_string() + " what a handler threw");
    CHECK(server.failed() == 1);
    server.stop();
    co_await run.get();
  });
}

TEST_CASE("without on_error, a failure is reported as one of a fiber named after the peer") {
  std::vector<std::string> told;
  options quiet;
  quiet.on_unhandled_error = [&told](const unhandled_error& failure) {
    told.emplace_back(failure.name);
  };
  std::string expected;
  on_one_scheduler(
      [&]() -> task<> {
        const auto handle = [](udp_request) -> task<> {
          throw std::runtime_error("x");
          co_return;
        };
        udp_server server(on_loopback(), handle);
        const auto run = serving(server);
        auto client = udp_socket::connect(server.socket().local_address());
        expected = "datagram from " + client.local_address().to_string();
        co_await client.send("x");
        while (server.failed() == 0) co_await yield();
        server.stop();
        co_await run.get();
      },
      quiet);
  CHECK(told == std::vector<std::string>{expected});
}

TEST_CASE("busy handlers stop the reading, or datagrams are dropped and counted") {
  for (const udp_overload overload : {udp_overload::wait, udp_overload::drop}) {
    CAPTURE(static_cast<int>(overload));
    on_one_scheduler([&]() -> task<> {
      event release;
      std::size_t most = 0;
      udp_server* self = nullptr;
      const auto handle = [&](udp_request request) -> task<> {
        most = std::max(most, self->running());
        co_await release.wait();
        co_await request.reply(request.data);
      };
      udp_server server(on_loopback(), handle, {.handlers = 2, .overload = overload});
      self = &server;
      const auto run = serving(server);
      auto client = udp_socket::connect(server.socket().local_address());
      for (int i = 0; i < 5; ++i) co_await client.send(std::to_string(i));
      while (server.running() < 2) co_await yield();
      if (overload == udp_overload::drop) {
        while (server.dropped() < 3) co_await yield();
      }
      release.set();
      const int answers = overload == udp_overload::drop ? 2 : 5;
      for (int i = 0; i < answers; ++i) {
        const udp_datagram answer = co_await client.receive();
        CHECK(answer.data.text() == std::to_string(i));
      }
      CHECK(most == 2);
      CHECK(server.dropped() == static_cast<std::uint64_t>(5 - answers));
      server.stop();
      co_await run.get();
      CHECK(server.handled() == static_cast<std::uint64_t>(answers));
    });
  }
}

TEST_CASE("stop() lets handlers finish and reply") {
  on_one_scheduler([]() -> task<> {
    event release;
    const auto handle = [&](udp_request request) -> task<> {
      co_await release.wait();
      co_await request.reply("late");
    };
    udp_server server(on_loopback(), handle);
    const auto run = serving(server);
    auto client = udp_socket::connect(server.socket().local_address());
    co_await client.send("x");
    while (server.running() == 0) co_await yield();
    server.stop();
    server.stop();
    co_await yield();
    CHECK_FALSE(run.done());
    release.set();
    const udp_datagram answer = co_await client.receive();
    CHECK(answer.data.text() == "late");
    co_await run.get();
    CHECK(server.handled() == 1);
  });
}

TEST_CASE("a server that was stopped before it began serves nothing") {
  on_one_scheduler([]() -> task<> {
    udp_server server(on_loopback(), echo);
    server.stop();
    co_await server.serve();
    CHECK(server.handled() == 0);
  });
}

TEST_CASE("closing the socket ends the server, without an error") {
  on_one_scheduler([]() -> task<> {
    udp_server server(on_loopback(), echo);
    const auto run = serving(server);
    co_await yield();
    co_await server.socket().close();
    co_await run.get();
  });
}

TEST_CASE("killing the server cancels its handlers") {
  on_one_scheduler([]() -> task<> {
    bool was_cancelled = false;
    const auto handle = [&](udp_request) -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        was_cancelled = true;
        throw;
      }
    };
    udp_server server(on_loopback(), handle);
    const auto run = serving(server);
    auto client = udp_socket::connect(server.socket().local_address());
    co_await client.send("x");
    while (server.running() == 0) co_await yield();
    co_await run.kill();
    CHECK(run.result() == outcome::cancelled);
    CHECK(was_cancelled);
    CHECK(server.running() == 0);
    CHECK(server.failed() == 0);
  });
}

TEST_CASE("a refused reply on a connected socket does not end the server") {
  on_one_scheduler([]() -> task<> {
    auto gone = on_loopback();
    const address there = gone.local_address();
    udp_server server(udp_socket::connect(there), echo);
    const auto run = serving(server);
    co_await gone.send_to(server.socket().local_address(), "x");
    while (server.handled() == 0) co_await yield();
    co_await gone.close();
    co_await server.socket().send("lost");
    auto back = udp_socket::bind(there);
    co_await back.send_to(server.socket().local_address(), "again");
    const udp_datagram answer = co_await back.receive();
    CHECK(answer.data.text() == "again");
    server.stop();
    co_await run.get();
  });
}

// Method: a scripted engine with its own clock.
TEST_CASE("errors of the network do not end the server, and slow it; other errors end it") {
  scripted_engine engine;
  constexpr int fd = 9;
  const auto body = [&]() -> task<> {
    udp_server server(udp_socket(unique_fd(fd)), [](udp_request) -> task<> { co_return; });
    const auto run = serving(server);
    const auto began = engine.now();
    int errors = 0;
    for (int round = 0; round < 4; ++round) {
      for (const int error : {ECONNREFUSED, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENONET, EMSGSIZE,
                              EPROTO, ENOPROTOOPT, EOPNOTSUPP, EACCES}) {
        while (!engine.is_waiting(opcode::receive_datagram, fd)) {
          CAPTURE(error);
          REQUIRE_FALSE(run.done());
          co_await sleep(1ms);
        }
        engine.complete(engine.oldest(opcode::receive_datagram, fd), -error);
        ++errors;
      }
    }
    while (!engine.is_waiting(opcode::receive_datagram, fd)) co_await sleep(1ms);
    CHECK(engine.now() - began >= (errors - 16) * steady_ns(10'000'000));
    engine.deliver(engine.oldest(opcode::receive_datagram, fd), "x");
    co_await settle();
    CHECK(server.handled() == 1);
    CHECK_FALSE(run.done());
    engine.complete(engine.oldest(opcode::receive_datagram, fd), -EIO);
    co_await run.join();
    const auto ended = run.error();
    REQUIRE(ended != nullptr);
    CHECK_THROWS_WITH_AS(std::rethrow_exception(ended), doctest::Contains("udp_server: receive"),
                         std::system_error);
  };
  detail::run_on(engine, beside_main(body()), {}, std::source_location::current());
}

TEST_CASE("no handlers are refused, and a second serve() aborts") {
  on_one_scheduler([]() -> task<> {
    CHECK_THROWS_AS(udp_server(on_loopback(), echo, {.handlers = 0}), std::invalid_argument);
    co_return;
  });
  CHECK(aborts_with("serve() of a udp_server was called twice", [] {
    on_one_scheduler([]() -> task<> {
      udp_server server(on_loopback(), echo);
      server.stop();
      co_await server.serve();
      co_await server.serve();
    });
  }));
}

TEST_SUITE_END();
